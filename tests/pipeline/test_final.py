"""The network that is shipped: trained on every slice, scored by others of its recipe."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import tumorlens
from tumorlens import config, data
from tumorlens.errors import DataError, Interrupted
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.pipeline.crossvalidating import crossval, resume
from tumorlens.pipeline.evaluating import evaluate
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying import verify

SETTINGS = config.load(
    None,
    (
        "preprocess.size=32",
        "model.name=plain",
        "model.width=8",
        "model.depth=2",
        "train.epochs=2",
        "evaluate.bootstrap=100",
        "evaluate.folds=2",
        "evaluate.final=true",
        "data.audit=copies",
    ),
)


FACTS = {"title": "drawn heads", "licence": "CC0 (of this test)", "note": "not real"}


class StopBefore(Reporter):
    """Stops when a note begins with some words."""

    def __init__(self, words: str) -> None:
        self.words = words

    def note(self, text: str) -> None:
        if text.startswith(self.words):
            raise Interrupted("stopped")


@pytest.fixture(scope="module")
def folder(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        out = tmp_path_factory.mktemp("final") / "cv"
        manifest = data.read(str(phantom_folder / "manifest.csv"))
        # As if from two places, one of them published.
        mixed = manifest.with_rows(replace(row, source="open" if row.label == "glioma" else "ours") for row in manifest)
        mixed = replace(mixed, provenance={"published": {"open": FACTS}})
        with pytest.raises(Interrupted, match="stopped"):
            crossval(mixed, settings=SETTINGS, out=out, reporter=StopBefore("exporting"))
        return resume(out).folder


def test_it_learned_from_every_slice(folder: Path, phantom_folder: Path) -> None:
    info = tumorlens.load(folder).info
    everything = data.read(str(phantom_folder / "manifest.csv")).count()
    assert info.data["counts"]["train"] == everything
    assert info.data["sources"] == ["open", "1 local data set"]


def test_its_scores_are_those_of_networks_that_had_not_seen_the_patients(folder: Path) -> None:
    claimed = json.loads((folder / "bundle" / "metrics.json").read_text())
    answers = PredictionTable.read_csv(folder / "seed-0" / "folds" / "predictions.csv")
    again = evaluate_table(answers, bootstrap=100, seed=0)
    assert claimed["test"]["accuracy"] == again["accuracy"]
    assert claimed["test"]["accuracy_ci95"] == again["accuracy_ci95"]
    assert claimed["out_of_fold"]["folds"] == 2
    travelling = PredictionTable.read_csv(folder / "bundle" / "predictions.csv")
    assert evaluate_table(travelling, bootstrap=100, seed=0)["accuracy"] == again["accuracy"]
    assert set(claimed["subgroups"]["source"]) == set(travelling.sources) == {"open", "s0001"}
    for name, part in claimed["subgroups"]["source"].items():
        own = travelling.where([source == name for source in travelling.sources])
        assert part["accuracy"] == evaluate_table(own, bootstrap=100, seed=0)["accuracy"]


def test_the_card_says_so(folder: Path) -> None:
    card = (folder / "bundle" / "MODEL_CARD.md").read_text()
    assert "trained on every slice, so it has not been tested itself" in card
    assert "Out of fold, 2 folds" in card
    assert "Parts of the slices" in card
    assert FACTS["licence"] in card
    assert "There was no validation set" not in card
    assert "Is it looking at the tumour?" in card


def test_nothing_is_left_to_test_it_on(folder: Path, phantom_folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(folder, phantom_folder / "manifest.csv")
    assert caught.value.code == "all_leaked"


def test_its_bundle_alone_still_knows_what_it_learned_from(folder: Path, phantom_folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere"
    shutil.copytree(folder / "bundle", alone)
    with pytest.raises(DataError, match="no honest score"):
        evaluate(alone, str(phantom_folder / "manifest.csv"))
    assert evaluate(alone, "phantom:40", settings={"data": {"audit": "copies"}})["as_shipped"] is None


def test_a_finished_one_is_left_alone(folder: Path) -> None:
    before = (folder / "bundle" / "bundle.json").read_bytes()
    resume(folder, reporter=StopBefore("training on all"))
    assert (folder / "bundle" / "bundle.json").read_bytes() == before


def test_what_it_claims_can_be_recomputed(folder: Path) -> None:
    found = verify(folder)
    assert not [check for check in found if check.ok is False]
    assert sum(check.ok is True for check in found) >= 6
