"""``tumorlens verify`` of a run: what is claimed is recomputed, and what was changed is found."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tumorlens import bundle, config
from tumorlens.cli.main import main
from tumorlens.errors import DataError, ModelError, UsageError
from tumorlens.pipeline.verifying import Check, verify
from tumorlens.pipeline.verifying.checks import compared
from tumorlens.pipeline.verifying.pages import settings_of
from tumorlens.report.card import model_card
from tumorlens.training.shuffled import shuffled

SCORES, ANSWERS, AGAIN = "scores, from predictions.csv", "answers, against manifest.csv", "answers again"
FITTED, VERDICTS = "calibration, sets and thresholds, fitted again", "sets and verdicts, from the probabilities"
PUBLIC, TABLE = "metrics.json of the bundle", "predictions.csv of the bundle"
FACTS, CARD = "network and data, from bundle.json", "model card, from metrics.json"
FILES, REPORT = "SHA-256 of the bundle's files", "report, from metrics.json"
STORED = "claims that a bundle alone cannot show"
EVERY = (SCORES, ANSWERS, FITTED, VERDICTS, PUBLIC, TABLE, FACTS, CARD, FILES, REPORT, AGAIN)


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture
def calibrated(gated_run: Path, tmp_path: Path) -> Path:
    """A copy of a run with sets, thresholds and a gate."""
    return Path(shutil.copytree(gated_run, tmp_path / "calibrated"))


def checks(model: Path, **options: Any) -> dict[str, Check]:
    return {check.name: check for check in verify(model, **options)}


def wrong(model: Path, **options: Any) -> dict[str, str]:
    return {name: check.detail for name, check in checks(model, **options).items() if check.ok is False}


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def cells(path: Path, change: Callable[[list[dict[str, str]]], object]) -> None:
    """Change a table's rows."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])
    change(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rewritten(run: Path, files: dict[str, bytes] | None = None, **fields: Any) -> None:
    """Another bundle whose SHA-256s are right."""
    loaded = bundle.load(run)
    kept = {name: loaded.read(name) for name in loaded.info.files} | (files or {})
    bundle.write_bundle(loaded.where, msgspec.structs.replace(loaded.info, **fields), kept)


def test_an_honest_run_holds(run: Path) -> None:
    found = checks(run)
    assert tuple(found) == EVERY
    assert [check for check in found.values() if not check.ok] == []
    slices = len((run / "predictions.csv").read_text().splitlines()) - 1
    assert found[AGAIN].detail.startswith(f"{min(slices, 200)} slices")
    assert int(found[SCORES].detail.split()[0]) > 200
    assert int(found[REPORT].detail.split()[0]) > 200


def test_an_honest_bundle_holds_without_its_run(run: Path, gated_run: Path) -> None:
    for folder in (run, gated_run):
        found = checks(folder / "bundle")
        assert [name for name, check in found.items() if check.ok is None] == [STORED, AGAIN]
        assert [check.ok for check in found.values()].count(True) == len(found) - 2 == 6


def test_a_bundle_tells_which_claims_it_cannot_recompute(run: Path) -> None:
    claimed = json.loads(bundle.load(run).read("metrics.json"))
    found = checks(run / "bundle")[STORED]
    assert claimed["localisation"], "this run has scores of maps"
    for name in ("localisation", "clever_hans", "shortcut", "cross_validation", "out_of_fold"):
        assert (f" {name}" in f" {found.detail}") == bool(claimed.get(name)), name
    assert "test.pointing_game" in found.detail
    assert STORED not in checks(run, slices=1), "its folder holds what they are made from"
    for name in ("localisation", "clever_hans", "shortcut"):
        claimed[name] = None
    claimed["test"]["pointing_game"] = None
    rewritten(run, {"metrics.json": json.dumps(claimed).encode()})
    assert STORED not in checks(run / "bundle"), "nothing is left to say this of"


def test_an_honest_calibrated_run_holds(gated_run: Path) -> None:
    found = checks(gated_run)
    assert [check for check in found.values() if check.ok is False] == []
    assert found[REPORT].ok is None, "none was wanted"
    assert int(found[FITTED].detail.split()[0]) > 15


# What a person may change in metrics.json of a run, and what finds it.
CLAIMS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a score": lambda found: found["test"].update(accuracy=found["test"]["accuracy"] + 0.01),
    "calibration": lambda found: found["test"].update(ece=0.001),
    "a missing score": lambda found: found["test"].pop("balanced_accuracy"),
    "a missing interval": lambda found: found["test"].pop("ece_ci95"),
    "a missing part": lambda found: found.pop("patients"),
    "a missing None": lambda found: found.pop("leaked"),
    "one too many": lambda found: found.update(award="first"),
    "counts": lambda found: found["data"]["counts"]["train"].update(glioma=9999),
    "groups": lambda found: found["data"]["groups"].update(test=500),
    "leaked": lambda found: found.update(leaked={"removed": 3, "pairs": []}),
    "the shortcut": lambda found: found.update(shortcut=None if found["shortcut"] else {"probe": "border"}),
    "the network": lambda found: found["model"].update(sha256="0" * 64),
    "the network's size": lambda found: found["training"].update(parameters=12),
    "folds that were not": lambda found: found.update(cross_validation={"n": 240, "accuracy": 0.99}),
    "maps": lambda found: found["test"].update(pointing_game={"hit_rate": 1.0, "baseline": 0.0, "n": 9}),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_changed_claim_is_found(run: Path, claim: str) -> None:
    changed(run / "metrics.json", CLAIMS[claim])
    found = wrong(run, slices=1)
    assert SCORES in found
    assert PUBLIC in found


def test_the_command_ends_with_1_where_a_claim_is_wrong(run: Path) -> None:
    changed(run / "metrics.json", CLAIMS["a score"])
    assert main(["verify", str(run), "-q", "--slices", "1"]) == 1


def test_a_changed_claim_is_found_when_the_bundle_says_the_same(run: Path) -> None:
    """Of a bundle on its own, too."""
    for claim in ("a score", "a missing score", "the network"):
        document = json.loads(bundle.load(run).read("metrics.json"))
        CLAIMS[claim](document)
        alone = Path(shutil.copytree(run / "bundle", run / claim))
        rewritten(alone, {"metrics.json": json.dumps(document).encode()})
        assert wrong(alone), claim


def test_changed_answers_are_found(run: Path) -> None:
    def lie(rows: list[dict[str, str]]) -> None:
        low, high = sorted((name for name in rows[0] if name.startswith("p_")), key=lambda name: float(rows[0][name]))[
            :2
        ]
        rows[0][low], rows[0][high] = repr(float(rows[0][low]) + 1e-4), repr(float(rows[0][high]) - 1e-4)

    cells(run / "predictions.csv", lie)
    assert {AGAIN, TABLE} <= set(wrong(run))


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].update(label=next(row["label"] for row in rows if row["label"] != rows[0]["label"])),
        lambda rows: rows[0].update(patient="somebody else"),
        lambda rows: rows[-1].update(split="val" if rows[-1]["split"] == "test" else "test"),
        lambda rows: rows.pop(),
        lambda rows: rows.append(rows[0] | {"id": "another.png"}),
    ],
    ids=["label", "patient", "split", "left out", "made up"],
)
def test_answers_for_other_slices_are_found(run: Path, change: Callable[[list[dict[str, str]]], object]) -> None:
    """Whatever the scores say of them: the manifest knows what was held out, and what it is."""
    cells(run / "predictions.csv", change)
    assert {ANSWERS, TABLE} <= set(wrong(run, slices=1))


def test_a_changed_report_is_found(run: Path) -> None:
    path, metrics = run / "report.html", json.loads((run / "metrics.json").read_text())
    text = path.read_text()
    shown = f"{100 * metrics['test']['balanced_accuracy']:.1f}"
    assert shown in text
    for changes in (
        text.replace(shown, "99.9", 1),
        text.replace("<h1>", "<h1>Approved. "),
        text.replace("</h1>", "</h1><p>x</p>"),
    ):
        path.write_text(changes)
        assert list(wrong(run, slices=1)) == [REPORT]


def test_a_report_that_was_moved_or_drawn_with_another_altair_is_the_same(run: Path) -> None:
    path = run / "report.html"
    path.write_text(path.read_text().replace(", Altair ", ", Altair 99."))
    moved = run.rename(run.with_name("elsewhere"))
    assert checks(moved, slices=1)[REPORT].ok


def test_a_changed_card_is_found(run: Path) -> None:
    path = run / "bundle" / "MODEL_CARD.md"
    path.write_text(path.read_text().replace("Not for diagnosis", "For diagnosis"))
    with pytest.raises(ModelError, match="MODEL_CARD"):
        verify(run)


def test_a_card_of_a_version_that_knew_fewer_settings_is_as_true(run: Path) -> None:
    card = bundle.load(run).read("MODEL_CARD.md").decode()
    earlier = re.sub(r"# guided only: synthetic slices.*\ndrawn = 0\n", "", card)
    assert len(earlier.splitlines()) == len(card.splitlines()) - 2
    rewritten(run, {"MODEL_CARD.md": earlier.encode()})
    assert checks(run, slices=1)[CARD].ok
    for other in (
        re.sub(r"\nepochs = [0-9]+\n", "\nepochs = 4000\n", card),
        card.replace("[train]", "# Cleared for clinical use.\n[train]"),
        card.replace("epochs = ", "rounds = "),
        card.replace("```toml", "```"),
    ):
        assert other != card
        rewritten(run, {"MODEL_CARD.md": other.encode()})
        assert list(wrong(run, slices=1)) == [CARD]


def test_a_changed_card_is_found_though_it_has_the_right_sha(run: Path) -> None:
    card = bundle.load(run).read("MODEL_CARD.md").replace(b"Not for diagnosis", b"For diagnosis")
    rewritten(run, {"MODEL_CARD.md": card})
    assert list(wrong(run, slices=1)) == [CARD]


def test_another_network_is_found_though_its_file_has_the_right_sha(run: Path) -> None:
    rewritten(run, {"model.onnx": shuffled(bundle.load(run).model, 1)})
    assert {FACTS, AGAIN, SCORES} <= set(wrong(run, slices=20))


def test_other_answers_in_the_bundle_are_found(run: Path) -> None:
    copy = run / "table.csv"
    copy.write_bytes(bundle.load(run).read("predictions.csv"))
    cells(copy, lambda rows: rows[0].update(group=rows[1]["group"], patient=rows[1]["patient"]))
    rewritten(run, {"predictions.csv": copy.read_bytes()})
    assert TABLE in wrong(run, slices=1)
    cells(copy, lambda rows: rows.pop())
    rewritten(run, {"predictions.csv": copy.read_bytes()})
    assert "1 answers are in one" in wrong(run, slices=1)[TABLE]


# What decides about sets and verdicts, in bundle.json; metrics.json and the bundle's copy say the same.
TRUST: dict[str, Callable[[dict[str, Any]], object]] = {
    "quantiles": lambda trust: trust["conformal"]["quantiles"].update(glioma=0.5),
    "alpha": lambda trust: trust["conformal"].update(alpha=0.01),
    "threshold": lambda trust: trust["selective"].update(threshold=0.1),
    "accuracy": lambda trust: trust["selective"].update(accuracy=0.987),
    "coverage": lambda trust: trust["selective"].update(coverage=0.987),
}


@pytest.mark.parametrize("what", TRUST)
def test_changed_trust_is_found_however_consistently(calibrated: Path, what: str) -> None:
    info = bundle.load(calibrated).info
    trust = {"conformal": msgspec.to_builtins(info.conformal), "selective": msgspec.to_builtins(info.selective)}
    TRUST[what](trust)
    public = json.loads(bundle.load(calibrated).read("metrics.json")) | trust
    changed(calibrated / "metrics.json", lambda found: found.update(trust))
    rewritten(calibrated, {"metrics.json": json.dumps(public).encode()}, **trust)
    for model in (calibrated, calibrated / "bundle"):
        found = wrong(model, slices=20)
        assert FITTED in found
        if what in ("quantiles", "threshold"):
            assert VERDICTS in found


def test_trust_in_the_scores_that_is_not_in_the_bundle_is_found(calibrated: Path) -> None:
    public = json.loads(bundle.load(calibrated).read("metrics.json"))
    public["selective"]["accuracy"] = 0.987
    rewritten(calibrated, {"metrics.json": json.dumps(public).encode()})
    assert {PUBLIC, FACTS} <= set(wrong(calibrated, slices=1))
    assert FACTS in wrong(calibrated / "bundle")


def test_a_series_rule_that_was_not_chosen_is_found(calibrated: Path) -> None:
    series = bundle.load(calibrated).info.series
    assert series is not None
    rewritten(calibrated, series={**series, "share": 1.0 if series["share"] != 1.0 else 0.25})
    assert FITTED in wrong(calibrated, slices=1)


@pytest.mark.parametrize("column", ["set", "accepted"])
def test_changed_sets_and_verdicts_are_found(calibrated: Path, column: str) -> None:
    def lie(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row[column] = "glioma" if column == "set" else "true"

    cells(calibrated / "predictions.csv", lie)
    assert {VERDICTS, TABLE, AGAIN} <= set(wrong(calibrated))


def test_pictures_that_are_gone_are_replaced_by_others(run: Path, phantom_folder: Path) -> None:
    """Asked is until there are as many answers as wanted, not until as many files were tried."""
    manifest = run / "manifest.csv"
    rows = list(csv.DictReader(manifest.open(newline="")))
    held = [row for row in rows if row["split"] in ("val", "test")]
    gone = {row["id"] for row in held[::2]}
    cells(manifest, lambda rows: [row.update(path="/nowhere.png") for row in rows if row["id"] in gone])
    found = checks(run, slices=20)
    assert found[AGAIN].ok
    assert found[AGAIN].detail.startswith("20 slices")
    assert "pictures are gone" in found[AGAIN].detail
    assert all(check.ok for check in found.values()), "nothing else needs them"


def test_too_few_pictures_are_no_proof(run: Path, phantom_folder: Path) -> None:
    rows = list(csv.DictReader((run / "manifest.csv").open(newline="")))
    held = [row["id"] for row in rows if row["split"] in ("val", "test")]
    cells(run / "manifest.csv", lambda rows: [row.update(path="/nowhere.png") for row in rows if row["id"] != held[0]])
    found = checks(run, slices=20)[AGAIN]
    assert found.ok is None
    assert found.detail.startswith("only 1 of 20 slices")
    cells(run / "manifest.csv", lambda rows: [row.update(path="/nowhere.png") for row in rows])
    found = checks(run, slices=20)[AGAIN]
    assert (found.ok, found.detail) == (None, "no picture is where it was")


def test_a_run_that_has_not_finished_is_refused(run: Path) -> None:
    (run / "metrics.json").unlink()
    with pytest.raises(UsageError, match="not finished"):
        verify(run)


@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
def test_a_damaged_file_is_named(run: Path, name: str) -> None:
    whole = (run / name).read_text()
    for text in (whole[: len(whole) // 2], "[]", "\x00\xff", ""):
        (run / name).write_text(text, encoding="latin-1")
        with pytest.raises(UsageError, match=f"{name} is damaged") as caught:
            verify(run)
        assert "restore that file" in caught.value.hint
    assert main(["verify", str(run), "-q"]) == 2


def test_a_run_that_has_lost_a_file_is_no_bundle(run: Path) -> None:
    """Of which less is checked."""
    rows = (run / "manifest.csv").read_text()
    (run / "manifest.csv").write_text(rows.split("\n", 1)[0] + "\n")
    with pytest.raises(DataError, match=r"manifest\.csv is damaged"):
        verify(run)
    (run / "run.json").unlink()
    with pytest.raises(UsageError, match=r"run\.json is missing"):
        verify(run)


def test_a_network_that_answers_otherwise_is_found_with_its_pictures(calibrated: Path, phantom_folder: Path) -> None:
    """Its file, its name and its SHA-256 say the same everywhere."""
    network = shuffled(bundle.load(calibrated).model, 1)
    public = json.loads(bundle.load(calibrated).read("metrics.json"))
    from tumorlens.bundle.info import sha256

    public["model"]["sha256"] = sha256(network)
    card = model_card(public, config.to_toml(settings_of(bundle.load(calibrated))))
    files = {"model.onnx": network, "metrics.json": json.dumps(public).encode(), "MODEL_CARD.md": card.encode()}
    rewritten(calibrated, files)
    assert wrong(calibrated / "bundle") == {}, "without pictures nothing speaks against it"
    assert list(wrong(calibrated / "bundle", data=phantom_folder, slices=20)) == [AGAIN]


def test_scores_of_earlier_versions_lack_all_later_ones_or_none() -> None:
    made = {"test": {"ece": 0.1, "ece_ci95": [0.0, 0.2], "coverage": 0.5, "coverage_ci95": [0.4, 0.6]}}
    before = {"test": {"ece": 0.1, "coverage": 0.5}}
    found = compared("x", made, before)
    assert found.ok
    assert found.detail == "2 numbers; made by an earlier version: 2 later ones are not claimed"
    assert compared("x", made, made).detail == "6 numbers"
    half = {"test": {**before["test"], "ece_ci95": [0.0, 0.2]}}
    assert compared("x", made, half).detail == "test.coverage_ci95 is missing"
    assert compared("x", made, {"test": {"coverage": 0.5}}).ok is False
    assert compared("x", made, {}).detail == "test is missing"
    assert compared("x", {"a": None}, {"a": None}).ok
    assert compared("x", {"a": None}, {}).ok is False
    assert compared("x", {"a": 1.0}, {"a": True}).ok is False


def test_the_command(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(finished_run), "-q"]) == 0
    assert capsys.readouterr().out.count("✓") == len(EVERY)
    assert main(["verify", str(finished_run), "--json", "--slices", "20"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    assert "20 slices" in document["checks"][-1]["detail"]
    assert main(["verify", str(finished_run), "--slices", "0"]) == 2
