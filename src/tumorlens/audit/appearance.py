"""What a picture looks like as a whole, in some forty numbers that turning and mirroring do not change.

They describe framing, brightness, detail and symmetry: enough to tell a photograph or another body part from the rest
of a set of brain slices, too little to tell a tumour.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from tumorlens.audit.look import Looks

Progress = Callable[[int, int], None]

_CHUNK: Final = 256  # pictures at once: 16 MB each
_RINGS: Final = 7
_LEVELS: Final = (0.05, 0.15, 0.3, 0.5, 0.7, 0.9)

# What each number is, to finish the sentence "differs from the others in …".
NAMES: Final = (
    *(f"{size} detail" for size in ("fine", "medium", "coarse", "very coarse")),
    *["the brightness of its corners"] * 4,
    *["the brightness of its edges"] * 4,
    *["how brightness falls from the centre outwards"] * _RINGS,
    *["how even it is around its centre"] * _RINGS,
    "overall brightness",
    "contrast",
    "symmetry",
    "symmetry",
    "the share of black",
    *["its brightness levels"] * len(_LEVELS),
)


def appearance(looks: Looks, progress: Progress | None = None) -> np.ndarray:
    """The numbers of each picture: float32 (N, len(NAMES)).

    Args:
        looks: records (N,) of :data:`tumorlens.audit.look.LOOK`, in memory or memory-mapped.
        progress: called with (pictures done, of how many).
    """

    def numbers(start: int) -> np.ndarray:
        part = looks[start : start + _CHUNK]
        return _numbers(np.asarray(part["picture"], np.float32), np.asarray(part["histogram"], np.float32))

    result = np.empty((len(looks), len(NAMES)), np.float32)
    starts = range(0, len(looks), _CHUNK)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for start, found in zip(starts, pool.map(numbers, starts), strict=True):
            result[start : start + _CHUNK] = found
            if progress:
                progress(start + len(found), len(looks))
    return result


def _numbers(pictures: np.ndarray, histograms: np.ndarray) -> np.ndarray:
    count = len(pictures)
    sample = _half(pictures).reshape(count, -1)
    dark, bright = np.percentile(sample, (2, 98), axis=1).astype(np.float32)
    wide = np.maximum(bright - dark, 8)
    full = np.clip((pictures - dark[:, None, None]) / wide[:, None, None], 0, 1)
    sizes = [full]
    while sizes[-1].shape[1] > 8:
        sizes.append(_half(sizes[-1]))
    small = sizes[2]  # 32 × 32
    columns = [
        np.log(((fine - coarse.repeat(2, 1).repeat(2, 2)) ** 2).mean((1, 2)) + 1e-6)
        for fine, coarse in itertools.pairwise(sizes)
    ]
    columns += list(_corners(small).T)
    columns += list(_edges(small).T)
    rings = [small[:, mask] for mask in _ring_masks(small.shape[1])]
    columns += [ring.mean(1) for ring in rings]
    columns += [ring.std(1) for ring in rings]
    columns += [small.mean((1, 2)), small.std((1, 2))]
    rest = small - small.mean((1, 2), keepdims=True)
    power = (rest**2).sum((1, 2)) + 1e-6
    across = (rest * rest[:, :, ::-1]).sum((1, 2)) / power
    down = (rest * rest[:, ::-1]).sum((1, 2)) / power
    columns += [np.maximum(across, down), np.minimum(across, down)]
    # No share of white: a copy made brighter until it clips is still a brain slice.
    columns.append(histograms[:, :4].sum(1))
    levels = np.clip((sample - dark[:, None]) / wide[:, None], 0, 1)
    columns += [(levels <= level).mean(1) for level in _LEVELS]
    return np.stack(columns, axis=1)


def _half(pictures: np.ndarray) -> np.ndarray:
    rows = pictures[:, ::2] + pictures[:, 1::2]  # several times faster than a mean over two short axes
    return np.asarray((rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25))


def _corners(small: np.ndarray, deep: int = 4) -> np.ndarray:
    """Darkest to brightest corner: (N, 4)."""
    ends = (slice(None, deep), slice(-deep, None))
    return np.sort(np.stack([small[:, a, b].mean((1, 2)) for a in ends for b in ends], axis=1), axis=1)


def _edges(small: np.ndarray, deep: int = 2) -> np.ndarray:
    """Darkest to brightest edge: (N, 4)."""
    strips = (small[:, :deep], small[:, -deep:], small[:, :, :deep], small[:, :, -deep:])
    return np.sort(np.stack([strip.mean((1, 2)) for strip in strips], axis=1), axis=1)


def _ring_masks(side: int) -> list[np.ndarray]:
    """Rings around the centre, as bool (side, side)."""
    along = (np.arange(side) - (side - 1) / 2) / (side / 2)
    ring = (np.hypot(along[:, None], along) * (_RINGS - 1)).astype(int)
    return [ring == number for number in range(_RINGS)]
