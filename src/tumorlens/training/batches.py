"""Batches of an epoch, made ahead in a thread. What a batch holds depends only on (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import cv2
import numpy as np

from tumorlens.config import AugmentSettings
from tumorlens.preprocess import to_input
from tumorlens.preprocess.outlines import Outlines
from tumorlens.preprocess.stack import Stack
from tumorlens.training import augment
from tumorlens.training.implants import Implants, Tally

# Streams of chance that must not meet: each draws from its own generator.
_SHUFFLE, _AUGMENT, _IMPLANT = 1, 2, 3
_AHEAD = 3

# One array, or the one of each output of a network that is told more than the class.
Targets = np.ndarray | dict[str, np.ndarray]
Batch = tuple[np.ndarray, Targets, Targets]


@dataclass(frozen=True)
class Drawn:
    """Images that teach where a tumour is, and no class.

    Attributes:
        images: uint8 (M, S, S).
        outlines: where their tumours are.
        digest: tells them from others.
    """

    images: np.ndarray | Stack
    outlines: Outlines
    digest: str = ""


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
        outlines: where the tumours are, of the images' size; None where the network learns from labels only.
        mask_size: height and width of the mask that the network predicts; 0 where it predicts none.
        implants: tumours taken out of images and put into others; None for none.
        drawn: M images more for a network that predicts a mask; None for none. Their targets are zeros, and an epoch
            shows all N + M.
        edits: of the batches that were made and not asked about yet: (epoch, step) → their tally.
    """

    images: np.ndarray | Stack
    targets: np.ndarray
    weights: np.ndarray
    size: int
    settings: AugmentSettings
    seed: int
    outlines: Outlines | None = None
    mask_size: int = 0
    implants: Implants | None = None
    drawn: Drawn | None = None
    edits: dict[tuple[int, int], Tally] = field(default_factory=dict, compare=False, repr=False)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return max(1, self._count // self.size)

    @property
    def plain_steps(self) -> int:
        """Batches per epoch of :meth:`plain`."""
        return max(1, len(self.images) // self.size)

    @property
    def share(self) -> float:
        """Of the images that have a class: that a batch holds on average."""
        return len(self.images) / self._count

    @property
    def _count(self) -> int:
        return len(self.images) + (len(self.drawn.images) if self.drawn else 0)

    def make(self, epoch: int, step: int) -> Batch:
        """Batch ``step`` of ``epoch``: float32 images (B, S, S, 1) in [0, 1], targets (B, classes), weights (B,).

        Where the network predicts a mask, targets and weights are dictionaries with those of ``logits`` and of
        ``mask_logits`` (B, h, w, 1).
        """
        every = self._chosen(epoch, step, self._count)
        chosen = every[every < len(self.images)]
        targets, weights = self.targets[chosen], self.weights[chosen]
        masks = None
        if self.implants is not None:
            rng = np.random.default_rng([self.seed, _IMPLANT, epoch, step])
            images, masks, classes, self.edits[epoch, step] = self.implants.change(rng, chosen)
            # What became of another class counts as that class does.
            weights = np.where(classes == targets.argmax(axis=1), weights, self._usual_weights[classes])
            targets = np.eye(targets.shape[1], dtype=np.float32)[classes]
        else:
            images = np.asarray(self.images[chosen])
            masks = self.outlines.of(chosen) if self.outlines is not None and self.mask_size else None
        known = weights * self.outlines.known[chosen] if self.outlines is not None else weights
        if self.drawn is not None and masks is not None:
            beside = every[len(chosen) :] - len(self.images)
            images = np.concatenate([images, self.drawn.images[beside]])
            masks = np.concatenate([masks, self.drawn.outlines.of(beside)])
            known = np.concatenate([known, self.drawn.outlines.known[beside].astype(np.float32)])
            targets = np.concatenate([targets, np.zeros((len(beside), targets.shape[1]), np.float32)])
            # The loss of naming the class is a mean over the batch, and stays that of the images that have one.
            weights = np.concatenate([weights / np.float32(self.share), np.zeros(len(beside), np.float32)])
        if self.settings.enabled:
            rng = np.random.default_rng([self.seed, _AUGMENT, epoch, step])
            changes = augment.draw(rng, len(images), self.settings)
            images = augment.apply(images, changes)
            masks = augment.move(masks, changes) if masks is not None and self.mask_size else None
        if masks is None or self.outlines is None or not self.mask_size:
            return to_input(images), targets, weights
        return (
            to_input(images),
            {"logits": targets, "mask_logits": to_input(_shrunk(masks, self.mask_size))},
            {"logits": weights, "mask_logits": known},
        )

    def plain(self, epoch: int, step: int) -> np.ndarray:
        """Images as the network will see them in service: as many as a batch has, not augmented, (B, S, S, 1)."""
        return to_input(np.asarray(self.images[self._chosen(epoch, step, len(self.images))]))

    @cached_property
    def _usual_weights(self) -> np.ndarray:
        """How much an image of each class counts on average, float32 (classes,)."""
        counts = np.maximum(self.targets.sum(axis=0), 1)
        return np.asarray(self.weights @ self.targets / counts, np.float32)

    def _chosen(self, epoch: int, step: int, count: int) -> np.ndarray:
        order = _order(self.seed, epoch, count)
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


def _shrunk(masks: np.ndarray, size: int) -> np.ndarray:
    """Masks uint8 (B, S, S) averaged over the cells of a coarser grid, uint8 (B, size, size)."""
    return np.stack([cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) for mask in masks])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of an epoch's images, int64 (count,); drawn once per epoch, not once per step."""
    order = np.random.default_rng([seed, _SHUFFLE, epoch]).permutation(count)
    order.setflags(write=False)
    return order
