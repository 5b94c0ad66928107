"""Batches of an epoch, made ahead in a thread. What a batch holds depends only on (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tumorlens.config import AugmentSettings
from tumorlens.preprocess import to_input
from tumorlens.preprocess.stack import Stack
from tumorlens.training import augment

# Streams of chance that must not meet: each draws from its own generator.
_SHUFFLE, _AUGMENT = 1, 2
_AHEAD = 3

# One array, or the one of each output of a network that is told more than the class.
Targets = np.ndarray | dict[str, np.ndarray]
Batch = tuple[np.ndarray, Targets, Targets]


@dataclass(frozen=True)
class TrainingBatches:
    """The training images as batches.

    Attributes:
        images: uint8 (N, S, S), in memory or on disk.
        targets: one-hot float32 (N, classes).
        weights: float32 (N,), how much each image counts.
        size: images per batch; the last, smaller batch of an epoch is left out (its images come in another epoch).
        settings: augmentation.
        seed: of the run.
        masks: uint8 (N, h, w), the share of each cell that is tumour, in 255ths; None where the network learns from
            labels only.
        known: bool (N,), whether an image's mask is known.
    """

    images: np.ndarray | Stack
    targets: np.ndarray
    weights: np.ndarray
    size: int
    settings: AugmentSettings
    seed: int
    masks: np.ndarray | None = None
    known: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return max(1, len(self.images) // self.size)

    def make(self, epoch: int, step: int) -> Batch:
        """Batch ``step`` of ``epoch``: float32 images (B, S, S, 1) in [0, 1], targets (B, classes), weights (B,).

        With masks, targets and weights are dictionaries with those of ``logits`` and of ``mask_logits`` (B, h, w, 1).
        """
        chosen = self._chosen(epoch, step)
        images = np.asarray(self.images[chosen])
        masks = None if self.masks is None else self.masks[chosen]
        if self.settings.enabled:
            rng = np.random.default_rng([self.seed, _AUGMENT, epoch, step])
            changes = augment.draw(rng, len(images), self.settings)
            images = augment.apply(images, changes)
            masks = None if masks is None else augment.move(masks, changes)
        targets, weights = self.targets[chosen], self.weights[chosen]
        if masks is None or self.known is None:
            return to_input(images), targets, weights
        return (
            to_input(images),
            {"logits": targets, "mask_logits": to_input(masks)},
            {"logits": weights, "mask_logits": weights * self.known[chosen]},
        )

    def plain(self, epoch: int, step: int) -> np.ndarray:
        """The images of a batch as the network will see them in service: without augmentation, (B, S, S, 1)."""
        return to_input(np.asarray(self.images[self._chosen(epoch, step)]))

    def _chosen(self, epoch: int, step: int) -> np.ndarray:
        order = _order(self.seed, epoch, len(self.images))
        # Sorted, so that a memory map is read forwards; the order inside a batch does not matter.
        return np.sort(order[step * self.size : (step + 1) * self.size])

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of ``epoch`` from step ``first`` on, made a few steps ahead in a thread."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
            waiting = [pool.submit(self.make, epoch, step) for step in range(first, min(first + _AHEAD, self.steps))]
            try:
                for step in range(first, self.steps):
                    if step + _AHEAD < self.steps:
                        waiting.append(pool.submit(self.make, epoch, step + _AHEAD))
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of an epoch's images, int64 (count,); drawn once per epoch, not once per step."""
    order = np.random.default_rng([seed, _SHUFFLE, epoch]).permutation(count)
    order.setflags(write=False)
    return order
