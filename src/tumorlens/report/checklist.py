"""``checklist.html``: what a paper about the run has to say, filled in as far as a program can know it.

The 44 items, in words of our own, are those of Tejani AS et al. Checklist for Artificial Intelligence in Medical
Imaging (CLAIM): 2024 Update. Radiol Artif Intell 2024;6(4):e240300. What only people know stays open, and is shown so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens.io.atomic import write_text
from tumorlens.labels import title
from tumorlens.report import looking, page, subgroups, trust, words
from tumorlens.report.run_folder import RunFolder

# (section, item, what is asked)
ITEMS = (
    ("Title and abstract", 1, "Says in the title or abstract that it is about AI, and of which kind"),
    ("Title and abstract", 2, "Structured summary of design, methods, results and conclusions"),
    ("Introduction", 3, "Background, and the role the method is meant to have"),
    ("Introduction", 4, "Aims, objectives and hypotheses"),
    ("Study design", 5, "Prospective or retrospective"),
    ("Study design", 6, "Goal of the study"),
    ("Data", 7, "Sources of the data"),
    ("Data", 8, "What was included and excluded"),
    ("Data", 9, "Preprocessing"),
    ("Data", 10, "Selection of parts of the data"),
    ("Data", 11, "De-identification"),
    ("Data", 12, "How missing data were handled"),
    ("Data", 13, "How the images were acquired"),
    ("Reference standard", 14, "How the true class was found"),
    ("Reference standard", 15, "Why in that way"),
    ("Reference standard", 16, "Who annotated, with what experience"),
    ("Reference standard", 17, "How the test set was annotated"),
    ("Reference standard", 18, "How much annotators vary"),
    ("Partitions", 19, "How data were assigned to training, validation and test"),
    ("Partitions", 20, "Level at which these are disjoint"),
    ("Partitions", 21, "How large a test set was intended"),
    ("Model", 22, "The model: inputs, outputs, layers"),
    ("Model", 23, "Software and versions"),
    ("Model", 24, "How parameters were initialised"),
    ("Training", 25, "How it was trained: augmentation, hyper-parameters, epochs"),
    ("Training", 26, "How the final model was chosen"),
    ("Training", 27, "Ensembles"),
    ("Evaluation", 28, "Measures of performance"),
    ("Evaluation", 29, "Measures of uncertainty"),
    ("Evaluation", 30, "Robustness"),
    ("Evaluation", 31, "Explanations, and how they were validated"),
    ("Evaluation", 32, "Evaluation on internal data"),
    ("Evaluation", 33, "Test on external data"),
    ("Evaluation", 34, "Registration, of a clinical trial"),
    ("Results", 35, "Numbers of patients and images included and excluded"),
    ("Results", 36, "Demographic and clinical characteristics in each partition"),
    ("Results", 37, "Performance, on all partitions"),
    ("Results", 38, "Diagnostic performance and its precision"),
    ("Results", 39, "Analysis of failures"),
    ("Discussion", 40, "Limits"),
    ("Discussion", 41, "What follows for practice"),
    ("Other", 42, "Where protocol and technical details can be found"),
    ("Other", 43, "Whether software, model and data are available"),
    ("Other", 44, "Funding, and the role of those who fund"),
)


@dataclass(frozen=True)
class Item:
    """An item of the checklist.

    Attributes:
        section: of a paper.
        number: 1 to 44.
        asked: what the paper has to say.
        answer: what the run knows about it, as sentences; empty where only people know.
        rest: what people have to add to the answer; empty where nothing.
    """

    section: str
    number: int
    asked: str
    answer: str = ""
    rest: str = ""


_Facts = Mapping[str, Any]
Known = tuple[Callable[[_Facts], str], str]


def items(metrics: _Facts, known: Mapping[int, Known] | None = None) -> list[Item]:
    """The whole list, filled in from ``metrics.json``.

    Args:
        metrics: of a run with its ``settings``, or what ``known`` reads.
        known: item → what finds the answer, and what people have to add; :data:`RUN` when None.
    """
    made = []
    for section, number, asked in ITEMS:
        find, rest = (RUN if known is None else known).get(number, (None, ""))
        answer = find(metrics) if find else ""
        made.append(Item(section, number, asked, answer, rest if answer else ""))
    return made


def render_checklist(run: RunFolder) -> Path:
    """Write ``checklist.html`` into the run's folder.

    Raises:
        MissingExtraError: when a library of the extra ``report`` is not installed.
    """
    facts = {**run.metrics, "settings": tomllib.loads(run.settings_toml)}
    return write(run.path, facts, items(facts))


def write(folder: Path, metrics: _Facts, made: list[Item]) -> Path:
    """The page of a list, as ``checklist.html``.

    Raises:
        MissingExtraError: when a library of the extra ``report`` is not installed.
    """
    html = page.render(
        "checklist.html.j2",
        script="",
        name=metrics.get("name") or folder.name,
        created=words.moment(metrics.get("created")) or "",
        research_only=words.RESEARCH_ONLY,
        items=made,
        known=sum(1 for item in made if item.answer and not item.rest),
        part=sum(1 for item in made if item.rest),
        open=sum(1 for item in made if not item.answer),
    )
    path = folder / "checklist.html"
    write_text(path, html)
    return path


def _sources(metrics: _Facts) -> str:
    names = ", ".join((metrics.get("data") or {}).get("sources") or [])
    return f"Data sets by their names here: {names}." if names else ""


def excluded(metrics: _Facts) -> str:
    """How many inputs were left out, and why."""
    skipped = (metrics.get("data") or {}).get("skipped") or []
    if not skipped:
        return "No input was left out."
    codes = sorted({item["code"] for item in skipped})
    each = ", ".join(f"{code} {sum(item['code'] == code for item in skipped)}" for code in codes)
    return f"{words.plural(len(skipped), 'input')} left out: {each}."


def preprocessing(facts: _Facts) -> str:
    """How slices are brought to the network's input, from ``settings``; empty without."""
    found = (facts.get("settings") or {}).get("preprocess") or {}
    if not found:
        return ""
    by = "Head crop, percentile window, padding" if found["recipe"] == "standard" else "Division by 255"
    return f"{by} and resizing to {found['size']} × {found['size']} pixels; [preprocess] in config.toml."


def _missing(metrics: _Facts) -> str:
    return "Slices without a class or that cannot be read are left out and counted; nothing is imputed."


def _partition(metrics: _Facts) -> str:
    groups = (metrics.get("data") or {}).get("groups") or {}
    told = ", ".join(f"{name} {words.count(count)}" for name, count in groups.items())
    return f"At random over groups, stratified by class, or as the data set brings it (config.toml). Groups: {told}."


def _disjoint(metrics: _Facts) -> str:
    leaked = metrics.get("leaked")
    more = f" {words.plural(leaked['removed'], 'test slice')} that broke this are left out." if leaked else ""
    unit = (metrics.get("test") or metrics["scores"])["unit"]
    level = {
        "patient": "Patient: no patient is on two sides.",
        "group": "Group: patients that share pictures count as one, and none is on two sides.",
        "duplicate cluster": "Copies and look-alikes; patients are not all known, so slices of one may be on both.",
    }.get(unit, "Slice: patients are not known, so slices of one may be on both sides.")
    return f"{level}{more}"


def _model(metrics: _Facts) -> str:
    training = metrics.get("training") or {}
    if not training.get("parameters"):
        return ""
    return f"{training['model']}, {words.count(training['parameters'])} parameters; the network is model.onnx."


def _software(metrics: _Facts) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted((metrics.get("versions") or {}).items()))


def _start(metrics: _Facts) -> str:
    seed = (metrics.get("training") or {}).get("seed")
    return f"train.start in config.toml: chance, or the weights it names; seed {seed}." if seed is not None else ""


def _training(metrics: _Facts) -> str:
    found = metrics.get("training") or {}
    if not found.get("epochs"):
        return ""
    took = words.duration(found["seconds"])
    done = f"{found['epochs']} epochs, {took} on {found['device']}"
    return f"{done}; every setting is in config.toml, each epoch in history.csv."


def _chosen(metrics: _Facts) -> str:
    kept = (metrics.get("training") or {}).get("kept")
    return {"last": "The last epoch.", "best": "The epoch with the lowest validation loss."}.get(str(kept), "")


def _single(metrics: _Facts) -> str:
    return "None: one network."


def _measures(metrics: _Facts) -> str:
    return (
        "Accuracy by slice and by patient, balanced accuracy, sensitivity, specificity, predictive values and AUROC of "
        "each class, ECE (15 equal-mass bins), Brier score, log loss; where calibrated, coverage and size of "
        "conformal sets."
    )


def _uncertainty(metrics: _Facts) -> str:
    boot = metrics["test"].get("bootstrap") or {}
    unit = metrics["test"].get("unit", "group")
    return f"95 % intervals by a bootstrap of {words.count(boot.get('resamples', 0))} resamples over the unit {unit}."


def _explained(metrics: _Facts) -> str:
    return " ".join(
        part for part in (looking.sentence(metrics), "Maps are scored on outlines." if looking.places(metrics) else "")
    )


def _internal(metrics: _Facts) -> str:
    return words.headline(metrics["test"], drawn=words.synthetic(metrics), out_of_fold=bool(metrics.get("out_of_fold")))


def _numbers(metrics: _Facts) -> str:
    counts = (metrics.get("data") or {}).get("counts") or {}
    told = "; ".join(f"{part}: {words.plural(sum(by.values()), 'slice')}" for part, by in counts.items())
    return f"{told}. {excluded(metrics)}" if told else ""


def _performance(metrics: _Facts) -> str:
    test, val = metrics["test"], words.scored(metrics, "validation")
    beside = f"; validation {words.percent(val['accuracy'])}" if val else ""
    return f"Accuracy: test {words.percent(test['accuracy'])}{beside}. {trust.sentence(metrics)}".strip()


def _diagnostic(metrics: _Facts) -> str:
    told = []
    for name, part in metrics["test"]["per_class"].items():
        if part["sensitivity"] is not None:
            known = words.percent_range(part.get("sensitivity_ci95"))
            told.append(f"{title(name)} {words.percent(part['sensitivity'])} ({known})")
    return f"Sensitivity, 95 % interval: {', '.join(told)}."


def _failures(metrics: _Facts) -> str:
    return " ".join(part for part in (subgroups.worst(metrics), subgroups.by_patient(metrics)) if part)


def _limits(metrics: _Facts) -> str:
    return "Those that a program can see stand under Limits in MODEL_CARD.md."


def _details(metrics: _Facts) -> str:
    return "config.toml, manifest.csv, plan.toml and log.txt of the run folder repeat the run."


def _robust(metrics: _Facts) -> str:
    return "tumorlens evaluate MODEL DATA --corruptions measures it; crossval and its seeds measure that of training."


# Item → what finds the answer, and what people have to add.
RUN: dict[int, Known] = {
    7: (_sources, "where they come from, and under which licence"),
    8: (excluded, "who was included, and by which criteria"),
    9: (preprocessing, ""),
    12: (_missing, "what was missing before the data came here"),
    19: (_partition, ""),
    20: (_disjoint, ""),
    22: (_model, ""),
    23: (_software, ""),
    24: (_start, ""),
    25: (_training, ""),
    26: (_chosen, "which other models were tried before"),
    27: (_single, ""),
    28: (_measures, ""),
    29: (_uncertainty, ""),
    30: (_robust, "what it gave"),
    31: (_explained, ""),
    32: (_internal, ""),
    35: (_numbers, "a flow diagram"),
    37: (_performance, ""),
    38: (_diagnostic, ""),
    39: (_failures, "what the cases have in common"),
    40: (_limits, "those of the study"),
    42: (_details, "the protocol"),
}
