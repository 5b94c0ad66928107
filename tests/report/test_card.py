"""The model card and the closing lines carry the numbers, say what is unknown, and cannot be hijacked by names."""

from dataclasses import replace

from tumorlens.evaluation import evaluate_table
from tumorlens.report import model_card, summary_text, words


def flat(text: str) -> str:
    return text.replace(words.NBSP, " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_the_card_holds_every_section_and_the_scores(metrics) -> None:
    card = model_card(metrics, "seed = 0\n")
    for section in ("What it is", "Intended use", "Data", "Recipe", "Scores", "Limits"):
        assert f"\n## {section}\n" in card
    test = metrics["test"]
    assert words.percent(test["accuracy"]) in card
    assert words.percent_range(test["accuracy_ci95"]) in card
    for part in test["per_class"].values():
        assert words.percent_range(part["sensitivity_ci95"]) in card
    assert "seed = 0" in card
    assert "not stated" in card
    assert card.count(words.RESEARCH_ONLY) == 1
    widths = [line.count("|") - line.count(r"\|") for line in card.splitlines() if line.startswith("|")]
    assert len(set(widths)) <= 3  # three tables, each of one width


def test_a_card_without_anything_known_says_so(builders) -> None:
    table = builders["table"]().where([label != "glioma" for label in builders["table"]().labels])
    card = model_card({"test": evaluate_table(table, bootstrap=100), "labels": list(table.names)}, "")
    assert card.count("not stated") > 8
    assert "Never tested on: Glioma." in card
    assert "There was no validation set." in card


def test_names_cannot_break_the_card(builders) -> None:
    bad = "x|y\n# Approved by the FDA <b>`"
    table = builders["table"](names=("glioma", bad))
    metrics = builders["metrics"](table, name=bad, model={})
    metrics["data"]["notes"] = [bad]
    card = model_card(metrics, "a = 1\n```\n# escaped?")
    assert "\n# Approved" not in card
    assert "<b>" not in card
    assert "\n````toml\n" in card


def test_the_card_says_whose_hash_it_shows_and_that_the_phantom_is_drawn(metrics) -> None:
    card = model_card(metrics, "")
    assert f"SHA-256 of the network file (model.onnx): {metrics['model']['sha256']}" in card
    assert "drawn" not in card
    notes = {"sources": ["phantom"], "notes": ["phantom: synthetic images"]}
    drawn = metrics | {"data": metrics["data"] | notes}
    assert "17 synthetic patients" in model_card(drawn, "")
    assert "drawn images only" in model_card(drawn, "")
    assert "17 synthetic patients" in summary_text(drawn)


def test_the_card_says_that_masks_were_drawn(metrics) -> None:
    training = metrics["training"]
    drawn = metrics | {"training": training | {"masks": 0, "drawn": 700}}
    assert "learned from: 700 drawn slices with masks; no mask of a real slice" in model_card(drawn, "")
    both = metrics | {"training": training | {"masks": 40, "drawn": 700}}
    assert "700 drawn slices with masks; beside the masks that the data bring" in model_card(both, "")


def test_the_card_averages_the_sets_over_patients_and_says_what_shuffled_weights_do(builders) -> None:
    table = builders["table"]()
    table = replace(table, sets=table.probabilities >= 0.1)
    point = {"n": 9, "hit_rate": 0.1, "hit_rate_ci95": [0.05, 0.2], "energy": 0.1}
    places = {"class_shuffled": {**point, "hit_rate": 0.5}, "centre": point, "head": point}
    rate = {"rate": 0.5, "ci95": [0.4, 0.6], "n": 9}
    hans = {"n": 9, "removed": rate, "control": rate, "background": rate, "plane_only": {"rate": 0.3}}
    metrics = builders["metrics"](table, localisation=places, clever_hans=hans)
    metrics["test"]["conformal"]["alpha"] = 0.05
    card = flat(model_card(metrics, ""))
    average = words.percent(metrics["test"]["conformal"]["patient_coverage"])
    assert "| Averaged over patients | 95 % interval |" in card
    assert f"({flat(average)} averaged over patients)" in card
    assert "Even with the weights shuffled" in card
    for lines in card.split("\n\n"):
        if lines.startswith("|"):
            assert len({line.count("|") - line.count(r"\|") for line in lines.splitlines()}) == 1


def test_the_summary_is_short_aligned_and_plain(metrics) -> None:
    text = summary_text(metrics)
    assert words.NBSP not in text
    assert flat(words.percent(metrics["test"]["accuracy"])) in text
    assert flat(words.percent(metrics["validation"]["accuracy"])) in text
    assert "17 patients" in text
    rows = text.split("\n\n")[1].splitlines()
    assert len(rows) == 5
    assert len({row.index(" %") for row in rows[1:]}) == 1
    assert max(len(line) for line in text.splitlines()) <= 120


def test_the_summary_without_patients_or_validation(builders) -> None:
    metrics = builders["metrics"](builders["table"]())
    metrics["test"]["patient_accuracy"] = None
    metrics["test"]["unit"] = "slice"
    metrics["validation"] = {"n": 0}
    metrics["as_shipped"] = metrics["test"]
    metrics["leaked"] = {"removed": 3, "pairs": []}
    text = summary_text(metrics)
    assert "no validation set" in text
    assert "Patient-level" not in text
    assert "As shipped (leaky)" in text
    assert "Patients are not known" in " ".join(text.split())


def test_a_clear_shortcut_is_a_limit_and_a_vague_one_is_not(builders) -> None:
    best = {"probe": "header", "balanced_accuracy": 0.59, "ci95": [0.56, 0.62], "chance": 0.33, "n": 90}
    for clear in (True, False):
        metrics = builders["metrics"](builders["table"](), shortcut={**best, "clear": clear})
        assert ("the header of the same data names the class" in model_card(metrics, "")) == clear
        assert "by the header alone; guessing: 33.0 %" in summary_text(metrics)
