"""What the cache keeps of a slice: records of one size, made from its pixels by one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tumorlens.preprocess.recipe import Recipe, standardise
from tumorlens.preprocess.unfit import Unfit, unfit


class Form(Protocol):
    """A kind of record.

    Attributes:
        key: a short name that changes whenever the record of the same pixels would.
        dtype: of a record.
        shape: of a record.
    """

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def make(self, pixels: np.ndarray) -> np.ndarray | Unfit:
        """The record of a slice, float32 (H, W); or why it gets none."""
        ...


@dataclass(frozen=True)
class Picture:
    """The picture that a network is given: uint8 (size, size)."""

    recipe: Recipe

    @property
    def key(self) -> str:
        """The recipe's."""
        return self.recipe.key

    @property
    def dtype(self) -> np.dtype:
        """8-bit grey."""
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """(size, size)."""
        return self.recipe.size, self.recipe.size

    def make(self, pixels: np.ndarray) -> np.ndarray | Unfit:
        """The slice standardised; nothing of what gets no answer in service either."""
        image = standardise(pixels, self.recipe)
        return unfit(pixels, image) or image


def bytes_of(form: Form) -> int:
    """Size of a record."""
    return int(form.dtype.itemsize * np.prod(form.shape, dtype=np.int64))
