"""Candidates compared at pixel level, several at a time, and no pair twice: not even in another run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from tumorlens.audit import remembered, verify
from tumorlens.audit.look import Looks
from tumorlens.audit.remembered import Remembered
from tumorlens.audit.search import Candidates
from tumorlens.audit.verify import Agreement
from tumorlens.preprocess.interrupted import finished


class Comparing:
    """Compares pictures in threads; use it in a ``with`` statement.

    Args:
        looks: records (N,).
        same: SHA-256 of each picture's pixels.
        memory: of what was compared before.
    """

    def __init__(self, looks: Looks, same: Sequence[bytes], memory: Remembered) -> None:
        self._looks, self._same, self._memory = looks, same, memory
        self._pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))

    def __enter__(self) -> Comparing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def agreements(self, found: Candidates, wanted: Sequence[int]) -> list[Agreement]:
        """How well some candidates, given by their numbers, agree.

        What has been compared when a person presses Ctrl-C is remembered before the program ends.
        """
        names = [self._name(found, i) for i in wanted]
        known = self._memory.known(names)

        def compare(name: bytes, i: int) -> tuple[bytes, Agreement]:
            first, second = self._looks[int(found.first[i])], self._looks[int(found.second[i])]
            boxes = int(found.first_box[i]), int(found.second_box[i])
            return name, verify.compare(first, boxes[0], second, boxes[1], int(found.orientation[i]))

        missing = {name: i for name, i in zip(names, wanted, strict=True) if name not in known}
        begun = [self._pool.submit(compare, name, i) for name, i in missing.items()]
        try:
            for future in begun:
                name, known[name] = future.result()
                self._memory.add(name, known[name])
        except KeyboardInterrupt:
            for name, agreement in finished(begun):
                self._memory.add(name, agreement)
            raise
        return [known[name] for name in names]

    def _name(self, found: Candidates, i: int) -> bytes:
        return remembered.name(
            self._same[int(found.first[i])],
            self._same[int(found.second[i])],
            int(found.first_box[i]),
            int(found.second_box[i]),
            int(found.orientation[i]),
        )
