"""The node's queue: nothing that was acknowledged is lost, nothing is done twice, whatever stops it."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tumorlens.dicom.queue import Queue
from tumorlens.errors import EnvironmentFailure


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "node")


def test_a_series_is_ready_when_nothing_came_for_a_while(queue: Queue) -> None:
    assert queue.receive("1.1", "1", "0", b"a", now=100)
    assert queue.receive("1.2", "1", "0", b"b", now=105)
    assert queue.ready(10, now=114) == []
    assert queue.ready(10, now=115) == ["1"]
    assert [one.file.read_bytes() for one in queue.instances("1")] == [b"a", b"b"]


def test_what_is_there_already_changes_nothing(queue: Queue) -> None:
    assert queue.receive("1.1", "1", "0", b"a", now=100)
    assert queue.answered("1", ["1.1"], {"9.1": b"report"}, ["PACS"])
    assert not queue.receive("1.1", "1", "0", b"a", now=200)
    assert queue.ready(0, now=300) == []
    assert queue.receive("1.2", "1", "0", b"b", now=400)  # a new one does
    assert queue.ready(0, now=400) == ["1"]


def test_an_answer_that_was_overtaken_is_not_sent(queue: Queue) -> None:
    queue.receive("1.1", "1", "0", b"a", now=100)
    queue.receive("1.2", "1", "0", b"b", now=101)
    assert not queue.answered("1", ["1.1"], {"9.1": b"report of one"}, ["PACS"])
    assert queue.waiting() == []
    assert queue.ready(0, now=200) == ["1"]


def test_a_series_that_is_closed_need_not_be_quiet(queue: Queue) -> None:
    queue.receive("1.1", "1", "0", b"a", now=100)
    assert not queue.close_series("1", {"1.1", "1.2"})  # one is missing
    assert not queue.close_series("2")
    assert queue.ready(10, now=101) == []
    assert queue.close_series("1", {"1.1"})
    assert queue.ready(10, now=101) == ["1"]
    assert queue.failed("1", "fault", 20, now=101) == 1  # it waits like any other
    assert not queue.close_series("1")
    assert queue.ready(0, now=120) == []
    assert queue.ready(0, now=121) == ["1"]
    queue.receive("1.2", "1", "0", b"b", now=130)
    assert queue.close_series("1")
    queue.receive("1.3", "1", "0", b"c", now=131)  # it was not complete
    assert queue.ready(10, now=132) == []


def test_what_was_not_acknowledged_leaves_nothing_behind(queue: Queue) -> None:
    queue.receive("1.1", "1", "0", b"a", now=100)
    queue.close()
    for name in ("in/.x.dcm.abc.part", "in/0123.dcm", "out/0123.dcm"):
        (queue.folder / name).write_bytes(b"half")
    again = Queue(queue.folder)
    assert [path.read_bytes() for path in queue.folder.glob("*/*")] == [b"a"]
    assert [one.file.read_bytes() for one in again.instances("1")] == [b"a"]


def test_what_was_sent_is_not_sent_again_and_what_was_not_comes_back(queue: Queue) -> None:
    queue.receive("1.1", "1", "0", b"a", now=100)
    for _ in range(2):  # answered twice, the same report
        assert queue.answered("1", ["1.1"], {"9.1": b"report"}, ["PACS", "ARCHIVE"])
    assert queue.waiting(now=0) == ["ARCHIVE", "PACS"]
    (first,), (second,) = queue.due("ARCHIVE", now=0), queue.due("PACS", now=0)
    queue.sent(first)
    queue.unsent(second, wait=30, now=100)
    assert queue.answered("1", ["1.1"], {"9.1": b"report"}, ["PACS", "ARCHIVE"])
    assert queue.waiting(now=129) == queue.due("PACS", now=129) == []
    assert queue.waiting(math.inf) == ["PACS"]
    (again,) = queue.due("PACS", now=130)
    assert (again.destination, again.attempts, again.file.read_bytes()) == (second.destination, 1, b"report")


def test_files_of_what_is_done_are_deleted_and_their_names_kept(queue: Queue) -> None:
    queue.receive("1.1", "1", "0", b"a", now=100)
    queue.answered("1", ["1.1"], {"9.1": b"report"}, ["PACS"])
    assert queue.forget(10, now=200) == 0  # not sent yet
    queue.sent(queue.due("PACS", now=200)[0], now=0)
    assert queue.forget(200, now=200) == 0
    assert queue.forget(10, now=200) == 2
    assert queue.counts() == {"series": {"answered": 1}, "outbox": {"sent": 1}, "instances": {"received": 1}}


def test_a_result_that_one_destination_waits_for_is_kept(queue: Queue) -> None:
    queue.receive("1.1", "1", "0", b"a", now=100)
    queue.answered("1", ["1.1"], {"9.1": b"report"}, ["PACS", "ARCHIVE"])
    queue.sent(queue.due("PACS", now=100)[0], now=100)
    assert queue.forget(10, now=10_000) == 0
    (late,) = queue.due("ARCHIVE", now=10_000)
    assert late.file.read_bytes() == b"report"
    queue.sent(late, now=10_000)
    assert queue.forget(10, now=10_005) == 0  # a day counts from there
    assert queue.forget(10, now=10_010) == 2


def test_a_refusal_that_was_overtaken_does_not_count(queue: Queue) -> None:
    queue.receive("1.1", "1", "0", b"a", now=100)
    queue.receive("1.2", "1", "0", b"b", now=101)
    assert not queue.refused("1", ["1.1"], "localiser")
    assert queue.ready(0, now=200) == ["1"]
    assert queue.refused("1", ["1.1", "1.2"], "localiser")
    assert queue.ready(0, now=200) == []


def test_what_a_killed_program_was_answering_is_tried_again_after_the_others(queue: Queue) -> None:
    for number in (1, 2, 3):
        queue.receive(f"{number}.1", str(number), "0", b"a", now=100 + number)
    queue.begun("2")
    queue.ended("2")  # it ended, however
    queue.begun("3")
    queue.answered("3", ["3.1"], {"9.1": b"report"}, ["PACS"])  # it was done, and nobody could say so
    queue.begun("1")
    queue.close()
    again = Queue(queue.folder)
    assert again.killed(20, now=200) == {"1": 1}
    assert again.ready(0, now=219) == ["2"]
    assert again.ready(0, now=220) == ["2", "1"]
    assert again.killed(20, now=220) == {}
    again.begun("1")
    again.close()
    assert Queue(queue.folder).killed(20, now=230) == {"1": 2}


def test_names_on_disk_say_nothing(queue: Queue) -> None:
    queue.receive("1.2.840.113619.7", "1.2.840.113619", "1.2", b"a")
    names = " ".join(str(path) for path in queue.folder.rglob("*"))
    assert "840.113619" not in names


def test_a_queue_of_another_version_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    Queue(tmp_path).close()
    base = sqlite3.connect(tmp_path / "queue.sqlite")
    base.execute("PRAGMA user_version=99")
    base.close()
    with pytest.raises(EnvironmentFailure, match="version 99"):
        Queue(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "queue.sqlite").write_bytes(b"no database" * 200)
    with pytest.raises(EnvironmentFailure, match="cannot be opened"):
        Queue(tmp_path / "other")


class Machine(RuleBasedStateMachine):
    """Any order of receiving, answering, sending and starting again, beside a plain model of it."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.queue = Queue(Path(self.folder.name))
        self.clock = 0.0
        self.known: dict[str, set[str]] = {}
        self.open: set[str] = set()
        self.forgotten: set[str] = set()  # series of which files may be gone
        self.delivered: list[tuple[str, str]] = []

    def teardown(self) -> None:
        self.queue.close()
        self.folder.cleanup()

    @rule(series=st.sampled_from("abc"), number=st.integers(0, 4))
    def receive(self, series: str, number: int) -> None:
        self.clock += 1
        sop = f"{series}.{number}"
        new = self.queue.receive(sop, series, "s", sop.encode(), now=self.clock)
        assert new == (sop not in self.known.get(series, set())) or series in self.forgotten
        if new:
            self.known.setdefault(series, set()).add(sop)
            self.open.add(series)

    @rule(late=st.booleans())
    def answer(self, late: bool) -> None:
        for series in self.queue.ready(0, now=self.clock):
            seen = [one.sop for one in self.queue.instances(series)]
            if late:
                self.receive(series, 9)
            done = self.queue.answered(series, seen, {f"sr-{'-'.join(sorted(seen))}": b"r"}, ["X", "Y"])
            assert done == (set(seen) == self.known[series])
            if done:
                self.open.discard(series)

    @rule(late=st.booleans())
    def refuse(self, late: bool) -> None:
        for series in self.queue.ready(0, now=self.clock):
            seen = [one.sop for one in self.queue.instances(series)]
            if late:
                self.receive(series, 8)
            if self.queue.refused(series, seen, "localiser"):
                assert set(seen) == self.known[series]
                self.open.discard(series)

    @rule()
    def fail(self) -> None:
        for series in self.queue.ready(0, now=self.clock):
            self.queue.failed(series, "fault", 5, now=self.clock)
        self.clock += 5

    @rule()
    def forget(self) -> None:
        due = {one.file for name in "XY" for one in self.queue.due(name, now=self.clock + 1000, most=1000)}
        self.queue.forget(1, now=self.clock)
        assert all(file.is_file() for file in due)
        for series in self.open:
            assert all(one.file.is_file() for one in self.queue.instances(series)) or series in self.forgotten
        self.forgotten |= set(self.known) - self.open

    @rule(works=st.booleans(), name=st.sampled_from("XY"))
    def send(self, works: bool, name: str) -> None:
        self.clock += 100
        for one in self.queue.due(name, now=self.clock):
            if works:
                self.delivered.append((one.sop, one.destination))
                self.queue.sent(one, now=self.clock)
            else:
                self.queue.unsent(one, 5, now=self.clock)

    @rule()
    def start_again(self) -> None:
        self.queue.close()
        self.queue = Queue(Path(self.folder.name))

    @invariant()
    def nothing_is_lost_or_done_twice(self) -> None:
        assert set(self.queue.ready(0, now=self.clock)) == self.open
        assert len(self.delivered) == len(set(self.delivered))
        for series, sops in self.known.items():
            assert {one.sop for one in self.queue.instances(series)} == sops


TestQueue = Machine.TestCase
TestQueue.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


def test_killed_at_any_moment_it_keeps_what_it_has_acknowledged(tmp_path: Path) -> None:
    """A process that writes down what was acknowledged only afterwards is killed again and again."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tumorlens.dicom.queue import Queue
        queue = Queue(Path(sys.argv[1]) / "node")
        with open(Path(sys.argv[1]) / "acknowledged", "a") as log:
            for number in range(int(sys.argv[2]), 100000):
                queue.receive(f"1.{number}", f"{number % 7}", "0", f"content {number}".encode())
                log.write(f"{number}\\n")
                log.flush()
        """
    )
    start, rng = 0, random.Random(0)
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(start)])
        end = time.monotonic() + 60
        while time.monotonic() < end and not _lines(tmp_path / "acknowledged") > start:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        start = _lines(tmp_path / "acknowledged")
    queue = Queue(tmp_path / "node")
    kept = {one.sop: one for series in range(7) for one in queue.instances(str(series))}
    for number in range(start):
        assert kept[f"1.{number}"].file.read_bytes() == f"content {number}".encode()


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.is_file() else 0
