"""``dicomweb:…``: what an address means, what it never shows, which keys match, what is in a multipart answer."""

from __future__ import annotations

import contextlib
import json
import sys
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tumorlens import data
from tumorlens.data.dicomweb.address import Address, is_uid, parse, shown
from tumorlens.data.dicomweb.keys import Key
from tumorlens.data.dicomweb.searching import search
from tumorlens.errors import InputError, UsageError
from tumorlens.io.multipart import only_part
from tumorlens.io.remote import Reply

BASE = "https://pacs.example/dicom-web"
TAGS = ["0020000D", "0020000E", "00080018", "00080060", "00200013", "00100020"]
UID = st.from_regex(r"[1-9][0-9]{0,8}(\.(0|[1-9][0-9]{0,8})){0,5}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "base", "uids"),
    [
        (f"dicomweb:{BASE}/studies/1.2", BASE, ("1.2", "", "")),
        (f"DICOMweb:{BASE}/studies/1.2/series/", BASE, ("1.2", "", "")),
        (f"dicomweb:{BASE}/studies/1.2/series/3", BASE, ("1.2", "3", "")),
        (f"dicomweb:{BASE}/studies/1.2/series/3/instances", BASE, ("1.2", "3", "")),
        (f"dicomweb:{BASE}/studies/1.2/series/3/instances/4", BASE, ("1.2", "3", "4")),
        (f"dicomweb:{BASE}/studies", BASE, ("", "", "")),
        (f"dicomweb:{BASE}?PatientID=7", BASE, ("", "", "")),
        (f"dicomweb:{BASE}/studies/?PatientID=7", BASE, ("", "", "")),
        ("dicomweb:http://[::1]:8042/a/b/?00100020=7", "http://[::1]:8042/a/b", ("", "", "")),
    ],
)
def test_an_address_is_taken_apart(text: str, base: str, uids: tuple[str, str, str]) -> None:
    found = parse(text)
    assert (found.base, (found.study, found.series, found.instance)) == (base, uids)


@given(st.lists(UID, max_size=3))
def test_a_name_can_be_asked_for_again(uids: list[str]) -> None:
    address = Address(BASE, *uids)
    if uids:
        again = parse(address.name)
        assert (again.name, again.url) == (address.name, address.name.removeprefix("dicomweb:"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"dicomweb:{BASE}", "every study"),
        (f"dicomweb:{BASE}/", "every study"),
        (f"dicomweb:{BASE}?", "every study"),
        (f"dicomweb:{BASE}?Modality=MR", "every study"),
        (f"dicomweb:{BASE}?PatientID=", "no value"),
        (f"dicomweb:{BASE}?PatientID=*", "no value"),
        (f"dicomweb:{BASE}?PatientID=%20", "no value"),
        (f"dicomweb:{BASE}?PatientID", "no value"),
        (f"dicomweb:{BASE}?Patient=CANARY", "not known"),
        (f"dicomweb:{BASE}?PatientName=A&CANARY", "not known"),
        (f"dicomweb:{BASE}?limit=1&PatientID=7", "not known"),
        (f"dicomweb:{BASE}?PatientID=CANARY&00100020=CANARY", "twice"),
        (f"dicomweb:{BASE}?PatientID=CANARY%0aX", "no server can match"),
        (f"dicomweb:{BASE}?StudyDate=2026-01-31", "no date"),
        (f"dicomweb:{BASE}?StudyInstanceUID=CANARY", "no UID"),
        (f"dicomweb:{BASE}?PatientID=7&Modality=CT", "only MR|than MR"),
        (f"dicomweb:{BASE}/studies/1.2?PatientID=CANARY", "chooses studies"),
        (f"dicomweb:{BASE}/studies/1.2/series/3?SeriesNumber=4", "one series"),
        (f"dicomweb:{BASE}/studies/CANARY", "no address"),
        (f"dicomweb:{BASE}/studies/1.2/series/3/instances/4/frames/1", "no address"),
        (f"dicomweb:{BASE}/studies/../x", "no address"),
        (f"dicomweb:{BASE}/studies/{'1' * 65}", "64"),
        ("dicomweb:https://user:CANARY@pacs.example/dicom-web?PatientID=7", "password"),
        ("dicomweb:https://user:CAN/ARY@pacs.example/studies/1.2", "password"),
        ("dicomweb:https://user:CAN?ARY@pacs.example/studies/1.2", "no address"),
        (f"dicomweb:{BASE}/PatientID=CANARY", "no address"),
        (f"dicomweb:{BASE}#PatientID=CANARY", "no address"),
        ("dicomweb:pacs.example/dicom-web?PatientID=CANARY", "no address"),
        ("dicomweb:ftp://pacs.example/?PatientID=CANARY", "no address"),
        ("dicomweb:https://pacs.example:99999/studies/1.2", "no address"),
        ("dicomweb:https://pacs example/studies/1.2", "no address"),
        ("dicomweb:", "no address"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_of_it_repeated(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        parse(text)
    assert error.value.hint
    for secret in ("CANARY", "user", "CAN/ARY", "ARY@"):
        if secret != "CANARY" or "/studies/CANARY" not in text:  # a path is no place for a name
            assert secret not in f"{error.value}{shown(text)}".replace("the user", "").replace("a user", "")


@given(st.text(max_size=60), st.text(max_size=20))
@example("https://a@b", "")
def test_any_text_is_an_address_or_a_usage_error(text: str, value: str) -> None:
    for one in (f"dicomweb:{text}", f"dicomweb:{BASE}?PatientID=CANARY{value}"):
        try:
            found = parse(one)
        except UsageError as error:
            assert "CANARY" not in str(error)
        else:
            assert "CANARY" not in f"{found!r}{found.name}{found.url}"


def test_only_of_addresses_a_part_is_hidden() -> None:
    assert shown("a folder?/b=c@d.png") == "a folder?/b=c@d.png"
    for text in (f"{BASE}?PatientName=CANARY", "HTTPS:/x?CANARY", "http://user:CANARY@x", f"dicomweb:{BASE}?x=CANARY"):
        assert "CANARY" not in shown(text)


@pytest.mark.parametrize(
    ("name", "asked", "found", "matches"),
    [
        ("PatientID", "7", ["7"], True),
        ("PatientID", "7", ["07"], True),  # servers match numbers loosely
        ("PatientID", "7", ["8"], False),
        ("PatientID", "7", [], False),
        ("PatientID", "A*", ["abc"], True),
        ("PatientID", "A?C", ["ABC "], True),
        ("PatientID", "A.C", ["ABC"], False),
        ("ModalitiesInStudy", "MR", ["CT", "MR"], True),
        ("PatientName", "DOE*", [], True),
        ("PatientName", "DOE*", ["Doe^Jane"], True),
        ("PatientName", "doe", ["DOE^Jane^^"], True),  # servers compare all of a name or a part of it
        ("PatientName", "Müller^J*", ["MULLER^JANE"], True),
        ("PatientName", "*jane*", ["DOE^JANE"], True),
        ("PatientName", "山田", ["Yamada^Tarou", "山田^太郎"], True),
        ("PatientName", "Yamada=山田", ["Yamada^Tarou"], True),
        ("PatientName", "DOE*", ["Roe^Jane"], False),
        ("ReferringPhysicianName", "Roe", ["Doe"], False),
        ("StudyID", "[a]", ["a"], False),
        ("StudyID", "[a]", ["[A]"], True),
        ("StudyDate", "20260131", ["20260131"], True),
        ("StudyDate", "20260131", ["20260201"], False),
        ("StudyDate", "20260101-20260131", ["20260131"], True),
        ("StudyDate", "20260101-20260131", ["20260201"], False),
        ("StudyDate", "20260101-", ["20251231"], False),
        ("StudyDate", "-20260101", ["20251231"], True),
        ("StudyInstanceUID", "1.2,1.3", ["1.3"], True),
        ("StudyInstanceUID", "1.2", ["1.20"], False),
    ],
)
def test_what_comes_back_is_compared_with_what_was_asked(
    name: str, asked: str, found: list[str], matches: bool
) -> None:
    assert Key(name, asked).matches(found) is matches
    assert asked not in repr(Key(name, asked))


def test_the_server_does_not_choose_how_long_it_takes_to_compare() -> None:
    begun = time.monotonic()
    assert not Key("StudyDescription", "*a" * 20 + "*b").matches(["a" * 20_000])
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("text", ["", "glioma=", "mask:glioma="])
def test_a_server_is_no_data_set(text: str) -> None:
    with pytest.raises(UsageError, match="no labels") as error:
        data.read(f"{text}dicomweb:{BASE}?PatientID=CANARY")
    assert "CANARY" not in str(error.value)


class Says:
    """A site that answers every query alike."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def get(self, url: str, name: str, *, accept: str, most: int) -> Reply:
        assert "CANARY" not in name
        assert most <= 8 << 20  # it may take dozens of times as much in memory
        return Reply("application/dicom+json; charset=utf-8", self.body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("1.2"),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*TAGS, "Value", "vr"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON | st.lists(st.dictionaries(st.sampled_from(TAGS), st.fixed_dictionaries({"Value": JSON}))))
@example([{"0020000D": {"Value": ["1.2"]}, "00080060": {"Value": [10**5000]}}])
@example([{"0020000D": {"Value": None}}])
def test_any_json_is_an_answer_or_an_input_error(said: object) -> None:
    sys.set_int_max_str_digits(0)
    body = json.dumps(said).encode()
    sys.set_int_max_str_digits(4300)
    try:
        found, wrong = search(Says(body), Address(BASE), "studies", (Key("PatientID", "CANARY"),))  # type: ignore[arg-type]
    except InputError as error:
        found, wrong = [], [error]
    assert all(is_uid(match.at.study) for match in found)
    assert {error.code for error in wrong} <= {"bad_answer"}
    assert "CANARY" not in str(wrong)


def test_rows_are_judged_one_by_one_and_little_is_kept_of_them() -> None:
    def row(uid: object, patient: str = "7", modality: str = "MR") -> dict[str, object]:
        values = {"0020000D": uid, "00100020": patient, "00080060": modality, "00200013": " 12"}
        return {tag: {"Value": [value]} for tag, value in values.items()}

    said = [row("1.2\0"), row("1.3", "8"), row("x"), row("1.2"), 1, {}, row("1.4 ", "7 ", "A" * 10_000)]
    found, wrong = search(Says(json.dumps(said).encode()), Address(BASE), "studies", (Key("PatientID", "7"),))  # type: ignore[arg-type]
    assert [(one.at.study, len(one.modality), one.number) for one in found] == [("1.2", 2, 12), ("1.4", 16, 12)]
    assert [error.code for error in wrong] == ["bad_answer"] * 3
    assert "PatientID differs" in wrong[0].message


def wrapped(content: bytes, boundary: bytes = b"b1", before: bytes = b"") -> bytes:
    head = b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n"
    return before + head + content + b"\r\n--" + boundary + b"--\r\n"


KIND = 'multipart/related; type="application/dicom"; boundary=b1'


@given(st.binary(max_size=200), st.sampled_from([b"", b"\r\n", b"preamble\r\n"]))
def test_the_part_is_what_was_put_in(content: bytes, before: bytes) -> None:
    if b"\r\n--b1" not in content:
        assert only_part(Reply(KIND, wrapped(content, before=before)), "x") == content


@pytest.mark.parametrize("kind", ["multipart/related;boundary=b1", 'Multipart/Related; Boundary="b1" ; type=x'])
def test_the_type_may_be_written_otherwise(kind: str) -> None:
    assert only_part(Reply(kind, wrapped(b"file")), "x") == b"file"


def test_a_bare_file_is_taken_too() -> None:
    assert only_part(Reply("application/dicom; transfer-syntax=1.2", b"file"), "x") == b"file"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>"),
        ("", b"x"),
        ("multipart/related", wrapped(b"x")),
        ("multipart/related; boundary*=idna''b1", wrapped(b"x")),
        ("multipart/related; boundary*=undefined''b1", wrapped(b"x")),
        ("multipart/related; boundary*=a\0b''b1", wrapped(b"x")),
        ('multipart/related; boundary=""', wrapped(b"x")),
        (f"multipart/related; boundary={'b' * 300}", wrapped(b"x")),
        (KIND, b""),
        (KIND, wrapped(b"x")[:-8]),
        (KIND, b"--b1\r\nContent-Type: application/dicom\r\n"),
        (KIND, wrapped(b"x", b"b2")),
        (KIND, wrapped(b"x").removesuffix(b"--\r\n") + b"\r\n\r\ny\r\n--b1--\r\n"),
        (KIND, b"--b1--\r\n"),
    ],
)
def test_a_broken_wrapping_is_told(kind: str, body: bytes) -> None:
    with pytest.raises(InputError) as error:
        only_part(Reply(kind, body), "x")
    assert error.value.code == "bad_answer"


@given(st.text(max_size=60), st.binary(max_size=100))
def test_any_answer_is_a_part_or_an_input_error(kind: str, body: bytes) -> None:
    for one in (kind, f"multipart/related; boundary={kind}"):
        with contextlib.suppress(InputError):
            assert isinstance(only_part(Reply(one, body), "x"), bytes)
