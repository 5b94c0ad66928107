"""What is said about an answer, and that every sentence is in one file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tumorlens
from tumorlens.errors import InputError
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.inference import Failure, Prediction
from tumorlens.inference.gate import REASON
from tumorlens.inference.result import BLANK, NOT_BRAIN_MRI
from tumorlens.pipeline.model import Model
from tumorlens.web.reliability import Rate, measure, scored
from tumorlens.web.words import headline, reliability, said, strings

WEB = Path(tumorlens.__file__).parent / "web"
ANSWER = Prediction(
    id="a", path="a", frame=None, predicted="glioma", probabilities={"glioma": 1.0}, model={}, ms=0.0,
    set=("glioma",), verdict="accepted",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Glioma"),
        ({"verdict": None, "set": None}, "Glioma"),
        ({"verdict": "uncertain"}, "Uncertain: most likely glioma"),
        ({"verdict": "uncertain", "set": ("glioma", "meningioma")}, "Uncertain: glioma or meningioma"),
        ({"verdict": "uncertain", "set": ()}, "Uncertain: unlike every class that the model knows; closest to glioma"),
        ({"verdict": "uncertain", "set": ("no_tumor", "pituitary")}, "Uncertain: no tumour or pituitary tumour"),
        ({"verdict": NOT_BRAIN_MRI, "predicted": None}, "This does not look like a brain MRI: no answer given"),
        ({"verdict": NOT_BRAIN_MRI, "predicted": None, "reason": BLANK}, "This slice is blank: no answer given"),
        ({"verdict": NOT_BRAIN_MRI, "predicted": None, "reason": REASON}, strings()["words"]["not_brain_mri"]),
        ({"verdict": NOT_BRAIN_MRI, "predicted": None, "reason": "it is a mask"}, "No answer given: it is a mask"),
    ],
)  # fmt: skip
def test_the_verdict_in_words(changed: dict, words: str) -> None:
    assert headline(replace(ANSWER, **changed)) == words


def test_a_file_that_cannot_be_used() -> None:
    assert said(Failure("a", InputError("no")), {}) == {"headline": "Could not be used"}


def test_how_often_it_is_right_comes_from_the_bundle_alone(shipped: Model) -> None:
    measured = measure(shipped.predictor.bundle)
    stored = json.loads(shipped.predictor.bundle.read("metrics.json"))["test"]["per_class"]
    scores = evaluate_table(scored(shipped.predictor.bundle), bootstrap=0)["per_class"]
    for name, found in measured.items():
        assert found.ppv.value == pytest.approx(scores[name]["ppv"])
        assert found.sensitivity.value == pytest.approx(scores[name]["sensitivity"])
        assert found.sensitivity.ci95 == stored[name]["sensitivity_ci95"]  # as on the card
        assert sum(rate.n for rate in found.ppv_by_verdict.values()) <= found.ppv.n
        for rate in (found.ppv, found.sensitivity, *found.ppv_by_verdict.values()):
            assert rate.ci95 is not None
            assert rate.ci95[0] < rate.value < rate.ci95[1]
    for verdict in ("accepted", "uncertain"):
        sentence = reliability("glioma", measured["glioma"], verdict)
        assert f"{100 * measured['glioma'].ppv_by_verdict[verdict].value:.1f}" in sentence  # type: ignore[operator]
        assert verdict in sentence
        assert "out of fold" in sentence


def test_sure_answers_are_right_more_often_than_unsure_ones(shipped: Model) -> None:
    for found in measure(shipped.predictor.bundle).values():
        sure, unsure = (found.ppv_by_verdict[verdict].value for verdict in ("accepted", "uncertain"))
        assert unsure < found.ppv.value < sure  # type: ignore[operator]


def test_a_class_that_was_never_said_is_not_praised(shipped: Model) -> None:
    none = replace(measure(shipped.predictor.bundle)["glioma"], ppv=Rate(None, None, 0), ppv_by_verdict={})
    assert "not measured" in reliability("glioma", none)
    assert "not measured" in reliability("glioma", None)


def test_scripts_name_only_sentences_that_exist_and_every_sentence_is_used() -> None:
    scripts = "\n".join(path.read_text() for path in (WEB / "static").glob("*.js"))
    pages = "\n".join(path.read_text() for path in (WEB / "templates").glob("*.j2"))
    python = "\n".join(path.read_text() for path in WEB.glob("*.py"))
    named = set(re.findall(r'say\(\s*"(\w+)",\s*"(\w+)"', scripts))
    for table, name in named:
        assert name in strings()[table], (table, name)
    everywhere = scripts + pages + python
    for sentences in strings().values():
        for name in sentences:
            made = name.startswith(("aside_", "map_", "ppv_"))  # names that are put together
            assert made or re.search(rf'["`.]{name}["`.\s\]}}|)]', everywhere), name


def test_scripts_hold_no_sentences() -> None:
    """Text that people read is in ``strings.toml``: no literal in a script has three words in a row."""
    for path in (WEB / "static").glob("*.js"):
        code = re.sub(r"//.*", "", path.read_text())
        for literal in re.findall(r'"([^"\n]*)"', code):
            if literal.startswith(("#", "input,")) or "=" in literal or path.name == "docs.js":
                continue
            assert not re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", literal), (path.name, literal)


def test_close_numbers_get_as_many_digits_as_tell_them_apart(shipped: Model) -> None:
    threshold = shipped.predictor.trust.selective.threshold  # type: ignore[union-attr]
    outputs = shipped.predictor.run(np.zeros((1, 128, 128), np.uint8))
    near = outputs.probabilities.copy()
    near[0] = (1 - threshold + 2e-4) / 3
    near[0, 0] = threshold - 2e-4
    told = shipped.predictor._judged(replace(outputs, probabilities=near, accepted=np.array([False]), refused=None), 0)[
        "reason"
    ]
    low, high = re.findall(r"[\d.]+%", told)
    assert low != high
