"""The node between a real PACS and a model: what goes in is answered, what comes out is about the right images."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.dicom.conformance import verified
from tests.dicom.conftest import PLUGIN, Pacs, free_port
from tests.dicom.test_reports import drawn

from tumorlens.cli.main import main
from tumorlens.dicom.node import Node, NodeOptions
from tumorlens.dicom.queue import Queue
from tumorlens.errors import EnvironmentFailure, UsageError
from tumorlens.pipeline.model import Model

pydicom = pytest.importorskip("pydicom")
pynetdicom = pytest.importorskip("pynetdicom")
highdicom = pytest.importorskip("highdicom")


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def options(folder: Path, port: int, *destinations: str, **more: Any) -> NodeOptions:
    return NodeOptions(folder, port=port, destinations=destinations, **{"quiet": 1.0, "free": 0, **more})


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_a_series_goes_in_and_a_report_comes_back(way: str, pacs: Pacs, model: Model, tmp_path: Path) -> None:
    if way == "STOW-RS" and PLUGIN is None:
        pytest.skip("needs orthanc-dicomweb")
    back = f"ORTHANC@127.0.0.1:{pacs.port}" if way == "C-STORE" else f"{pacs.url}/dicom-web"
    paths = drawn(tmp_path / "in")
    sops = {str(pydicom.dcmread(path).SOPInstanceUID) for path in paths}
    node = Node(options(tmp_path / "node", pacs.node, back), model)
    try:
        resources = [pacs.add(path) for path in paths]
        assert pacs.send(resources).status_code == 200
        (report,) = until(lambda: pacs.found("SR"))
        until(lambda: len(pacs.found("OT")) == 3)
        read = highdicom.sr.srread(io.BytesIO(pacs.content(report["ID"])))
        whole, *keys = read.content.get_image_measurement_groups()
        assert {str(one.referenced_sop_instance_uid) for one in whole.source_images} <= sops
        assert len(keys) == 3
        capture = pydicom.dcmread(io.BytesIO(pacs.content(pacs.found("OT")[0]["ID"])))
        assert str(capture.SourceImageSequence[0].ReferencedSOPInstanceUID) in sops
        assert capture.StudyInstanceUID == pydicom.dcmread(paths[0]).StudyInstanceUID
        # Sent again, nothing happens; one more slice, and there is a second report.
        assert pacs.send(resources).status_code == 200
        time.sleep(3)
        assert len(pacs.found("SR")) == 1
        until(lambda: node.queue.counts()["outbox"] == {"sent": 4})
    finally:
        node.stop()
    told = (tmp_path / "node" / "audit.jsonl").read_text()
    assert "Doe" not in told
    assert "CANARY" not in told
    assert {json.loads(line)["event"] for line in told.splitlines()} >= {
        "started",
        "received",
        "answered",
        "sent",
        "stopped",
    }


@pytest.mark.shared
@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_a_real_healthy_head_comes_back_reported(
    way: str, pacs: Pacs, model: Model, shared_data: Path, tmp_path: Path
) -> None:
    """24 slices of a T1-weighted head, from Orthanc to the node and back; every object conforms."""
    if way == "STOW-RS" and PLUGIN is None:
        pytest.skip("needs orthanc-dicomweb")
    back = f"ORTHANC@127.0.0.1:{pacs.port}" if way == "C-STORE" else f"{pacs.url}/dicom-web"
    paths = sorted((shared_data / "dicom" / "t1w_head").iterdir())
    heads = {str(one.SOPInstanceUID): one for one in (pydicom.dcmread(path, stop_before_pixels=True) for path in paths)}
    (series,) = {str(one.SeriesInstanceUID) for one in heads.values()}
    node = Node(options(tmp_path / "node", pacs.node, back), model)
    try:
        assert pacs.send([pacs.add(path) for path in paths]).status_code == 200
        (report,) = until(lambda: pacs.found("SR"))
        captures = until(lambda: found if len(found := pacs.found("OT")) == 3 else None)
    finally:
        node.stop()
    (tmp_path / "sr.dcm").write_bytes(pacs.content(report["ID"]))
    read = highdicom.sr.srread(tmp_path / "sr.dcm")
    whole, *_ = read.content.get_image_measurement_groups()
    assert {str(one.referenced_sop_instance_uid) for one in whole.source_images} <= set(heads)
    (evidence,) = read.CurrentRequestedProcedureEvidenceSequence
    (listed,) = evidence.ReferencedSeriesSequence
    assert listed.SeriesInstanceUID == series
    assert {str(one.ReferencedSOPInstanceUID) for one in listed.ReferencedSOPSequence} <= set(heads)
    verified(tmp_path / "sr.dcm")
    if shutil.which("dsrdump"):
        told = subprocess.run(["dsrdump", tmp_path / "sr.dcm"], capture_output=True, text=True, check=True).stdout
        assert "No tumour" in told or "no_tumor" in told or "No tumor" in told
    for number, one in enumerate(captures):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(pacs.content(one["ID"]))
        capture = pydicom.dcmread(path)
        assert str(capture.SourceImageSequence[0].ReferencedSOPInstanceUID) in heads
        assert capture.StudyInstanceUID == next(iter(heads.values())).StudyInstanceUID
        verified(path)


def test_a_pacs_that_is_away_gets_its_report_when_it_is_back(pacs: Pacs, model: Model, tmp_path: Path) -> None:
    node = Node(options(tmp_path / "node", pacs.node, f"ORTHANC@127.0.0.1:{pacs.port}", quiet=8.0), model)
    try:
        assert pacs.send([pacs.add(path) for path in drawn(tmp_path / "in", 2)]).status_code == 200
        pacs.stop()
        until(lambda: node.queue.counts()["outbox"].get("due", 0) >= 1)
        time.sleep(3)
        assert "sent" not in node.queue.counts()["outbox"]
    finally:
        node.stop()
    again = Node(options(tmp_path / "node", pacs.node, f"ORTHANC@127.0.0.1:{pacs.port}"), model)
    try:
        pacs.start()
        assert len(until(lambda: pacs.found("SR"), 90)) == 1
    finally:
        again.stop()


def store(port: int, path: Path, title: str = "PYNETDICOM", called: str = "TUMORLENS") -> Any:
    """Status of a C-STORE, or None when the association was not accepted."""
    data = pydicom.dcmread(path)
    entity = pynetdicom.AE(ae_title=title)
    entity.add_requested_context(data.SOPClassUID, data.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return None
    try:
        return association.send_c_store(data).get("Status") if association.accepted_contexts else "no context"
    finally:
        association.release()


def echo(port: int) -> bool:
    entity = pynetdicom.AE(ae_title="ECHO")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", port)
    if not association.is_established:
        return False
    status = association.send_c_echo().get("Status")
    association.release()
    return bool(status == 0)


def test_strangers_and_other_modalities_are_turned_away(model: Model, tmp_path: Path) -> None:
    port = free_port()
    node = Node(options(tmp_path / "node", port, callers=("KNOWN", "ECHO")), model)
    try:
        (path,) = drawn(tmp_path / "in", 1)
        assert store(port, path, "STRANGER") is None
        assert store(port, path, "KNOWN") == 0
        data = pydicom.dcmread(path)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"  # CT
        data.save_as(tmp_path / "ct.dcm")
        assert store(port, tmp_path / "ct.dcm", "KNOWN") in (None, "no context")
        assert echo(port)
        # A slice that shows nothing is reported as that; a localiser is no series to answer.
        until(lambda: node.queue.counts()["series"].get("answered") == 1)
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID, data.SOPInstanceUID = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(tmp_path / "localiser.dcm")
        assert store(port, tmp_path / "localiser.dcm", "KNOWN") == 0
        until(lambda: node.queue.counts()["series"].get("refused") == 1)
    finally:
        node.stop()
    assert '"reason": "localiser"' in (tmp_path / "node" / "audit.jsonl").read_text()


def test_a_study_that_is_closed_is_answered_at_once(model: Model, tmp_path: Path) -> None:
    """By a notification of what it holds, or by the end of the association; otherwise it would have to be quiet."""
    port = free_port()
    paths = drawn(tmp_path / "in", 2)
    heads = [pydicom.dcmread(path) for path in paths]
    node = Node(options(tmp_path / "a", port, quiet=3600.0), model)
    try:
        assert [store(port, path) for path in paths] == [0, 0]
        assert announce(port, heads, ("1.2.3",)) == 0
        time.sleep(1.5)
        assert node.queue.counts()["series"] == {"open": 1}
        assert announce(port, heads) == 0
        until(lambda: node.queue.counts()["series"] == {"answered": 1})
    finally:
        node.stop()
    node = Node(options(tmp_path / "b", port, quiet=3600.0, on_release=True), model)
    try:
        assert store(port, paths[0]) == 0
        until(lambda: node.queue.counts()["series"] == {"answered": 1})
    finally:
        node.stop()


def announce(port: int, heads: list[Any], more: tuple[str, ...] = ()) -> Any:
    """Status of an Instance Availability Notification about some instances, and others that were never sent."""
    made, series = pydicom.Dataset(), pydicom.Dataset()
    made.StudyInstanceUID, series.SeriesInstanceUID = heads[0].StudyInstanceUID, heads[0].SeriesInstanceUID
    made.ReferencedPerformedProcedureStepSequence, made.ReferencedSeriesSequence = [], [series]
    series.ReferencedSOPSequence = []
    for sop in [str(one.SOPInstanceUID) for one in heads] + list(more):
        one = pydicom.Dataset()
        one.ReferencedSOPClassUID = heads[0].SOPClassUID
        one[0x00081155] = pydicom.DataElement(0x00081155, "UI", sop, validation_mode=pydicom.config.IGNORE)
        one.InstanceAvailability, one.RetrieveAETitle = "ONLINE", "PACS"
        series.ReferencedSOPSequence.append(one)
    entity = pynetdicom.AE(ae_title="PACS")
    entity.add_requested_context("1.2.840.10008.5.1.4.33")
    association = entity.associate("127.0.0.1", port)
    try:
        return association.send_n_create(made, "1.2.840.10008.5.1.4.33", pydicom.uid.generate_uid())[0].get("Status")
    finally:
        association.release()


def test_a_stop_ends_associations_and_keeps_what_it_acknowledged(model: Model, tmp_path: Path) -> None:
    node = Node(options(tmp_path / "node", free_port(), quiet=3600.0), model)
    paths = drawn(tmp_path / "in", 2)
    entity = pynetdicom.AE()
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", node.port)
    assert association.send_c_store(pydicom.dcmread(paths[0])).get("Status") == 0
    node.stop()
    until(lambda: not association.is_established)
    node.journal.note("too late")  # is lost, and goes into no other file
    queue = Queue(tmp_path / "node")
    assert queue.counts()["instances"]["received"] == 1
    assert "too late" not in (tmp_path / "node" / "audit.jsonl").read_text()


def test_a_full_disk_is_waited_for_however_long(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The series is not given up as one that cannot be answered is."""
    node = Node(options(tmp_path / "node", free_port(), quiet=0.0), model)
    real, tries = node.queue.answered, []

    def full(*given: Any) -> bool:
        tries.append(1)
        if len(tries) < 7:
            raise EnvironmentFailure("no space left", code="disk_full")
        return real(*given)

    monkeypatch.setattr(node.queue, "answered", full)
    monkeypatch.setattr(node._stopping, "wait", lambda seconds: time.sleep(0.01) or node._stopping.is_set())
    try:
        assert store(node.port, drawn(tmp_path / "in", 1)[0]) == 0
        until(lambda: node.queue.counts()["series"] == {"answered": 1})
    finally:
        monkeypatch.undo()
        node.stop()
    assert len(tries) == 7


def test_what_comes_after_the_files_were_deleted_is_not_answered_alone(model: Model, tmp_path: Path) -> None:
    node = Node(options(tmp_path / "node", free_port()), model)
    paths = drawn(tmp_path / "in", 3)
    try:
        assert [store(node.port, path) for path in paths[:2]] == [0, 0]
        until(lambda: node.queue.counts()["series"] == {"answered": 1})
        assert node.queue.forget(-10) == 2
        assert store(node.port, paths[2]) == 0
        until(lambda: node.queue.counts()["series"] == {"refused": 1})
        assert [store(node.port, path) for path in paths] == [0, 0, 0]  # all of it again
        until(lambda: node.queue.counts()["series"] == {"answered": 1})
    finally:
        node.stop()
    assert '"reason": "forgotten"' in (tmp_path / "node" / "audit.jsonl").read_text()


def test_nothing_goes_where_nobody_sends_it_any_more(pacs: Pacs, model: Model, tmp_path: Path) -> None:
    gone = f"GONE@127.0.0.1:{pacs.port}"
    node = Node(options(tmp_path / "node", pacs.node, f"AWAY@127.0.0.1:{free_port()}", gone), model)
    pacs.stop()
    try:
        assert store(node.port, drawn(tmp_path / "in", 1)[0]) == 0
        until(lambda: node.queue.counts()["outbox"].get("due", 0) >= 2)
    finally:
        node.stop()
    pacs.start()
    node = Node(options(tmp_path / "node", pacs.node, f"ELSE@127.0.0.1:{free_port()}"), model)
    try:
        time.sleep(4)
        assert pacs.found("SR") == []
    finally:
        node.stop()
    assert '"kept back"' in (tmp_path / "node" / "audit.jsonl").read_text()


def test_waiting_longer_and_longer_has_an_end(tmp_path: Path) -> None:
    from tumorlens.dicom.delivering import Deliverer
    from tumorlens.dicom.journal import Journal
    from tumorlens.dicom.queue import Sending

    queue, journal = Queue(tmp_path), Journal(tmp_path / "audit.jsonl")
    deliverer = Deliverer(options(tmp_path, 1, "A@127.0.0.1:1"), queue, journal)
    deliverer._again(Sending("1.2", "A@127.0.0.1:1", tmp_path / "x", 5_000), "no_connection")
    deliverer.stop()
    queue.close()


def test_a_folder_is_for_one_node(model: Model, tmp_path: Path) -> None:
    node = Node(options(tmp_path, free_port()), model)
    try:
        with pytest.raises(UsageError, match="is running"):
            Node(options(tmp_path, free_port()), model)
    finally:
        node.stop()
    Node(options(tmp_path, free_port()), model).stop()


def test_a_disk_that_is_nearly_full_takes_nothing(model: Model, tmp_path: Path) -> None:
    port = free_port()
    node = Node(NodeOptions(tmp_path / "node", port=port, free=1 << 60), model)
    try:
        (path,) = drawn(tmp_path / "in", 1)
        assert store(port, path) == 0xA700
        assert echo(port)
    finally:
        node.stop()


def test_the_command_receives_answers_and_is_killed_without_a_loss(pacs: Pacs, tmp_path: Path) -> None:
    """As an engineer runs it: killed while a series comes in and while it is answered, started again."""
    command = [sys.executable, "-m", "tumorlens", "dicom-node", "--data", str(tmp_path / "node"), "--port"]
    command += [str(pacs.node), "--to", f"ORTHANC@127.0.0.1:{pacs.port}", "--from", "ORTHANC", "--wait", "2"]
    command += ["--keep-free", "0"]
    resources = [pacs.add(path) for path in drawn(tmp_path / "in", 6)]
    for pause in (0.3, 2.6):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "listens" in process.stderr.readline()
        assert pacs.send(resources).status_code == 200
        time.sleep(pause)
        process.kill()
        process.wait()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: pacs.found("SR"), 90)
        until(lambda: len(pacs.found("OT")) == 3)
        time.sleep(2)
        assert len(pacs.found("SR")) == 1
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "A@h:1"], "found no --from"),
        (["--from-any"], "found no --to"),
        (["--from-any", "--from", "A", "--to", "A@h:1"], "both --from"),
        (["--from-any", "--to", "nowhere"], "no destination"),
        (["--from-any", "--to", "A@h:1", "--ae-title", "more than sixteen letters"], "no AE title"),
        (["--from", "back\\slash", "--to", "A@h:1"], "no AE title"),
        (["--from-any", "--to", "A@h:1", "--port", "70000"], "--port is 70000"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dicom-node", "--data", str(tmp_path), *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "hint:" in told


def test_what_cannot_be_is_said_at_once(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no destination"):
        Node(options(tmp_path / "a", free_port(), "nowhere"), model)
    port = free_port()
    node = Node(options(tmp_path / "b", port), model)
    try:
        with pytest.raises(EnvironmentFailure, match="cannot listen"):
            Node(options(tmp_path / "c", port), model)
    finally:
        node.stop()
