"""What the gate learns from and is asked about: slices of brain MRI, and pictures that are none.

Each picture is kept twice, as the two recipes show it to a network, 64 pixels wide: the gate sees what the network
sees, whatever the recipe of the network.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tumorlens.data.phantom import make_slices
from tumorlens.data.phantom.ct import ct_slices
from tumorlens.data.phantom.sequences import other_mr_slices
from tumorlens.errors import TumorLensError
from tumorlens.inference.gate import small
from tumorlens.io import files
from tumorlens.pipeline.auditing import audit
from tumorlens.preprocess import Recipe, standardise

_RECIPES = (Recipe(size=192), Recipe(kind="plain", size=192))
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
DRAWN = 800
# In the sources of MR, told by eye: slices that show no brain (head CT are named in recipes/default-data.toml). So do
# shares of a volume at either end.
NO_BRAIN = {"t1w_head": ("N2D_0009", "N2D_0377")}
_ENDS = 0.15


@dataclass(frozen=True)
class Pictures:
    """N pictures.

    Attributes:
        images: uint8 (N, 2, 64, 64), in the standard and in the plain recipe.
        kinds: where each comes from: a source of MR, or a kind of foreign picture.
        groups: what must not be learned from and asked about at once.
        brain_mr: bool (N,).
        names: of the files, to look at.
    """

    images: np.ndarray
    kinds: np.ndarray
    groups: np.ndarray
    brain_mr: np.ndarray
    names: np.ndarray

    def take(self, rows: np.ndarray) -> Pictures:
        """Some of them."""
        return Pictures(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


_Item = tuple[np.ndarray, str, str, bool, str]


def gathered(data: Path) -> Pictures:
    """Everything there is, real and drawn."""
    items = [*_sources(data), *_more_mr(data), *_foreign(data), *_drawn()]
    shown = [
        np.stack([small(standardise(pixels, recipe)[np.newaxis])[0] for recipe in _RECIPES]) for pixels, *_ in items
    ]
    columns = list(zip(*(item[1:] for item in items), strict=True))
    return Pictures(np.stack(shown), *(np.array(column) for column in columns))


def _sources(data: Path) -> Iterator[_Item]:
    """Slices of the four-class sources; copies of one picture and slices of one patient are one group."""
    specs = [
        str(data / "figshare" / "index.csv"),
        f"mask:glioma={data / 'brain_tumor_progression'}",
        f"no_tumor={data / 'br35h_no'}",
        str(data / "mixed_web"),
        f"no_tumor={data / 'dicom' / 't1w_head'}",
    ]
    manifest = audit(specs).found.manifest
    sources = tomllib.loads((RECIPES / "default-data.toml").read_text(encoding="utf-8"))["source"]
    named = {(entry["name"], stem) for entry in sources for stem in entry.get("ct", "").split()}
    ct = {row.group for row in manifest if (row.source, Path(row.path).stem) in named}  # their copies, too
    for row in manifest:
        if Path(row.path).stem in NO_BRAIN.get(row.source, ()):
            continue
        try:
            pixels = files.read_slice(row.path, row.frame).pixels
        except TumorLensError:
            continue
        if pixels.max() > pixels.min():
            is_ct = row.group in ct
            yield pixels, "web_ct" if is_ct else row.source, row.group, not is_ct, row.id


def _more_mr(data: Path) -> Iterator[_Item]:
    """A template, and brain MR that no classifier of ours learns from: without a skull."""
    yield from _read([data / "nifti" / "spm152.nii.gz"], "spm152.nii.gz", True, every=2, ends=_ENDS)
    yield from _read([data / "nifti" / "MR_Gd.nii.gz"], "MR_Gd", True, every=2, ends=_ENDS)


def _foreign(data: Path) -> Iterator[_Item]:
    """Photographs, X-rays, CT and MR of other parts of the body."""
    folder = data / "not_brain_mri"
    for kind in (folder / "photos", folder / "chest_xray", *sorted((folder / "medical_mnist").iterdir())):
        yield from _read(sorted(kind.iterdir()), kind.name, False)
    yield from _read(sorted((data / "dicom" / "not_brain_mr").iterdir()), "dicom_not_brain_mr", False)


def _read(paths: Iterable[Path], kind: str, brain_mr: bool, every: int = 1, ends: float = 0.0) -> Iterator[_Item]:
    for path in paths:
        try:
            slices = files.read(str(path))
        except TumorLensError:
            continue
        first, last = round(len(slices) * ends), round(len(slices) * (1 - ends))
        for item in slices[first:last:every]:
            if item.pixels.max() > item.pixels.min():
                yield item.pixels, kind, f"{kind}/{path.stem}", brain_mr, item.id


def _drawn() -> Iterator[_Item]:
    """Heads of the phantom in MR, of the usual and of other sequences, and in a CT scanner; what no scanner makes."""
    for made in make_slices(DRAWN, seed=411):
        yield made.image.astype(np.float32), "phantom", f"phantom/{made.patient}", True, made.patient
    for made in other_mr_slices(DRAWN, seed=414):
        yield made.image.astype(np.float32), "drawn_mr", f"drawn_mr/{made.patient}", True, made.patient
    for made in ct_slices(2 * DRAWN, seed=412):
        yield made.image.astype(np.float32), "drawn_ct", f"drawn_ct/{made.patient}", False, made.patient
    rng = np.random.default_rng(413)
    for number in range(DRAWN // 2):
        yield nonsense(rng), "nonsense", f"nonsense/{number}", False, str(number)


def nonsense(rng: np.random.Generator) -> np.ndarray:
    """Noise, gradients, shapes, or a screen with lines of writing, float32 (256, 256)."""
    size, kind = 256, rng.integers(4)
    if kind == 0:
        coarse = int(rng.choice([4, 16, 64, 256]))
        picture = cv2.resize(rng.random((coarse, coarse), np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    elif kind == 1:
        across, down = rng.uniform(-1, 1, 2)
        line = np.linspace(0, 1, size, dtype=np.float32)
        picture = across * line[np.newaxis] + down * line[:, np.newaxis]
    else:
        screen = np.full((size, size), int(rng.integers(256)), np.uint8)
        for _ in range(int(rng.integers(1, 30))):
            _mark(rng, screen, written=kind == 3)
        picture = screen + rng.normal(0, 4, screen.shape) * rng.integers(2)
    return np.asarray((picture - picture.min()) / max(float(picture.max() - picture.min()), 1e-6) * 255, np.float32)


def _mark(rng: np.random.Generator, screen: np.ndarray, *, written: bool) -> None:
    """A line of writing, an ellipse or a box."""
    start, end = (tuple(map(int, rng.integers(0, len(screen), 2))) for _ in range(2))
    shade = int(rng.integers(256))
    if written:
        words = "".join(chr(int(code)) for code in rng.integers(33, 127, int(rng.integers(3, 24))))
        cv2.putText(screen, words, start, int(rng.integers(8)), float(rng.uniform(0.3, 1.2)), shade, 1, cv2.LINE_AA)
    elif rng.integers(2):
        axes = tuple(map(int, rng.integers(4, len(screen) // 2, 2)))
        cv2.ellipse(screen, start, axes, float(rng.uniform(0, 180)), 0, 360, shade, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(screen, start, end, shade, -1)
