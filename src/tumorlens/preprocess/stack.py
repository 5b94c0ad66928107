"""A choice of records from a memory-mapped file, in any order, read only where it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class Stack:
    """Reads like an array (N, …), of images uint8 (N, S, S) for example; holds N numbers and the map of the file.

    Args:
        every: (M, …), all records of the file.
        order: int64 (N,), which of them, in which order.
    """

    def __init__(self, every: np.ndarray, order: np.ndarray) -> None:
        self._every, self._order = every, np.asarray(order, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, …)."""
        return len(self), *self._every.shape[1:]

    def __getitem__(self, index: Any) -> Any:
        """The records at an index, slice or list of indices, copied into memory; a field's name gives its own stack."""
        if isinstance(index, str):
            return Stack(self._every[index], self._order)
        if isinstance(index, tuple):
            return np.array(self._every[self._order[index[0]], *index[1:]])
        return np.array(self._every[self._order[index]])

    def __iter__(self) -> Iterator[np.ndarray]:
        for slot in self._order:
            yield np.array(self._every[slot])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it in memory."""
        return np.asarray(self[:], dtype=dtype)

    def choose(self, indices: Any) -> Stack:
        """The records at ``indices`` as a stack of their own; nothing is read."""
        return Stack(self._every, self._order[np.asarray(indices, dtype=np.int64)])
