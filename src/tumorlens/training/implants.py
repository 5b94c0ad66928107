"""Tumours taken out of training slices, and put into others: what breaks the tie between a class and its source.

In the public sets "no tumour" comes from other scanners than the tumours do, so a network can learn the scanner. Here
some tumour slices become *healthy twins*: the tumour is covered by tissue of the same head's other side, of another
place in it, or of another head, and the label becomes "no tumour". Some tumour-free slices receive a *transplant*: the
tumour of another slice of the same plane, with that slice's label. As many slices again get the same treatment without
a tumour being involved and keep their label (*decoys*), so that the traces of the edit say nothing: a slice with a
tumour is covered elsewhere as a twin is, and one without receives healthy tissue of a slice with a tumour as a
transplant does.

An edit must be believed, and must be seen. So a slice gets tissue and tumours from its like only (same plane, about
the same level); of a few candidates the one is taken whose surroundings fit best; and where a covered tumour still
looks as it did, or a transplanted one does not stand out, the slice stays as it is: its label would be a lie.

The reader of a slice sees it before augmentation; parameters are drawn apart from the functions that apply them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from tumorlens.preprocess.outlines import Outlines
from tumorlens.preprocess.stack import Stack

# The grown outline takes the tumour's rim along; the ring around it says how bright the surroundings are.
_GROWN, _RING, _FEATHER = 2, 5, 1.2
_AIR = 12  # grey value below which there is no head
_COVERED = 0.95  # of a region that must lie in the head
_TRIES, _CANDIDATES = 8, 3
_ALIKE, _THUMBNAIL = 40, 16
_SEEN = 12.0  # grey values by which the tumour's place must have changed, on average

# Kinds of edits: of slices with a tumour the first two, of slices without one the others.
TWINS, COVERED, TRANSPLANTS, GRAFTED = "twins", "decoys of tumours", "transplants", "decoys of tumour-free slices"
# Kind → edits that were tried, and those that came off.
Tally = dict[str, list[int]]


class Changed(NamedTuple):
    """Slices of a batch, some of them changed.

    Attributes:
        images: uint8 (B, S, S).
        masks: uint8 (B, S, S).
        classes: int64 (B,).
        tally: of the edits.
    """

    images: np.ndarray
    masks: np.ndarray
    classes: np.ndarray
    tally: Tally


@dataclass(frozen=True, eq=False)
class Implants:
    """Where tumours and healthy tissue come from: the training slices.

    Attributes:
        images: uint8 (N, S, S).
        outlines: their masks, of the same size.
        classes: int64 (N,).
        healthy: number of the class "no tumour".
        planes: (N,), of each slice; tumours move between slices of one plane only.
        twins: share of the slices with a mask that lose their tumour.
        transplants: share of the slices without a tumour that receive one.
    """

    images: np.ndarray | Stack
    outlines: Outlines
    classes: np.ndarray
    healthy: int
    planes: np.ndarray
    twins: float
    transplants: float

    def change(self, rng: np.random.Generator, chosen: Sequence[int] | np.ndarray) -> Changed:
        """Slices of a batch, some of them changed.

        Args:
            rng: the only source of chance.
            chosen: (B,), which slices.
        """
        images, masks = np.array(self.images[chosen]), self.outlines.of(chosen)
        classes = self.classes[chosen].copy()
        tally: Tally = {}
        for slot, index in enumerate(chosen):
            free = classes[slot] == self.healthy
            share = self.transplants if free else self.twins if self.outlines.place[index] >= 0 else 0.0
            luck = rng.random()
            if luck < share:
                kind = TRANSPLANTS if free else TWINS
                made = self._transplant(rng, index) if free else self._twin(rng, index)
                if came_off := made is not None:
                    images[slot], masks[slot], classes[slot] = made
            elif luck < 2 * share:
                kind = GRAFTED if free else COVERED
                decoy = self._grafted(rng, index) if free else self._covered(rng, index)
                if came_off := decoy is not None:
                    images[slot] = decoy
            else:
                continue
            counts = tally.setdefault(kind, [0, 0])
            counts[0] += 1
            counts[1] += came_off
        return Changed(images, masks, classes, tally)

    def _twin(self, rng: np.random.Generator, index: int) -> tuple[np.ndarray, np.ndarray, int] | None:
        """The slice without its tumour."""
        image, mask = self._one(index)
        region = grown(mask > 127, _GROWN)
        covered = self._cover(rng, index, image, mask, region)
        if covered is None or not _differ(image, covered, mask > 127):
            return None
        return covered, np.zeros_like(mask), self.healthy

    def _covered(self, rng: np.random.Generator, index: int) -> np.ndarray | None:
        """The slice with a tumour-free region covered as a twin's tumour is, in the shape of some tumour."""
        image, mask = self._one(index)
        own = grown(mask > 127, _GROWN)
        for other in rng.permutation(np.flatnonzero(self.outlines.place >= 0))[:_TRIES]:
            shape = grown(self._one(other)[1] > 127, _GROWN)
            region = moved(shape, *_step(rng, shape.shape[0]), mirrored=bool(rng.integers(2)))
            if region.any() and not (region & own).any() and in_head(image, region):
                return self._cover(rng, index, image, mask, region)
        return None

    def _cover(
        self, rng: np.random.Generator, index: int, image: np.ndarray, mask: np.ndarray, region: np.ndarray
    ) -> np.ndarray | None:
        """The region covered by the healthy tissue that fits best, of a few places; None where none fits."""
        here = grown(mask > 127, _GROWN) | region
        found = []
        for _ in range(_TRIES):
            kind = rng.integers(3)
            if kind == 0:  # the other side of the head
                tissue, tumour = image[:, ::-1], here[:, ::-1]
            elif kind == 1:  # another place in it
                step = _step(rng, len(image))
                tissue, tumour = moved(image, *step), moved(here, *step)
            else:  # another head
                tissue, other = self._one(int(rng.choice(self._alike(index, self.outlines.known))))
                tumour = grown(other > 127, _GROWN)
            if not (tumour & region).any() and in_head(tissue, region):
                found.append(blended(image, tissue, region, match_spread=True))
                if len(found) == _CANDIDATES:
                    break
        return min(found, key=lambda one: one[1])[0] if found else None

    def _transplant(self, rng: np.random.Generator, index: int) -> tuple[np.ndarray, np.ndarray, int] | None:
        """The slice with the tumour of another one."""
        image, _ = self._one(index)
        found = []
        for donor in rng.permutation(self._alike(index, self.outlines.place >= 0))[:_TRIES]:
            tissue, mask = self._one(donor)
            mirrored = bool(rng.integers(2))
            tissue, mask = (tissue[:, ::-1], mask[:, ::-1]) if mirrored else (tissue, mask)
            region = grown(mask > 127, _GROWN)
            if region.any() and in_head(image, region):
                made, misfit = blended(image, tissue, region, match_spread=False)
                if _differ(image, made, mask > 127):
                    found.append((misfit, made, mask, int(self.classes[donor])))
                    if len(found) == _CANDIDATES:
                        break
        return min(found, key=lambda one: one[0])[1:] if found else None

    def _grafted(self, rng: np.random.Generator, index: int) -> np.ndarray | None:
        """The slice with healthy tissue of one with a tumour, put in as a transplant is, where some tumour lies."""
        image, _ = self._one(index)
        alike = self._alike(index, self.outlines.place >= 0)
        found = []
        for donor, other in zip(rng.permutation(alike)[:_TRIES], rng.permutation(alike)[:_TRIES], strict=True):
            tissue, mask = self._one(donor)
            shape = grown(self._one(other)[1] > 127, _GROWN)
            mirrored = bool(rng.integers(2))
            tissue, mask = (tissue[:, ::-1], mask[:, ::-1]) if mirrored else (tissue, mask)
            own = grown(mask > 127, _GROWN)
            region = shape if not (shape & own).any() else moved(shape, *_step(rng, len(image)))
            if region.any() and not (region & own).any() and in_head(image, region) and in_head(tissue, region):
                found.append(blended(image, tissue, region, match_spread=False))
                if len(found) == _CANDIDATES:
                    break
        return min(found, key=lambda one: one[1])[0] if found else None

    def _alike(self, index: int, among: np.ndarray) -> np.ndarray:
        """The slices of the same plane that look most like one, of some (bool (N,)); itself not."""
        others = np.flatnonzero((self.planes == self.planes[index]) & among)
        others = others[others != index]
        if len(others) <= _ALIKE:
            return others if len(others) else np.array([index])
        likeness = self._thumbnails[others] @ self._thumbnails[index]
        return np.asarray(others[np.argpartition(-likeness, _ALIKE)[:_ALIKE]])

    @cached_property
    def _thumbnails(self) -> np.ndarray:
        """float32 (N, 256): small pictures of mean 0 and length 1."""
        small = np.stack(
            [cv2.resize(np.asarray(one), (_THUMBNAIL,) * 2, interpolation=cv2.INTER_AREA) for one in self.images]
        )
        flat = small.reshape(len(small), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))

    def _one(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.images[int(index)]), self.outlines.of([int(index)])[0]


def blended(
    image: np.ndarray, tissue: np.ndarray, region: np.ndarray, *, match_spread: bool
) -> tuple[np.ndarray, float]:
    """The region of ``image`` replaced by that of ``tissue``, as bright as the surroundings, with a soft edge.

    Args:
        image: uint8 (S, S).
        tissue: uint8 (S, S).
        region: bool (S, S).
        match_spread: whether the tissue's contrast is brought to that around the region, too; a tumour keeps its own.

    Returns:
        uint8 (S, S), and how badly the surroundings fit: their mean absolute difference in SD of the image's own.
    """
    ring = grown(region, _RING) & ~region
    here, there = image[ring & (image > _AIR)], tissue[ring & (tissue > _AIR)]
    if here.size < 8 or there.size < 8:
        return image.copy(), float("inf")
    # Medians, since skull and vessels in the ring say little about the tissue.
    level, from_level = float(np.median(here)), float(np.median(there))
    spread = float(here.std() / max(there.std(), 1.0)) if match_spread else level / max(from_level, 1.0)
    fitted = (tissue.astype(np.float32) - from_level) * np.clip(spread, 0.5, 2.0) + level
    misfit = float(np.abs(fitted[ring] - image[ring]).mean() / (here.std() + 4.0))
    share = cv2.GaussianBlur(region.astype(np.float32), (0, 0), _FEATHER)
    mixed = share * fitted + (1 - share) * image
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8), misfit


def _differ(before: np.ndarray, after: np.ndarray, region: np.ndarray) -> bool:
    return float(cv2.absdiff(before, after)[region].mean()) >= _SEEN


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask and what is within so many pixels of it, bool (S, S)."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def moved(picture: np.ndarray, down: int, right: int, *, mirrored: bool = False) -> np.ndarray:
    """A picture or mask moved by whole pixels; what comes in from outside is 0."""
    source = picture[:, ::-1] if mirrored else picture
    result = np.zeros_like(source)
    size = len(source)
    if abs(down) < size and abs(right) < size:
        to = slice(max(0, down), size + min(0, down)), slice(max(0, right), size + min(0, right))
        start = slice(max(0, -down), size + min(0, -down)), slice(max(0, -right), size + min(0, -right))
        result[to] = source[start]
    return result


def in_head(image: np.ndarray, region: np.ndarray) -> bool:
    """Whether the region shows head and no air."""
    return bool((image[region] > _AIR).mean() >= _COVERED) if region.any() else False


def _step(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """A move by up to a third of the picture."""
    down, right = rng.integers(-size // 3, size // 3 + 1, 2)
    return int(down), int(right)
