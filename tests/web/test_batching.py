"""Slices of many requests in one call: each request gets its own answers, whatever the others bring."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.web.batching import BATCH, Batcher


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=20))
def test_every_job_gets_its_own_answers_in_order(sizes: list[int]) -> None:
    calls: list[int] = []
    batcher = Batcher(lambda slices: [("answer", item) for item in slices], calls.append)  # type: ignore[arg-type, return-value]
    jobs = [[(number, i) for i in range(size)] for number, size in enumerate(sizes)]
    futures = [batcher.submit(job) for job in jobs]  # type: ignore[arg-type]
    for job, future in zip(jobs, futures, strict=True):
        assert future.result(10) == [("answer", item) for item in job]
    batcher.close()
    assert sum(calls) == sum(sizes)


def test_what_waits_is_answered_together() -> None:
    gate, calls = threading.Event(), []

    def slow(slices: Any) -> Any:
        calls.append(len(slices))
        gate.wait(10)
        return list(slices)

    batcher = Batcher(slow)
    first = batcher.submit([0])  # type: ignore[list-item]
    while not calls:
        time.sleep(0.001)
    rest = [batcher.submit([n]) for n in range(BATCH + 8)]  # type: ignore[list-item]
    gate.set()
    assert first.result(10) == [0]
    assert [future.result(10)[0] for future in rest] == list(range(BATCH + 8))
    batcher.close()
    assert calls == [1, BATCH, 8]


def test_a_fault_reaches_who_waits_and_the_next_is_answered() -> None:
    def broken(slices: Any) -> Any:
        if "bad" in slices:
            raise ValueError("broken")
        return list(slices)

    batcher = Batcher(broken)
    with pytest.raises(ValueError, match="broken"):
        batcher.submit(["bad"]).result(10)  # type: ignore[list-item]
    assert batcher.submit(["good"]).result(10) == ["good"]  # type: ignore[list-item]
    batcher.close()


def test_closing_answers_what_waits() -> None:
    batcher = Batcher(lambda slices: time.sleep(0.05) or list(slices))  # type: ignore[func-returns-value]
    futures = [batcher.submit([n]) for n in range(5)]  # type: ignore[list-item]
    batcher.close()
    assert [future.result(0)[0] for future in futures] == list(range(5))  # type: ignore[comparison-overlap]
