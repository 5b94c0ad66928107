"""Figures reach the disk, are not blank, say right and wrong in colour, and leave nothing global behind."""

import base64
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tumorlens.evaluation.curves import class_curves
from tumorlens.labels import title
from tumorlens.report import tiles
from tumorlens.report.figures import confusion_figure, history_figure, pr_figure, roc_figure
from tumorlens.report.image_figures import augmentation_figure, grid_figure, mistakes_figure

matplotlib = pytest.importorskip("matplotlib")

HISTORY = {"epoch": [1, 2], "accuracy": [0.5, 0.6], "loss": [1.0, None], "val_accuracy": [], "val_loss": [None, None]}
GREEN, RED = (26, 127, 90), (179, 38, 30)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def pixels(paths: list[Path]) -> np.ndarray:
    assert [path.suffix for path in paths] == [".png", ".svg"]
    ET.parse(paths[1])  # noqa: S314 - written a moment ago
    with Image.open(paths[0]) as image:
        got = np.asarray(image.convert("RGB"))
    assert got.std() > 5
    return got


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - colour).max(axis=2) < 4).sum())


def test_figures_of_numbers(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    pixels(history_figure(HISTORY, tmp_path / "history", kept_epoch=2))
    pixels(confusion_figure(["x", "$y$"], [[3, 1], [0, 0]], tmp_path / "confusion"))
    pixels(roc_figure(class_curves(table, "roc"), tmp_path / "roc"))
    pixels(pr_figure(class_curves(table, "pr"), tmp_path / "pr"))
    roc_figure({}, tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_grid_marks_right_green_and_wrong_red(tmp_path: Path) -> None:
    images, p = noise(2, 16, 16), np.array([0.9, 0.8])
    right = pixels(grid_figure(images, ["glioma"] * 2, ["glioma"] * 2, p, tmp_path / "right"))
    wrong = pixels(grid_figure(images, ["glioma"] * 2, ["pituitary"] * 2, p, tmp_path / "wrong"))
    assert (count(right, GREEN) > 500, count(right, RED)) == (True, 0)
    assert (count(wrong, RED) > 500, count(wrong, GREEN)) == (True, 0)


@pytest.mark.parametrize("n", [0, 1, 3, 5])
def test_any_number_of_images_fits(tmp_path: Path, n: int) -> None:
    names, p = ["no_tumor"] * n, np.full(n, 0.7)
    grid_figure(noise(n, 8, 8), names, names, p, tmp_path / "grid")
    paths = mistakes_figure(noise(n, 8, 8), np.full((n, 8, 8), np.nan), names, names, p, tmp_path / "mistakes")
    assert all(path.stat().st_size for path in paths)


def test_the_map_is_laid_over_the_second_image_only_where_it_is_strong(tmp_path: Path) -> None:
    strength = np.zeros((1, 16, 16))
    plain = pixels(mistakes_figure(noise(1, 16, 16), strength, ["x"], ["y"], np.array([0.9]), tmp_path / "a"))
    strength[0, 4:8, 4:8] = 1
    mapped = pixels(mistakes_figure(noise(1, 16, 16), strength, ["x"], ["y"], np.array([0.9]), tmp_path / "b"))
    changed = (plain != mapped).any(axis=2)
    assert 0.005 < changed.mean() < 0.1
    assert not changed[:, : changed.shape[1] // 2].any()


def test_augmentation_figure(tmp_path: Path) -> None:
    pixels(augmentation_figure(noise(2, 8, 8), noise(2, 3, 8, 8), tmp_path / "augmentation"))


def test_the_report_can_cut_a_figure_apart(tmp_path: Path) -> None:
    images = np.stack([np.full((16, 16), shade, np.uint8) for shade in (40, 80, 120, 160, 200)])
    true, answer = ["glioma"] * 5, ["glioma"] * 4 + ["Ödem →"]
    path = grid_figure(images, true, answer, np.full(5, 0.9), tmp_path / "grid")[0]
    pictures = tiles.cut(path)
    assert [picture["verdict"] for picture in pictures] == ["right"] * 4 + ["wrong"]
    assert pictures[4]["lines"] == ("✗ true: Glioma", f"predicted: {title('Ödem →')} 0.90")
    for picture, shade in zip(pictures, (40, 80, 120, 160, 200), strict=True):
        (uri,) = picture["images"]
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            got = np.asarray(image.convert("L")).astype(int)
        assert min(got.shape) > 350
        assert abs(got - shade).max() <= 3  # nothing of the frame, the title or a neighbour


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '[{"boxes": [[0, 0, 9, 99999999]]}]', '[{"boxes": [[-1, 0, 9, 9]]}]', '[{"boxes": [[1]]}]'],
)
def test_marks_that_make_no_sense_are_not_followed(tmp_path: Path, text: str) -> None:
    about = PngInfo()
    about.add_text(tiles.KEY, text)
    Image.new("L", (20, 20)).save(tmp_path / "a.png", pnginfo=about)
    assert tiles.cut(tmp_path / "a.png") == []


def test_legends_lie_outside_of_the_curves(tmp_path: Path, builders) -> None:
    """Each corner is crossed by some curve, so every pixel row below the axes must be free for the legend."""
    curves = class_curves(builders["table"](), "roc")
    tall = pixels(roc_figure(curves, tmp_path / "roc"))
    blue = np.abs(tall.astype(int) - (0, 114, 178)).max(axis=2) < 30
    rows = np.flatnonzero(blue.any(axis=1))
    # The last blue is the legend's sample, apart from the curve by the axis labels.
    assert np.diff(rows).max() > 40


def test_equal_data_make_equal_bytes_and_no_global_state_stays(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    a = confusion_figure(["x", "y"], [[3, 1], [0, 2]], tmp_path / "a")
    b = confusion_figure(["x", "y"], [[3, 1], [0, 2]], tmp_path / "b")
    assert [p.read_bytes() for p in a] == [p.read_bytes() for p in b]
    assert dict(matplotlib.rcParams) == before
    from matplotlib import _pylab_helpers

    assert not _pylab_helpers.Gcf.figs


def test_hostile_class_names_are_drawn_as_text(tmp_path: Path) -> None:
    name = r"$\frac{1}$ <script>&" + "x" * 60
    pixels(grid_figure(noise(1, 8, 8), [name], ["_hidden"], np.array([0.9]), tmp_path / "grid"))
    pixels(confusion_figure([name, "y"], [[1, 0], [0, 1]], tmp_path / "confusion"))
    x = np.array([0.0, 1.0])
    pixels(roc_figure({name: (x, x, 0.5)}, tmp_path / "roc"))
