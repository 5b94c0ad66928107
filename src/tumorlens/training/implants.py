"""Tumours taken out of training slices, and put into others: what breaks the tie between a class and its source.

In the public sets "no tumour" comes from other scanners than the tumours do, so a network can learn the scanner. Here
some tumour slices become *healthy twins*: the tumour is covered by tissue of the same head's other side, of another
place in it, or of another head, and the label becomes "no tumour". Some tumour-free slices receive a *transplant*: the
tumour of another slice of the same plane, with that slice's label. As many slices again get the same treatment without
a tumour being involved and keep their label (*decoys*), so that the traces of the edit say nothing.

The reader of a slice sees it before augmentation; parameters are drawn apart from the functions that apply them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tumorlens.preprocess.outlines import Outlines
from tumorlens.preprocess.stack import Stack

# The grown outline takes the tumour's rim along; the ring around it says how bright the surroundings are.
_GROWN, _RING, _FEATHER = 2, 5, 1.2
_AIR = 12  # grey value below which there is no head
_COVERED = 0.95  # of a region that must lie in the head
_TRIES = 6


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

    def change(
        self, rng: np.random.Generator, chosen: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slices of a batch, some of them changed.

        Args:
            rng: the only source of chance.
            chosen: (B,), which slices.

        Returns:
            uint8 (B, S, S) images, uint8 (B, S, S) masks, int64 (B,) classes.
        """
        images, masks = np.array(self.images[chosen]), self.outlines.of(chosen)
        classes = self.classes[chosen].copy()
        with_tumour = np.flatnonzero(self.outlines.place >= 0)
        for slot, index in enumerate(chosen):
            free = classes[slot] == self.healthy
            share = self.transplants if free else self.twins if self.outlines.place[index] >= 0 else 0.0
            luck = rng.random()
            if luck < share:
                made = self._transplant(rng, index, with_tumour) if free else self._twin(rng, index)
                if made is not None:
                    images[slot], masks[slot], classes[slot] = made
            elif luck < 2 * share:
                edited = self._decoy(rng, index, with_tumour)
                images[slot] = images[slot] if edited is None else edited
        return images, masks, classes

    def _twin(self, rng: np.random.Generator, index: int) -> tuple[np.ndarray, np.ndarray, int] | None:
        """The slice without its tumour."""
        image, mask = self._one(index)
        region = grown(mask > 127, _GROWN)
        covered = self._cover(rng, index, image, mask, region)
        return None if covered is None else (covered, np.zeros_like(mask), self.healthy)

    def _decoy(self, rng: np.random.Generator, index: int, with_tumour: np.ndarray) -> np.ndarray | None:
        """The slice with a tumour-free region covered, in the shape of some tumour."""
        image, mask = self._one(index)
        own = grown(mask > 127, _GROWN)
        for other in rng.permutation(with_tumour)[:_TRIES]:
            shape = grown(self._one(other)[1] > 127, _GROWN)
            region = moved(shape, *_step(rng, shape.shape[0]), mirrored=bool(rng.integers(2)))
            if region.any() and not (region & own).any() and in_head(image, region):
                return self._cover(rng, index, image, mask, region)
        return None

    def _cover(
        self, rng: np.random.Generator, index: int, image: np.ndarray, mask: np.ndarray, region: np.ndarray
    ) -> np.ndarray | None:
        """The region covered by healthy tissue from elsewhere; None where none fits."""
        here = grown(mask > 127, _GROWN) | region
        same = np.flatnonzero((self.planes == self.planes[index]) & self.outlines.known)
        for _ in range(_TRIES):
            kind = rng.integers(3)
            if kind == 0:  # the other side of the head
                tissue, tumour = image[:, ::-1], here[:, ::-1]
            elif kind == 1:  # another place in it
                step = _step(rng, len(image))
                tissue, tumour = moved(image, *step), moved(here, *step)
            else:  # another head
                tissue, other = self._one(int(rng.choice(same)))
                tumour = grown(other > 127, _GROWN)
            if not (tumour & region).any() and in_head(tissue, region):
                return blended(image, tissue, region, match_spread=True)
        return None

    def _transplant(
        self, rng: np.random.Generator, index: int, with_tumour: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int] | None:
        """The slice with the tumour of another one."""
        image, _ = self._one(index)
        donors = with_tumour[self.planes[with_tumour] == self.planes[index]]
        for donor in rng.permutation(donors)[:_TRIES]:
            tissue, mask = self._one(donor)
            mirrored = bool(rng.integers(2))
            tissue, mask = (tissue[:, ::-1], mask[:, ::-1]) if mirrored else (tissue, mask)
            region = grown(mask > 127, _GROWN)
            if region.any() and in_head(image, region):
                return blended(image, tissue, region, match_spread=False), mask, int(self.classes[donor])
        return None

    def _one(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.images[int(index)]), self.outlines.of([int(index)])[0]


def blended(image: np.ndarray, tissue: np.ndarray, region: np.ndarray, *, match_spread: bool) -> np.ndarray:
    """The region of ``image`` replaced by that of ``tissue``, as bright as the surroundings, with a soft edge.

    Args:
        image: uint8 (S, S).
        tissue: uint8 (S, S).
        region: bool (S, S).
        match_spread: whether the tissue's contrast is brought to that around the region, too; a tumour keeps its own.

    Returns:
        uint8 (S, S).
    """
    ring = grown(region, _RING) & ~region
    here, there = image[ring & (image > _AIR)], tissue[ring & (tissue > _AIR)]
    if here.size < 8 or there.size < 8:
        return image.copy()
    # Medians, since skull and vessels in the ring say little about the tissue.
    level, from_level = float(np.median(here)), float(np.median(there))
    spread = float(here.std() / max(there.std(), 1.0)) if match_spread else level / max(from_level, 1.0)
    fitted = (tissue.astype(np.float32) - from_level) * np.clip(spread, 0.5, 2.0) + level
    share = cv2.GaussianBlur(region.astype(np.float32), (0, 0), _FEATHER)
    mixed = share * fitted + (1 - share) * image
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


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
