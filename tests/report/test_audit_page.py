"""The page of an audit: says everything that was found, loads nothing, stays small, and is safe with hostile names."""

import html
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tumorlens.cli.main import COMMANDS
from tumorlens.report.audit_page import render_audit
from tumorlens.report.audit_pictures import gallery, spread

pytest.importorskip("jinja2")

HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>"
VAST = 3_000_000


class Page(HTMLParser):
    """Tags with their attributes, and text outside scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._words: list[str] = []
        self._code = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        spaced = " ".join(self._words).replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
        self.text = re.sub(r"\s+", " ", spaced)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, {k: v or "" for k, v in attributes}))
        self._code = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._code = False

    def handle_data(self, data):
        if not self._code:
            self._words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def picture(seed: int, side: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (side, side), np.uint8)


def noise(ids) -> dict[str, np.ndarray]:
    return {name: picture(i) for i, name in enumerate(ids)}


def finding(kind: str, severity: str, count: int, examples=(), text: str = "") -> dict[str, Any]:
    return {
        "kind": kind, "severity": severity, "count": count, "title": f"title of {kind}",
        "text": text or f"text of {kind}.", "advice": f"advice on {kind}", "examples": list(examples),
    }  # fmt: skip


def empty(**changes: Any) -> dict[str, Any]:
    """What audit.document.document makes of a flawless data set."""
    return {
        "n": 240, "unreadable": [], "exact_duplicates": {"groups": 0, "redundant": 0},
        "near_duplicates": {"groups": 0, "redundant": 0, "mirrored": 0}, "clusters": [],
        "leaks": {
            "test_in_train_exact": 0, "test_in_train_near": 0, "test_n": 0, "slices_of_crossing_groups": 0,
            "val_in_train_exact": 0, "val_in_train_near": 0, "val_n": 0, "val_slices_of_crossing_groups": 0,
            "per_class": {}, "pairs": [],
        },
        "broken_groups": {},
        "patient_variants": {"groups": 0, "patients": 0, "slices": 0, "crossing": 0, "crossing_slices": 0},
        "label_conflicts": [], "suspicious_labels": [], "foreign": [], "shortcuts": {}, "groups": {}, "findings": [],
        "verdict": "ok",
    } | changes  # fmt: skip


def pair(a: str, b: str, similarity: float, transform: str) -> dict[str, Any]:
    return {
        "a": a, "a_split": re.sub("[^a-z].*", "", a), "a_label": "glioma",
        "b": b, "b_split": "train", "b_label": "no_tumor", "similarity": similarity, "transform": transform,
    }  # fmt: skip


def everything(name: str = "", many: int = 1) -> dict[str, Any]:
    """One of everything, ``many`` times; ``name`` is part of every id and class."""
    tested = [pair(f"test{i}{name}", f"train{i}{name}", 0.91, "hflip") for i in range(20 * many)]
    validated = [pair(f"val{i}{name}", f"train{i}{name}", 1.0, "identity") for i in range(20 * many)]
    clusters = [
        [{"id": f"copy{c}-{i}{name}", "transform": "rot90" if i else "identity", "similarity": 0.95} for i in range(n)]
        for c, n in enumerate([2, 9] + [6] * (10 * many))
    ]
    label, other = f"glioma{name}", "no_tumor"
    probe = {"balanced_accuracy": 0.913, "chance": 0.25, "ci95": [0.884, 0.937], "n": 400, "groups": 90}
    probe |= {"finding": f"The file{name} tells the class.", "unscored": None}
    silent = {"balanced_accuracy": None, "chance": None, "ci95": None, "n": 0, "groups": 0, "finding": None}
    return empty(
        n=2400,
        unreadable=[
            {"path": f"bad{i}{name}", "code": "corrupt", "reason": name or "why", "hint": ""} for i in range(400 * many)
        ],
        clusters=clusters,
        leaks={
            "test_in_train_exact": 0, "test_in_train_near": 20 * many, "test_n": 1000,
            "slices_of_crossing_groups": 30, "val_slices_of_crossing_groups": 20,
            "per_class": {label: {"test": 700, "leaked": 14}, other: {"test": 300, "leaked": 0}},
            "val_in_train_exact": 20 * many, "val_in_train_near": 0, "val_n": 1500,
            "pairs": tested + validated,
        },
        broken_groups={f"group{i}{name}": 2 for i in range(400 * many)},
        patient_variants={"groups": 4, "patients": 9, "slices": 77, "crossing": 3, "crossing_slices": 55},
        label_conflicts=[{"paths": [f"c{i}{name}", f"d{i}{name}"], "labels": [label, other]} for i in range(20 * many)],
        suspicious_labels=[
            {"id": f"s{i}{name}", "label": label, "suggested": other, "score": 0.9} for i in range(30 * many)
        ],
        foreign=[
            {"id": f"f{i}{name}", "kind": kind, "score": 2.0, "reason": f"reason {kind}{name}"}
            for i, kind in enumerate(["blank"] * (30 * many) + ["colour", "text"])
        ],
        shortcuts={
            "header": probe,
            "thumbnail": silent | {"unscored": f"too few groups{name}"},
            "source from border": probe | {"finding": None, "balanced_accuracy": 0.51},
        },
        groups={f"test{i}{name}": f"group{i}{name}" for i in range(500)},
        findings=[
            finding("leaks", "serious", 20 * many, [x for p in tested[:10] for x in (p["a"], p["b"])]),
            finding("leaks", "serious", 20 * many, [x for p in validated[:10] for x in (p["a"], p["b"])]),
            finding("variants", "serious", 3),
            finding("groups", "serious", 400 * many, [f"group{i}{name}" for i in range(20)]),
            finding("conflicts", "serious", 20 * many, [f"c{i}{name}" for i in range(20)]),
            finding("shortcuts", "serious", 400, text=probe["finding"]),
            finding("copies", "warning", 58, [f"copy0-{i}{name}" for i in range(2)]),
            finding("foreign", "warning", 32, [f"f{i}{name}" for i in range(20)]),
            finding("unreadable", "warning", 400 * many, [f"bad{i}{name}" for i in range(20)]),
            finding("labels", "note", 30, [f"s{i}{name}" for i in range(20)]),
            finding("patients", "note", 1),
            finding("of tomorrow", "note", 7, [f"new{name}"]),
        ],
        verdict="serious",
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    path = tmp_path_factory.mktemp("audit") / "new" / "audit.html"
    assert render_audit(everything(), noise, path) == path
    return Page(path)


def test_the_verdict_comes_first_in_a_word_and_a_sentence(page: Page) -> None:
    said = [page.text.index(text) for text in ("Serious", "Do not believe a score on this data set", "title of leaks")]
    assert said == sorted(said)
    assert page.text.count("Research use only") == 1


def test_findings_keep_their_order_with_numbers_text_and_advice(page: Page) -> None:
    kinds = [item["kind"] for item in everything()["findings"]]
    bodies = re.findall(r"<article.*?</article>", page.source, re.DOTALL)
    assert [re.search("title of ([a-z ]+)", body)[1] for body in bodies] == kinds
    for kind, body in zip(kinds, bodies, strict=True):
        assert f"advice on {kind}" in body
        assert f"text of {kind}." in body or kind == "shortcuts"
    assert "The file tells the class." in page.text
    for number in (
        "20 of 1 000 test slices",
        "20 of 1 500 validation slices",
        "3 divided groups",
        "400 groups",
        "91.3 % where guessing gives 25.0 %",
        "58 of 2 400 slices",
        "1 slice ",
    ):
        assert number in page.text, number


def test_leaks_stand_side_by_side_with_what_turns_one_into_the_other(page: Page) -> None:
    test, validation = re.findall(r"<article.*?</article>", page.source, re.DOTALL)[:2]
    assert re.search(r"mirrored left to right, agreement 0\.910.*test0.*train0", test, re.DOTALL)
    assert test.count("<img") == validation.count("<img") == 16
    assert "same way round, agreement 1.000" in validation
    assert "val0" in validation
    assert "and 12 more in audit.json" in test


def test_a_much_copied_picture_does_not_hide_the_other_classes(tmp_path: Path) -> None:
    many = [pair(f"test{i}", "train0", 0.9, "identity") for i in range(9)]
    other = pair("test9", "train9", 0.99, "identity") | {"a_label": "no_tumor"}
    leaks = everything()["leaks"] | {"pairs": [*many, other]}
    found = finding("leaks", "serious", 10, ["test0", "train0"])
    ids = gallery({"leaks": leaks}, found).ids
    assert ids[:4] == ["test0", "train0", "test9", "train9"]
    assert len(ids) == 16


def test_names_are_shown_without_the_folder_they_share(tmp_path: Path) -> None:
    groups = {f"/data/set/{name}": name for name in ("train/a.png", "test/b.png")}
    said = finding("of tomorrow", "note", 1, ["/data/set/train/a.png"])
    page = Page(render_audit(empty(groups=groups, findings=[said]), noise, tmp_path / "audit.html"))
    assert "shown without /data/set/" in page.text
    assert "Examples train/a.png" in page.text


def test_a_look_alike_stands_beside_what_it_resembles() -> None:
    found = gallery({}, {"kind": "neighbours", "count": 5, "examples": ["a", "b", "c", "d"]})
    assert found is not None
    assert [[shot.id for shot in together.shots] for together in found.sets] == [["a", "b"], ["c", "d"]]
    assert found.more == 3


def test_the_largest_clusters_come_first(page: Page) -> None:
    copies = re.findall(r"<article.*?</article>", page.source, re.DOTALL)[6]
    times = [int(n) for n in re.findall(r"seen (\d+) times", copies)]
    assert times == [9] + [6] * 7
    assert "4 more not shown" in copies
    assert "turned by 90° to the left" in copies


def test_labels_and_reasons_stand_below_their_pictures(page: Page) -> None:
    assert "1 × Glioma, 1 × No tumour" in page.text
    assert "Glioma → No tumour by 0.90" in page.text
    # Thirty blank ones do not hide the only coloured one.
    assert "coloured reason colour" in page.text
    assert "perhaps writing reason text" in page.text


def test_tables_tell_classes_probes_groups_and_files(page: Page) -> None:
    for text in (
        "Glioma 700 14 2.0 %",
        "No tumour 300 0 0.0 %",
        "91.3 % 88.4 to 93.7 % 25.0 %",
        "not scored: too few groups",
        "What tells the data set",
        "9 patient ids (77 slices)",
        "group0 1 2",
        "The 300 largest of 400",
        "400 files left out: 400 corrupt",
        "The first 300 of 400; all are in audit.json.",
    ):
        assert text in page.text, text
    bars = [a["class"] for a in page.all("svg")]
    assert bars == ["bar telling", "bar"]  # the second did not find anything; the third has no score


def test_every_link_has_its_target(page: Page) -> None:
    ids = {a["id"] for _, a in page.tags if "id" in a}
    links = {a["href"].removeprefix("#") for a in page.all("a")}
    assert links <= ids
    assert len(links) > 15


def test_nothing_is_loaded_and_only_its_own_script_runs(page: Page) -> None:
    assert all(a["src"].startswith("data:image/") for a in page.all("img"))
    assert all(a["alt"] for a in page.all("img"))
    assert not page.all("link")
    assert "url(" not in page.source
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert len(page.all("script")) == 1
    assert "beforeprint" in page.source


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    path = render_audit(everything(HOSTILE), noise, tmp_path / "audit.html", data=[HOSTILE], options=[HOSTILE])
    page = Page(path)
    assert "<script>alert" not in page.source
    assert len(page.all("script")) == 1
    assert not [a for _, a in page.tags if "onerror" in a or "evil.example" in a.get("src", "")]
    assert HOSTILE in page.text


def test_a_vast_audit_stays_small(tmp_path: Path) -> None:
    asked: list[str] = []

    def large(ids):
        asked.extend(ids)
        return {name: picture(i, 400) for i, name in enumerate(ids)}  # noise, and larger than it should be

    path = render_audit(everything("x" * 150, many=50), large, tmp_path / "audit.html")
    assert path.stat().st_size < VAST
    assert 100 < len(asked) == len(set(asked)) <= 120
    assert len(Page(path).all("img")) <= 120


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    page = Page(render_audit(everything(), lambda ids: noise(ids[1:]), tmp_path / "audit.html"))
    assert "cannot be shown Glioma, test test0" in page.text


def test_nothing_found_is_said_together_with_what_was_not_looked_for(tmp_path: Path) -> None:
    def unwanted(ids):
        raise AssertionError(ids)

    found = empty(foreign=None, shortcuts=None, suspicious_labels=None)
    page = Page(render_audit(found, unwanted, tmp_path / "audit.html"))
    assert "OK Nothing found that speaks against scores" in page.text
    clean, unchecked = page.text.split("none found.")[:2]
    assert "Copies of one picture" in clean
    assert "it brings no test set" in page.text
    for name in ("Test slices with a copy", "clear shortcuts", "pictures that do not belong", "doubtful labels"):
        assert name in unchecked, name
    assert "No file was left out." in page.text


def test_the_same_audit_gives_the_same_bytes_from_json(tmp_path: Path) -> None:
    first = render_audit(everything(), noise, tmp_path / "audit.html").read_bytes()
    again = render_audit(json.loads(json.dumps(everything())), noise, tmp_path / "audit.html").read_bytes()
    assert first == again


def test_commands_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "my audit"
    data, options = ["my data/set", "phantom:40"], ["--group-column", "the site"]
    path = render_audit(empty(), noise, folder / "audit.html", data=data, options=options)
    lines = re.findall(r"<dt><code>(.*?)</code></dt>", path.read_text(encoding="utf-8"))
    printed = [shlex.split(html.unescape(line)) for line in lines]
    assert printed[0] == ["tumorlens", "audit", *data, *options, "--out", str(folder)]
    assert {command[1] for command in printed} <= set(COMMANDS)


def test_a_rare_kind_is_picked_beside_a_common_one() -> None:
    assert spread(["a1", "a2", "a3", "b1", "a4"], lambda name: name[0], 3) == ["a1", "b1", "a2"]
