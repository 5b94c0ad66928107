"""Figures made of slices: answers at random, the worst mistakes, what augmentation does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.labels import NO_TUMOR, title
from tumorlens.report.extra import load
from tumorlens.report.figures import Stem, new_figure, plain, save, styled
from tumorlens.report.theme import DPI, MUTED, RIGHT, WRONG
from tumorlens.report.tiles import Picture, box_of, encode
from tumorlens.report.words import probability

# Perceptually uniform and, unlike viridis, without the green and red that mean right and wrong here.
_MAP_COLOURS = "inferno"
_STRONGEST = 0.75
# What a map is called, and what its colours mean.
_ACTIVATION = "activation map", "activation for the predicted class (0 none, 1 strongest in the slice)"
_TUMOUR_MAP = "tumour map", "probability that there is tumour at this place"
_EDITS = ("as it is", "tumour painted over", "as much elsewhere")
# Half of the coloured frame, and what smooths its edge: the report draws frames of its own.
_INSET = 4


def grid_figure(
    images: NDArray[np.uint8],
    true: Sequence[str],
    predicted: Sequence[str],
    probabilities: NDArray[np.floating],
    path: Stem,
    columns: int = 4,
) -> list[Path]:
    """Slices with what they are and what the network said; right and wrong differ by colour, frame and sign.

    Args:
        images: uint8 (N, S, S).
        true: N class names.
        predicted: N class names.
        probabilities: float (N,), that of the answer.
        path: of the files, without extension.
        columns: slices per row.
    """
    rows = max(1, -(-len(images) // columns))
    columns = max(1, min(columns, len(images)))
    with styled():
        figure, table = _cells(rows, columns)
        cells = table.ravel()
        for axes in cells:
            axes.axis("off")
        for axes, image, truth, answer, p in zip(cells, images, true, predicted, probabilities, strict=False):
            _slice(axes, image)
            _verdict(axes, truth, answer, float(p))
        pictures = [
            _picture((axes,), truth, answer, float(p))
            for axes, truth, answer, p in zip(cells, true, predicted, probabilities, strict=False)
        ]
        return save(figure, path, encode(pictures))


def mistakes_figure(
    images: NDArray[np.uint8],
    maps: NDArray[np.floating],
    true: Sequence[str],
    predicted: Sequence[str],
    probabilities: NDArray[np.floating],
    path: Stem,
    columns: int = 2,
    tumour: bool = False,
) -> list[Path]:
    """The worst mistakes: each slice beside itself under its map.

    The map's opacity grows with its strength, so that the anatomy stays visible where nothing speaks for the answer.

    Args:
        images: uint8 (N, S, S).
        maps: float (N, S, S) in 0..1, what spoke for the answer.
        true: N class names.
        predicted: N class names.
        probabilities: float (N,), that of the wrong answer.
        path: of the files, without extension.
        columns: pairs per row.
        tumour: whether the maps are predicted tumour masks, and not activations for the answer.
    """
    rows = max(1, -(-len(images) // columns))
    columns = max(1, min(columns, len(images)))
    title, meaning = _TUMOUR_MAP if tumour else _ACTIVATION
    with styled():
        figure, cells = _cells(rows, 2 * columns, below=0.75)
        for axes in cells.ravel():
            axes.axis("off")
        pairs = cells.reshape(-1, 2)
        for (plain, mapped), image, strength, truth, answer, p in zip(
            pairs, images, maps, true, predicted, probabilities, strict=False
        ):
            _slice(plain, image)
            _slice(mapped, image)
            strength = np.clip(np.nan_to_num(strength), 0, 1)
            mapped.imshow(
                strength, cmap=_MAP_COLOURS, vmin=0, vmax=1, alpha=_STRONGEST * strength, interpolation="bilinear"
            )
            _verdict(plain, truth, answer, float(p))
            mapped.set_title(title, fontsize=9, fontweight="normal", color=MUTED)
        pictures = [
            _picture((plain, mapped), truth, answer, float(p))
            for (plain, mapped), truth, answer, p in zip(pairs, true, predicted, probabilities, strict=False)
        ]
        shade = load("matplotlib.cm").ScalarMappable(load("matplotlib.colors").Normalize(0, 1), _MAP_COLOURS)
        height = float(figure.get_figheight())
        bar = figure.colorbar(
            shade, cax=figure.add_axes((0.3, 0.45 / height, 0.4, 0.12 / height)), orientation="horizontal"
        )
        bar.outline.set_visible(False)
        bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        bar.set_label(meaning, fontsize=9)
        return save(figure, path, encode(pictures))


@dataclass(frozen=True, eq=False)
class Edit:
    """A slice as it is, without its tumour and, where it fits, with as much painted over elsewhere.

    Attributes:
        truth: its class.
        images: uint8 (2 or 3, S, S).
        answers: what the network said to each.
        probabilities: float (2 or 3,), of the answers.
    """

    truth: str
    images: NDArray[np.uint8]
    answers: Sequence[str]
    probabilities: NDArray[np.floating]


def edits_figure(edits: Sequence[Edit], path: Stem, *, healthy: bool) -> list[Path]:
    """Slices, each in a row: as it is, without its tumour, with as much painted over elsewhere.

    Args:
        edits: the slices.
        path: of the files, without extension.
        healthy: whether the network knows "no tumour", so that there is a right answer to a slice without its tumour.
    """
    with styled():
        figure, cells = _cells(len(edits), len(_EDITS), above=0.1)
        pictures = []
        for axes in cells.ravel():
            axes.axis("off")
        for row, edit in zip(cells, edits, strict=True):
            expected = (edit.truth, NO_TUMOR if healthy else "", edit.answers[0])
            shown = zip(row, _EDITS, edit.images, expected, edit.answers, edit.probabilities, strict=False)
            for axes, name, image, wanted, answer, p in shown:
                _slice(axes, image)
                right = answer == wanted if wanted else None
                colour = MUTED if right is None else RIGHT if right else WRONG
                for spine in axes.spines.values():
                    spine.set(visible=True, color=colour, linewidth=2.5)
                sign = "" if right is None else "✓ " if right else "✗ "
                said = f"{plain(answer, 18)}  {probability(float(p))}"
                axes.set_title(f"{name}\n{sign}{said}", color=colour, fontsize=9, fontweight="normal", pad=5)
                lines = (name, f"{sign}{title(answer)} {probability(float(p))}")
                pictures.append(Picture((box_of(axes, DPI, _INSET),), lines, right))
        return save(figure, path, encode(pictures))


def augmentation_figure(originals: NDArray[np.uint8], augmented: NDArray[np.uint8], path: Stem) -> list[Path]:
    """Training slices and what random augmentation makes of them.

    Args:
        originals: uint8 (R, S, S), one per row.
        augmented: uint8 (R, C, S, S), the variants of each.
        path: of the files, without extension.
    """
    rows, columns = augmented.shape[:2]
    with styled():
        figure, cells = _cells(rows, columns + 1, side=1.5, title_height=0.06, above=0.24)
        for row, original, variants in zip(cells, originals, augmented, strict=True):
            for axes, image in zip(row, (original, *variants), strict=True):
                _slice(axes, image)
        cells[0, 0].set_title("original", fontsize=9)
        cells[0, 1].set_title("augmented", fontsize=9, fontweight="normal", color=MUTED)
        pictures = [
            Picture((box_of(axes, DPI, _INSET),), () if column else ("original",))
            for row in cells
            for column, axes in enumerate(row)
        ]
        return save(figure, path, encode(pictures))


def _cells(
    rows: int, columns: int, side: float = 2.5, title_height: float = 0.42, above: float = 0.0, below: float = 0.0
) -> tuple[Any, Any]:
    """A figure with square cells, each with room for its title; sizes in inches.

    The places are known, so Matplotlib need not search for them, which takes longer than drawing.
    """
    gap = 0.1
    width = columns * side + (columns + 1) * gap
    height = rows * (side + title_height + gap) + gap + above + below
    figure = new_figure(width, height, layout=None)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=gap / width,
        right=1 - gap / width,
        bottom=(below + gap) / height,
        top=1 - (title_height + above) / height,
        wspace=gap / side,
        hspace=(title_height + gap) / side,
    )
    return figure, grid.subplots(squeeze=False)


def _slice(axes: Any, image: NDArray[np.uint8]) -> None:
    """Draw the grey values as they are: 0 black, 255 white, no stretching per image."""
    axes.axis("on")
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _verdict(axes: Any, truth: str, answer: str, p: float) -> None:
    right = truth == answer
    colour = RIGHT if right else WRONG
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=2.5)
    # Two lines: with long class names one line would run into the neighbour.
    sign = "✓" if right else "✗"
    axes.set_title(
        f"{sign} true: {plain(truth, 18)}\npredicted: {plain(answer, 18)}  {probability(p)}",
        color=colour,
        fontsize=9,
        fontweight="normal",
        linespacing=1.3,
        pad=5,
    )


def _picture(cells: Sequence[Any], truth: str, answer: str, p: float) -> Picture:
    """What the report shows of drawn cells: the names in full, as text."""
    right = truth == answer
    lines = (f"{'✓' if right else '✗'} true: {title(truth)}", f"predicted: {title(answer)} {probability(p)}")
    return Picture(tuple(box_of(axes, DPI, _INSET) for axes in cells), lines, right)
