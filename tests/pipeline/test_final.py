"""The network that is shipped: trained on every slice, scored by others of its recipe."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pipeline.conftest import PLAIN

import tumorlens
from tumorlens import config, data
from tumorlens.data.phantom import write_phantom
from tumorlens.errors import DataError, Interrupted
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.inference.gate import Gate, shipped
from tumorlens.pipeline import finishing, folds, serial, trusting
from tumorlens.pipeline.crossvalidating import crossval, resume
from tumorlens.pipeline.evaluating import evaluate
from tumorlens.pipeline.exporting import export
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying import verify

SETTINGS = config.load(
    None,
    (
        *PLAIN,
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


def strict_gate(images: np.ndarray, *_: object) -> tuple[bytes, dict[str, Any]]:
    """A gate of the folds' that refuses three slices in ten; for the last network the input is too small for one."""
    network, rejection = shipped()
    logits = Gate.read(network, rejection).logits(images)
    return network, {**rejection, "threshold": float(np.quantile(logits, 0.7))}


@pytest.fixture(scope="module")
def folder(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setattr(finishing, "gate_for", strict_gate)
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
    for page in (card, (folder / "report.html").read_text()):
        assert "Is it looking at the tumour?" in page


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


def test_the_gate_of_the_folds_is_not_its_gate(folder: Path) -> None:
    """Neither the verdicts nor the answers for series are those of networks that refused some slices."""
    info = tumorlens.load(folder).info
    assert info.rejection is None
    raw = folds.pool(folder / "seed-0", ["1", "2"])
    assert 0.1 < np.mean(raw.refused) < 0.9
    without = replace(raw, refused=())
    table = trusting.cross_fitted(without, SETTINGS.evaluate)
    expected = evaluate_table(table, bootstrap=100, seed=0, alpha=SETTINGS.evaluate.alpha)
    claimed = json.loads((folder / "bundle" / "metrics.json").read_text())
    of_folds = json.loads((folder / "metrics.json").read_text())
    for name in ("coverage", "selective_accuracy", "refused"):
        assert claimed["test"][name] == expected[name]
    assert claimed["test"]["refused"] is None
    assert claimed["test"]["coverage"] > of_folds["seeds"][0]["coverage"]
    assert claimed["series"]["refused"] == 0 < of_folds["series"]["refused"]
    assert claimed["series"]["n"] > of_folds["series"]["n"]
    trust = trusting.fitted(without, SETTINGS.evaluate)
    assert info.selective == trust.fields("out-of-fold")["selective"]
    assert info.series == serial.fitted(trusting.judged(without, trust), SETTINGS.evaluate).fields("out-of-fold")


def test_eight_bits_of_it_come_from_its_own_slices(folder: Path, phantom_folder: Path, tmp_path: Path) -> None:
    """With its folder, or by the hashes that its bundle holds; no other slice will do."""
    alone = shutil.copytree(folder / "bundle", tmp_path / "alone")
    for model, given in ((folder, None), (alone, phantom_folder / "manifest.csv")):
        found = export(model, "int8", tmp_path / model.name / "int8", data=given)
        assert (found["split"], found["overlap"], found["n"]) == ("train", 0, 60)
        assert found["calibrated_on"] == 180
    write_phantom(tmp_path / "unseen", 16, 78)
    with pytest.raises(DataError, match="trained on"):
        export(alone, "int8", tmp_path / "out", data=tmp_path / "unseen")
    with pytest.raises(DataError) as caught:
        export(alone, "int8", tmp_path / "out")
    assert caught.value.code == "no_data"


def test_maps_of_a_network_without_its_own_are_scored_again(folder: Path, phantom_folder: Path) -> None:
    """Grad-CAM, from the Keras network that lies beside the bundle."""
    fold = folder / "seed-0" / "folds" / "1"
    trained = json.loads((fold / "metrics.json").read_text())
    found = evaluate(
        fold, phantom_folder / "manifest.csv", settings=config.load(fold / "config.toml", ["data.test_fold="])
    )
    assert found["localisation"]["gradcam"]["n"] == trained["localisation"]["gradcam"]["n"]
    for name in ("gradcam", "gradcam_shuffled", "occlusion", "centre"):
        assert found["localisation"][name]["hit_rate"] == pytest.approx(trained["localisation"][name]["hit_rate"])
    assert found["pointing_game"] == pytest.approx(trained["test"]["pointing_game"])


def test_without_its_keras_file_the_maps_by_occlusion_are_scored(
    folder: Path, phantom_folder: Path, tmp_path: Path
) -> None:
    """What an answer of such a bundle is shown with."""
    fold = shutil.copytree(folder / "seed-0" / "folds" / "1", tmp_path / "fold")
    for path in fold.rglob("*.keras"):
        path.unlink()
    of_run = json.loads((fold / "metrics.json").read_text())["localisation"]
    found = evaluate(
        fold, phantom_folder / "manifest.csv", settings=config.load(fold / "config.toml", ["data.test_fold="])
    )["localisation"]
    assert "gradcam" not in found
    assert 0 < found["occlusion"]["n"] <= 100
    assert found["occlusion"]["n"] == of_run["occlusion"]["n"]
    assert found["occlusion"]["hit_rate"] == pytest.approx(of_run["occlusion"]["hit_rate"])
    assert "occlusion_shuffled" in found


def test_a_finished_one_is_left_alone(folder: Path) -> None:
    before = (folder / "bundle" / "bundle.json").read_bytes()
    resume(folder, reporter=StopBefore("training on all"))
    assert (folder / "bundle" / "bundle.json").read_bytes() == before


def test_what_it_claims_can_be_recomputed(folder: Path) -> None:
    found = verify(folder)
    assert not [check for check in found if check.ok is False]
    assert sum(check.ok is True for check in found) >= 6
