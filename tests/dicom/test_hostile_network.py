"""A network full of noise: dawdlers, liars and strangers; who is known is answered all the same."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dicom.conftest import free_port
from tests.dicom.test_node import echo, options, store, until
from tests.dicom.test_reports import drawn

from tumorlens.dicom import receiving
from tumorlens.dicom.node import Node
from tumorlens.pipeline.model import Model

pydicom = pytest.importorskip("pydicom")
pynetdicom = pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")


@pytest.fixture
def node(model: Model, tmp_path: Path) -> Iterator[Node]:
    one = Node(options(tmp_path / "node", free_port(), callers=("ECHO", "PYNETDICOM")), model)
    yield one
    one.stop()


def answered_within(port: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if echo(port):
            return True
        time.sleep(0.2)
    return False


def request_pdu() -> bytes:
    """An association request as pynetdicom sends it."""
    from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

    made = A_ASSOCIATE()
    made.application_context_name = "1.2.840.10008.3.1.1.1"
    made.calling_ae_title, made.called_ae_title = "ECHO", "TUMORLENS"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16382
    implementation.implementation_class_uid = pydicom.uid.UID("1.2.3.4")
    made.user_information = [length, implementation]
    context = pynetdicom.presentation.build_context("1.2.840.10008.1.1")
    context.context_id = 1
    made.presentation_context_definition_list = [context]
    pdu = pynetdicom.pdu.A_ASSOCIATE_RQ()
    pdu.from_primitive(made)
    return bytes(pdu.encode())


def hostile(node: Node) -> dict[str, bytes]:
    """What is sent, once; then the connection stays open."""
    whole = request_pdu()
    return {
        "nothing": b"",
        "half a header": b"\x01\x00\x00",
        "half a request": whole[: len(whole) // 2],
        "4 GiB announced": b"\x01\x00\xff\xff\xff\xff" + b"\0" * 64,
        "an unknown kind of PDU": b"\x7f\x00\x00\x00\x00\x04abcd",
        "a web page": b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n",
        "noise": os.urandom(4096),
        "items that end beyond the request": whole[:2] + struct.pack(">I", 80) + whole[6:80] + b"\x20\x00\xff\xff" * 3,
        "an accepted association, then 4 GiB of data": whole + b"\x04\x00\xff\xff\xff\xff" + b"\0" * 64,
        "an accepted association, then half a data PDU": whole + b"\x04\x00\x00\x00\x40\x00" + b"\0" * 16,
    }


def test_who_is_known_is_answered_while_others_dawdle_and_lie(node: Node) -> None:
    """More of them than there are places."""
    noise = hostile(node)
    with contextlib.ExitStack() as held:
        stop = threading.Event()
        for number in range(receiving._PLACES + 10):
            one = held.enter_context(socket.create_connection(("127.0.0.1", node.port), 5))
            with contextlib.suppress(OSError):
                one.sendall(list(noise.values())[number % len(noise)])
        slow = [held.enter_context(socket.create_connection(("127.0.0.1", node.port), 5)) for _ in range(5)]

        def drip() -> None:
            for byte in request_pdu() * 50:
                for one in slow:
                    with contextlib.suppress(OSError):
                        one.sendall(bytes([byte]))
                if stop.wait(0.5):
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert answered_within(node.port, 12)
            until(lambda: not node._receiver._server.ae.active_associations)  # none of them holds a place any more
            assert echo(node.port)
        finally:
            stop.set()
            dripping.join()


@pytest.mark.parametrize("title", ["STRANGER", "", " ", "echo", "X" * 16])
def test_titles_that_are_not_known_get_no_association(node: Node, title: str, tmp_path: Path) -> None:
    (path,) = drawn(tmp_path / "in", 1)
    with contextlib.suppress(ValueError):  # pynetdicom itself refuses to send an empty one
        assert store(node.port, path, title) is None
    assert node.queue.counts()["instances"]["received"] == 0
    assert echo(node.port)


def test_an_object_without_end_is_cut_off(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data PDUs that never end a message: the connection is closed, the memory stays small."""
    monkeypatch.setattr(receiving, "_BIG", 8 << 20)
    node = Node(options(tmp_path / "node", free_port()), model)
    fragment = b"\x04\x00" + struct.pack(">I", 65_542) + struct.pack(">IBB", 65_538, 1, 0) + b"\0" * 65_536
    try:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with socket.create_connection(("127.0.0.1", node.port), 5) as one:
            one.sendall(request_pdu())
            assert one.recv(1) == b"\x02"  # accepted
            with pytest.raises(OSError):
                for _ in range(2000):
                    one.sendall(fragment)
                    time.sleep(0.001)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
        assert answered_within(node.port, 12)
    finally:
        node.stop()


def test_many_objects_in_a_row_are_no_object_without_end(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_BIG", 300_000)
    node = Node(options(tmp_path / "node", free_port()), model)
    try:
        paths = drawn(tmp_path / "in", 8)
        assert sum(path.stat().st_size for path in paths) > 400_000
        entity = pynetdicom.AE(ae_title="PYNETDICOM")
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.1")
        association = entity.associate("127.0.0.1", node.port)
        assert [association.send_c_store(pydicom.dcmread(path)).get("Status") for path in paths] == [0] * 8
        association.release()
    finally:
        node.stop()


def test_nothing_deflated_and_no_object_on_another_context_is_taken(node: Node, tmp_path: Path) -> None:
    entity = pynetdicom.AE(ae_title="PYNETDICOM")
    for kind in ("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.33", "1.2.840.10008.5.1.4.1.1.4"):
        entity.add_requested_context(kind, "1.2.840.10008.1.2.1.99")
    association = entity.associate("127.0.0.1", node.port)
    assert not association.accepted_contexts
    (path,) = drawn(tmp_path / "in", 1)
    data = pydicom.dcmread(path)
    assert stored(node.port, data, encoded(data), str(data.SOPInstanceUID), "1.2.840.10008.1.1") == 0xC000
    assert node.queue.counts()["instances"]["received"] == 0


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_names_in_the_place_of_uids_are_refused(node: Node, keyword: str, tmp_path: Path) -> None:
    (path,) = drawn(tmp_path / "in", 1)
    data = pydicom.dcmread(path)
    tag = pydicom.datadict.tag_for_keyword(keyword)
    with pydicom.config.disable_value_validation():
        data[tag] = pydicom.DataElement(tag, "UI", "DOE JANE 4711")
        content = encoded(data)
    assert stored(node.port, data, content, str(data.SOPInstanceUID)) == 0xC000
    assert "DOE" not in (tmp_path / "node" / "audit.jsonl").read_text()


def test_a_hostile_data_set_is_refused_and_the_next_one_taken(node: Node, tmp_path: Path) -> None:
    (path,) = drawn(tmp_path / "in", 1)
    data = pydicom.dcmread(path)
    good = encoded(data)
    deep = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    for content in (deep * 10_000, good + deep * 10_000, good[:100], b"", os.urandom(5000)):
        status = stored(node.port, data, content, str(data.SOPInstanceUID))
        assert status is None or status >= 0xA000, (len(content), content[:20])
    assert stored(node.port, data, good, "1.2.3") == 0xC000  # the command names another one than the data set
    assert node.queue.counts()["instances"]["received"] == 0
    assert store(node.port, path) == 0
    assert node.queue.counts()["instances"]["received"] == 1


def encoded(data: pydicom.Dataset) -> bytes:
    from pynetdicom.dsutils import encode

    return bytes(encode(data, False, True))


def stored(
    port: int, data: pydicom.Dataset, content: bytes, named: str, context: str = "1.2.840.10008.5.1.4.1.1.4"
) -> int | None:
    """Status of a C-STORE of bytes as they are; None when the connection ended instead."""
    entity = pynetdicom.AE(ae_title="PYNETDICOM")
    entity.dimse_timeout = 15
    entity.add_requested_context(context, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", port, ae_title="TUMORLENS")
    assert association.is_established
    request = pynetdicom.dimse_primitives.C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = data.SOPClassUID, named
    request.DataSet = io.BytesIO(content)
    try:
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, answer = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        return None if answer is None else int(answer.Status)
    finally:
        association.release()
