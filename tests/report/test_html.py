"""The report: complete, self-contained, safe with hostile names, and honest about what is missing."""

import base64
import hashlib
import html
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tumorlens.cli.main import COMMANDS
from tumorlens.errors import DataError
from tumorlens.evaluation import evaluate_table
from tumorlens.report import render_report, words

pytest.importorskip("altair")

HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>"


class Page(HTMLParser):
    """Text outside scripts, all tags, and the content of scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.styles: list[str] = []
        self._inside: str | None = None
        self.feed(source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, {k: v or "" for k, v in attributes}))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag):
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append((self.tags[-1][1], data))
        elif self._inside == "style":
            self.styles.append(data)
        else:
            self.words.append(data)


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    path = render_report(run)
    assert path == run / "report.html"
    return read(path)


def test_the_headline_numbers_are_those_of_metrics_json(page: Page, metrics) -> None:
    test = metrics["test"]
    for number in (
        words.percent(test["accuracy"]),
        words.percent_range(test["accuracy_ci95"]),
        words.percent(test["patient_accuracy"]),
        words.percent(metrics["validation"]["accuracy"]),
        words.score(test["ece"]),
        words.score(test["auroc_macro"]),
        f"{test['groups']} patients",
    ):
        assert number.replace(words.NBSP, " ") in page.text.replace(words.NBSP, " ")
    for part in test["per_class"].values():
        assert words.percent(part["sensitivity"]).replace(words.NBSP, " ") in page.text.replace(words.NBSP, " ")
    assert page.text.count(words.RESEARCH_ONLY) == 1
    assert "learning_rate" in page.text


def test_the_commands_exist_and_name_the_folder_as_it_was_given(run: Path, tmp_path: Path, builders) -> None:
    table = builders["table"]()
    spaced = builders["write"](tmp_path / "my run", builders["metrics"](table), [table])
    for folder in (run, spaced):
        printed = [
            shlex.split(html.unescape(line))
            for line in re.findall(r"<dt><code>(.*?)</code></dt>", render_report(folder).read_text(encoding="utf-8"))
        ]
        assert printed
        for program, command, *rest in printed:
            assert program == "tumorlens"
            assert command in COMMANDS
            assert str(folder) in rest or str(folder / "config.toml") in rest


def test_both_hashes_are_named(page: Page, run: Path, metrics) -> None:
    bundle = hashlib.sha256((run / "bundle" / "bundle.json").read_bytes()).hexdigest()
    assert f"Bundle (bundle.json), SHA-256 {bundle}" in page.text
    assert f"Network file (model.onnx), SHA-256 {metrics['model']['sha256']}" in page.text


def test_what_the_intervals_are_where_all_are_right_is_said(page: Page) -> None:
    assert "exact binomial bound" in page.text


def test_closed_details_are_opened_for_paper(page: Page) -> None:
    assert any("beforeprint" in text for a, text in page.scripts if a.get("type") == "module")


def test_charts_and_pictures_are_inside(page: Page) -> None:
    specs = {a["data-chart"]: json.loads(text) for a, text in page.scripts if a.get("type") == "application/json"}
    assert set(specs) == {
        f"chart-{name}"
        for name in ("accuracy", "loss", "confusion", "balance", "roc", "pr", "confidence", "reliability", "risk")
    }
    targets = {a["id"] for tag, a in page.tags if tag == "div" and a.get("class") == "plot"}
    assert targets == set(specs)
    pictures = [a for tag, a in page.tags if tag == "img"]
    assert len(pictures) >= 7
    # Cut apart, so that they flow on telephones and paper: 4 at random, 1 mistake beside its map, 2 rows of 4.
    assert sum("webp" in a["src"] for a in pictures) == 4 + 2 + 8
    assert "✗ true: Glioma predicted: Pituitary tumour 0.60" in page.text
    assert all(a["alt"] for a in pictures)
    sections = {a["id"] for tag, a in page.tags if tag == "section"}
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert links == {f"#{name}" for name in sections}


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "poster", "action", "background"):
            if name in attributes and tag != "a":
                assert attributes[name].startswith("data:image/"), (tag, name)
    for style in page.styles:
        assert "@import" not in style
        assert "url(" not in style
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    code = [text for a, text in page.scripts if a.get("type") == "module"]
    assert len(code) == 1
    digest = base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_hostile_names_stay_text(tmp_path: Path, builders) -> None:
    names = ("glioma", HOSTILE)
    table = builders["table"](names=names)
    metrics = builders["metrics"](
        table,
        name=HOSTILE,
        created=HOSTILE,
        leaked={"removed": 2, "pairs": [[HOSTILE, HOSTILE]]},
        as_shipped=evaluate_table(table, bootstrap=100),
    )
    metrics["data"] |= {
        "sources": [HOSTILE],
        "notes": [HOSTILE],
        "skipped": [{"path": f"{i}{HOSTILE}", "code": "corrupt", "reason": HOSTILE} for i in range(70)],
    }
    metrics["model"]["name"] = HOSTILE
    folder = builders["write"](tmp_path / f"run-{HOSTILE.replace('/', '_')}", metrics, [table])
    (folder / "config.toml").write_text("# </pre>" + HOSTILE)
    page = read(render_report(folder))
    assert "alert(1)" not in "".join(text for a, text in page.scripts if a.get("type") == "module")
    assert not [tag for tag, a in page.tags if "onerror" in a or "evil.example" in a.get("src", "")]
    assert {a.get("type") for tag, a in page.tags if tag == "script"} == {"module", "application/json"}
    assert HOSTILE in page.text
    source = (folder / "report.html").read_text()
    assert html.escape(HOSTILE, quote=False).split("&lt;img")[0] in source
    assert "<script>alert" not in source
    assert "The first 50 of 70" in page.text


def test_a_leak_is_said_beside_the_headline(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    clean = table.where([i >= 20 for i in range(len(table))])
    pairs = [[name, "train/x.png"] for name in table.ids[:20]]
    metrics = builders["metrics"](
        clean, leaked={"removed": 20, "pairs": pairs}, as_shipped=evaluate_table(table, bootstrap=100)
    )
    audit = builders["audit"] | {
        "leaks": builders["audit"]["leaks"] | {"test_in_train_exact": 20, "slices_of_crossing_groups": 20},
        "verdict": "serious",
    }
    page = read(render_report(builders["write"](tmp_path / "run", metrics, [table], audit=audit)))
    assert "20 test slices are not independent of the training data : identical to an image there." in page.text
    assert "Never divided between sets" not in page.text
    assert "leaky" in page.text
    assert "Curves are drawn from" not in page.text  # leaked slices are not in the curves either


def test_calibration_is_shown_before_and_after_where_it_was_changed(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    score = {"ece": 0.1, "brier": 0.2, "nll": 0.3}
    told = {"temperature": 0.5, "n": 99, "groups": 20, "before": score, "after": score, "floor": 0.01}
    metrics = builders["metrics"](table, calibration=told)
    page = read(render_report(builders["write"](tmp_path / "run", metrics, [table])))
    spec = next(text for a, text in page.scripts if a.get("data-chart") == "chart-reliability")
    assert "Before calibration" in spec
    assert "These probabilities are not calibrated" not in page.text
    bare = read(render_report(builders["write"](tmp_path / "bare", builders["metrics"](table), [table])))
    assert "Before calibration" not in next(t for a, t in bare.scripts if a.get("data-chart") == "chart-reliability")
    assert "These probabilities are not calibrated" in bare.text


def test_a_map_that_survives_shuffled_weights_is_warned_of(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    point = {"n": 9, "hit_rate": 0.1, "hit_rate_ci95": [0.05, 0.2], "energy": 0.1}
    places = {"class_shuffled": {**point, "hit_rate": 0.5}, "centre": point, "head": point}
    metrics = builders["metrics"](table, localisation=places)
    page = read(render_report(builders["write"](tmp_path / "run", metrics, [table])))
    assert "Even with the weights shuffled" in page.text
    assert any(a.get("class") == "warning" for tag, a in page.tags if tag == "div")


def test_drawn_slices_that_were_learned_from_are_counted(tmp_path: Path, builders, page: Page) -> None:
    table = builders["table"]()
    metrics = builders["metrics"](table)
    metrics["training"]["drawn"] = 700
    drawn = read(render_report(builders["write"](tmp_path / "run", metrics, [table])))
    assert "Drawn slices, with masks 700" in drawn.text
    assert "Drawn slices" not in page.text


def test_a_small_test_set_has_no_calibration_chart(tmp_path: Path, builders) -> None:
    table = builders["table"](n=59)
    source = render_report(builders["write"](tmp_path / "run", builders["metrics"](table), [table])).read_text()
    assert "59 test slices cannot show it" in source
    assert "chart-reliability" not in source


def test_a_run_on_the_phantom_says_that_nobody_was_tested(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    metrics = builders["metrics"](table)
    # A folder of real images may be called phantom; only the phantom itself leaves this note.
    metrics["data"] |= {"sources": ["phantom"], "notes": []}
    real = read(render_report(builders["write"](tmp_path / "real", metrics, [table])))
    metrics["data"]["notes"] = ["phantom: synthetic images, for trying things out"]
    drawn = read(render_report(builders["write"](tmp_path / "drawn", metrics, [table])))
    for text in ("17 synthetic patients", "drawn images only"):
        assert text in drawn.text
        assert text not in real.text


def test_files_left_out_are_counted_by_reason_first(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    metrics = builders["metrics"](table)
    metrics["data"]["skipped"] = [
        {"path": f"{code}{i}.png", "code": code, "reason": "why"}
        for code, n in (("empty", 1), ("truncated", 3))
        for i in range(n)
    ]
    text = read(render_report(builders["write"](tmp_path / "run", metrics, [table]))).text
    assert "4 files left out: 3 truncated , 1 empty ." in text
    assert text.index("3 truncated") < text.index("truncated0.png")


def test_a_bare_run_says_what_is_missing(tmp_path: Path, builders) -> None:
    table = builders["table"](strength=60.0)
    metrics = {"test": evaluate_table(table, bootstrap=100)}
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    page = read(render_report(folder))
    for said in (
        "no validation set",
        "It made no mistake",
        "No slices were drawn",
        "no history.csv",
        "predictions.csv is missing",
        "config.toml is missing",
        "Augmentation was off",
        "not stated",
    ):
        assert said in page.text, said


def test_predictions_that_do_not_match_the_scores_are_noticed(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    metrics = builders["metrics"](table)
    folder = builders["write"](tmp_path / "run", metrics, [table.where([i > 9 for i in range(len(table))])])
    assert "Curves are drawn from 110 predictions, scores from 120 slices" in read(render_report(folder)).text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "not a run folder"), ("{}", "no test scores"), ("[]", "no JSON object"), ("{", "cannot be read")],
)
def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path, content, message: str) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=message):
        render_report(tmp_path)


def test_a_damaged_history_says_where(tmp_path: Path, builders) -> None:
    table = builders["table"]()
    folder = builders["write"](tmp_path / "run", builders["metrics"](table), [table])
    (folder / "history.csv").write_text("epoch,loss\n1,0.5\n2,low\n")
    with pytest.raises(DataError, match="line 3, column loss: 'low'"):
        render_report(folder)
