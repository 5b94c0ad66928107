"""What a cross-validation knows of the items of :mod:`tumorlens.report.checklist`; it has folds, and no one network."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumorlens.labels import title
from tumorlens.report import checklist, trust, words

_Facts = Mapping[str, Any]


def render_checklist(folder: Path, metrics: _Facts) -> Path:
    """Write ``checklist.html`` into the folder of a cross-validation.

    Args:
        folder: with its ``config.toml``.
        metrics: its ``metrics.json``.

    Raises:
        MissingExtraError: when a library of the extra ``report`` is not installed.
    """
    config = folder / "config.toml"
    settings = tomllib.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    facts = {**metrics, "settings": settings}
    return checklist.write(folder, facts, checklist.items(facts, KNOWN))


def _partition(facts: _Facts) -> str:
    data = facts["data"]
    brought = data["fold_column"]
    how = (
        f"As the data set brings it, in the column {brought}"
        if brought
        else "At random over groups, stratified by class"
    )
    told = ", ".join(f"{name}: {words.count(count)}" for name, count in data["groups"].items())
    return f"{how}: {len(data['counts'])} folds, each tested once by a network of the others. Groups in each: {told}."


def _model(facts: _Facts) -> str:
    name = (facts["settings"].get("model") or {}).get("name")
    return f"{name}, {words.count(facts['folds'][0]['parameters'])} parameters; [model] in config.toml." if name else ""


def _start(facts: _Facts) -> str:
    started = (facts["settings"].get("train") or {}).get("start")
    if started is None:
        return ""
    seeds = ", ".join(str(entry["seed"]) for entry in facts["seeds"])
    return f"{f'From the weights {started!r}' if started else 'By chance'}; seeds: {seeds}."


def _training(facts: _Facts) -> str:
    folds = facts["folds"]
    took = words.duration(sum(item["seconds"] for item in folds) / len(folds))
    fewest, most = min(item["epochs"] for item in folds), max(item["epochs"] for item in folds)
    epochs = str(most) if fewest == most else f"{fewest} to {most}"
    where = " and ".join(sorted({item["device"] for item in folds}))
    return (
        f"{words.plural(len(folds), 'training')} of {epochs} epochs, {took} each on {where}; every setting is in "
        "config.toml, each epoch in the history.csv of its fold."
    )


def _chosen(facts: _Facts) -> str:
    kept = (facts["settings"].get("train") or {}).get("keep")
    told = {"last": "the last epoch", "best": "the epoch with the lowest validation loss"}.get(str(kept))
    return f"Of each training {told}." if told else ""


def _single(facts: _Facts) -> str:
    return "None: each slice is answered by one network."


def _uncertainty(facts: _Facts) -> str:
    scores = facts["scores"]
    resamples = words.count(scores["bootstrap"]["resamples"])
    told = f"95 % intervals by a bootstrap of {resamples} resamples over the unit {scores['unit']}"
    seeds = f" and over {words.count(scores['runs'])} seeds" if scores["runs"] > 1 else ""
    return f"{told}; standard deviation between folds{seeds}."


def _robust(facts: _Facts) -> str:
    spread = f"Accuracy varies by {100 * facts['accuracy_sd_between_folds']:.1f} points (SD) between folds"
    sd = facts["scores"]["accuracy"]["sd"]
    return f"{spread}, by {100 * sd:.1f} between seeds." if sd is not None else f"{spread}; one seed was run."


def _internal(facts: _Facts) -> str:
    return (
        f"{_accuracy(facts)} on {words.sample(facts['scores'], drawn=words.synthetic(facts))}, each tested out of fold."
    )


def _numbers(facts: _Facts) -> str:
    told = [f"fold {name}: {words.count(sum(by.values()))}" for name, by in facts["data"]["counts"].items()]
    return f"Slices in {', '.join(told)}. {checklist.excluded(facts)}"


def _accuracy(facts: _Facts) -> str:
    found = facts["scores"]["accuracy"]
    return f"Accuracy {words.percent(found['mean'])} (95 % interval {words.percent_range(found['ci95'])})"


def _performance(facts: _Facts) -> str:
    seeds = ", ".join(words.percent(entry["accuracy"]) for entry in facts["seeds"])
    return f"{_accuracy(facts)}; by seed: {seeds}. {trust.sentence(facts)}".strip()


def _diagnostic(facts: _Facts) -> str:
    found = {title(name): part["sensitivity"] for name, part in facts["scores"]["per_class"].items()}
    told = [
        f"{name} {words.percent(one['mean'])} ({words.percent_range(one['ci95'])})"
        for name, one in found.items()
        if one["mean"] is not None
    ]
    return f"Sensitivity, 95 % interval: {', '.join(told)}."


def _details(facts: _Facts) -> str:
    return "config.toml, manifest.csv, log.txt and the folder of each seed repeat it."


# Where a cross-validation answers otherwise than a run.
KNOWN: dict[int, checklist.Known] = {
    **checklist.RUN,
    9: (checklist.preprocessing, ""),
    19: (_partition, ""),
    22: (_model, ""),
    24: (_start, ""),
    25: (_training, ""),
    26: (_chosen, "which other models were tried before"),
    27: (_single, ""),
    29: (_uncertainty, ""),
    30: (_robust, "that against worse pictures"),
    32: (_internal, ""),
    35: (_numbers, "a flow diagram"),
    37: (_performance, ""),
    38: (_diagnostic, ""),
    40: (lambda facts: "", ""),
    42: (_details, "the protocol"),
}
