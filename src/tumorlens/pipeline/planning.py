"""What ``tumorlens train DATA`` decides where nothing is said: a handful of rules, each with its reason.

The rules see a few facts about the data and the machine, no picture and no score. What they decide is written to
``plan.toml``; whatever the caller sets is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens import config
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Row
from tumorlens.io.atomic import write_text
from tumorlens.labels import NO_TUMOR
from tumorlens.models import registry
from tumorlens.models import start as starting
from tumorlens.models.keras_setup import device_of
from tumorlens.pipeline import drawing
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import cores
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.outlines import usable
from tumorlens.preprocess.store import stamp_of
from tumorlens.training.speed import images_per_second

PLAN = "plan.toml"
# Slices that a network is shown in all: the recipes of docs/experiments.md lie between 90,000 (figshare, 40 epochs) and
# some 170,000 (a fold of the shipped model). No curve over it was measured.
_SHOWN = 120_000
_FEWEST, _MOST = 15, 60  # epochs
# Slices a second, fewer than on the machines that were measured, for the networks that the plan chooses itself.
_SLOWEST = {"cpu": 15.0, "gpu": 150.0}
# Of the speed that is measured; the rest of the processor's time goes into augmentation and checks. A GPU waits for the
# one core that augments: fifteen trainings on sixteen cores made 8,700 slices a second (docs/experiments.md).
_REACHED, _FED = 0.8, 500.0
# Slices shown from which a training is long. A GPU was some fifty times as fast as two cores.
_LONG = {"cpu": 20_000, "gpu": 1_000_000}
_OURS = ("compact", "guided")
_MASKED, _LEAST_MASKS = 0.5, 50
_LOOKED_AT = 12  # masks
# Slices drawn for data without masks: as a share of theirs, and within what bounds.
_DRAWN, _FEWEST_DRAWN, _MOST_DRAWN = 0.5, 200, 1000
_SIZE, _SMALL = 192, 128


@dataclass(frozen=True)
class Facts:
    """What the rules see.

    Attributes:
        slices: that one training learns from.
        classes: of these, slices of each.
        groups: of patients or copies, among them.
        sources: data sets.
        masks: tumour slices with a mask that can be used, as far as some of them tell.
        unusable: tumour slices whose mask is missing or cannot be used.
        tumours: tumour slices.
        side: median of the pictures' longer sides in pixels.
        tied: whether most tumour-free slices come from data sets that hold no tumour, or most slices with a tumour from
            data sets that hold nothing else.
        drawn: whether they are the phantom.
        minutes: for training; 0 for no limit.
        device: that it will run on, ``cpu`` or ``gpu``.
        beside: trainings that run at once on this machine.
        cores: processors that each of them may use.
    """

    slices: int
    classes: Mapping[str, int]
    groups: int
    sources: int
    masks: int
    unusable: int
    tumours: int
    side: int
    tied: bool
    drawn: bool
    minutes: float
    device: str
    beside: int
    cores: int


@dataclass(frozen=True)
class Choice:
    """One decision."""

    setting: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Plan:
    """What was decided.

    Attributes:
        settings: complete.
        facts: that it was decided from; None when everything was given.
        choices: in order; those that the caller had made are not among them.
    """

    settings: Settings
    facts: Facts | None
    choices: tuple[Choice, ...]

    def write(self, folder: Path) -> None:
        """``plan.toml``; nothing when everything was given."""
        if self.facts is None:
            return
        lines = ["# What tumorlens decided, from what, and why. Whatever you set yourself is not here.", "", "[facts]"]
        for name, value in asdict(self.facts).items():
            lines.append(f"{name} = {_toml(value)}")
        for choice in self.choices:
            lines += ["", "[[choice]]", f"setting = {_toml(choice.setting)}", f"value = {_toml(choice.value)}"]
            lines.append(f"reason = {_toml(choice.reason)}")
        write_text(folder / PLAN, "\n".join(lines) + "\n")


def plan(
    given: Settings | Mapping[str, Any] | None,
    manifest: Manifest,
    looks: Standardised,
    *,
    share: float = 1.0,
    beside: int = 1,
    speed: Callable[[Settings, int], float] = images_per_second,
    device: Callable[[str], str] = device_of,
) -> Plan:
    """The settings for a data set.

    Args:
        given: complete settings, which are kept as they are, or those that were chosen by hand.
        manifest: divided slices; without a split, all of them are for training.
        looks: records of them, which hold the sizes of the pictures.
        share: of the slices for training that one training learns from: less than 1 where others come of them, too.
        beside: how many trainings run at once on this machine, each with its part of it.
        speed: measures how many images a second a network of so many classes trains on; asked only where time is short.
        device: tells what ``train.device`` will be, ``cpu`` or ``gpu``.

    Raises:
        ConfigError: for settings that do not exist.
    """
    settings = config.as_settings(given)
    if isinstance(given, Settings):
        return Plan(settings, None, ())
    there = device(settings.train.device)
    found = facts(manifest, looks, settings.train.minutes, share=share, device=there, beside=beside)
    fixed = set(_keys(given or {}))
    chosen: list[Choice] = []
    tree = msgspec.to_builtins(settings)
    rules = (
        partial(_model, fixed),
        _drawn,
        _peak,
        _start,
        _size,
        _batch,
        _weights,
        _augmentation,
        _implants,
        partial(_precision, fixed),
        partial(_time, speed, fixed),
    )
    for rule in rules:
        for choice in rule(found, config.from_dict(tree)):
            if choice.setting not in fixed:
                section, key = choice.setting.split(".")
                tree[section][key] = choice.value
                chosen = [*(earlier for earlier in chosen if earlier.setting != choice.setting), choice]
    return Plan(config.from_dict(tree), found, tuple(chosen))


def tell_plan(made: Plan, tell: Reporter) -> None:
    """Say what was decided in a line."""
    if made.facts is None:
        return
    settings, model = made.settings, made.settings.model.name
    implants = ", twins and transplants" if settings.augment.twins and settings.augment.transplants else ""
    drawn = f" and {settings.train.drawn} drawn slices with masks" if drawing.teaches(settings) else ""
    tell.note(
        f"plan: {model}{drawn}, {settings.preprocess.size} pixels, {settings.train.epochs} epochs, "
        f"{settings.train.batch_size} slices a batch{implants} ({PLAN} says why)"
    )


def facts(
    manifest: Manifest,
    looks: Standardised,
    minutes: float,
    *,
    share: float = 1.0,
    device: str = "cpu",
    beside: int = 1,
) -> Facts:
    """What the rules see of a data set; for the arguments see :func:`plan`."""
    rows = [row for row in manifest if row.split in ("", "train")]
    tumours = [row for row in rows if row.label != NO_TUMOR]
    free = [row for row in rows if row.label == NO_TUMOR]
    place = {row.id: i for i, row in enumerate(looks.manifest)}
    shapes = np.asarray(looks.images["shape"][:]).reshape(len(place), -1)[[place[row.id] for row in rows]]
    masked = [row for row in tumours if row.mask]
    masks = _usable(masked)

    def part(count: int) -> int:
        return max(min(count, 1), round(share * count))

    return Facts(
        slices=part(len(rows)),
        classes={label: part(count) for label, count in manifest.with_rows(rows).count().items()},
        groups=part(len(set(manifest.with_rows(rows).groups))),
        sources=len({row.source for row in rows}),
        masks=part(masks),
        unusable=part(len(masked) - masks),
        tumours=part(len(tumours)),
        side=int(np.median(shapes.max(axis=1))) if len(rows) else 0,
        tied=bool(free) and (_mostly_elsewhere(free, tumours) or _mostly_elsewhere(tumours, free)),
        drawn="phantom" in manifest.provenance,
        minutes=minutes,
        device=device,
        beside=beside,
        cores=max(1, cores() // beside),
    )


def _usable(masked: Sequence[Row]) -> int:
    """How many masks can be used: their files are there, and a few of them, far apart, are read."""
    there = [row for row in masked if stamp_of(row.mask)]
    looked = there[:: -(-len(there) // _LOOKED_AT)] if there else []
    return round(len(there) * sum(map(usable, looked)) / len(looked)) if looked else 0


def _mostly_elsewhere(rows: Sequence[Row], others: Sequence[Row]) -> bool:
    there = {row.source for row in others}
    return sum(row.source not in there for row in rows) > len(rows) / 2


def _enough(facts: Facts) -> bool:
    """Whether the data's own masks can teach where to look."""
    return facts.masks >= _LEAST_MASKS and facts.masks >= _MASKED * facts.tumours


def _model(fixed: set[str], facts: Facts, settings: Settings) -> list[Choice]:
    lost = f", and {facts.unusable} more cannot be used" if facts.unusable else ""
    if _enough(facts):
        share = f"{facts.masks} of {facts.tumours} tumour slices have a mask{lost}"
        return [Choice("model.name", "guided", f"{share}: they can teach the network where to look")]
    if facts.masks:
        why = f"only {facts.masks} of {facts.tumours} tumour slices have a mask{lost}, too few alone"
    elif facts.unusable:
        why = f"none of {facts.unusable} tumour masks can be used (missing, unreadable, empty, of another shape)"
    else:
        why = "no slice has a tumour mask"
    if settings.train.drawn if "train.drawn" in fixed else not facts.drawn:
        return [Choice("model.name", "guided", f"{why}: drawn heads with masks (train.drawn) teach where to look, too")]
    return [Choice("model.name", "compact", f"{why}; the better of our networks that need none")]


def _drawn(facts: Facts, settings: Settings) -> list[Choice]:
    if not registry.learns_from_masks(settings.model) or _enough(facts) or facts.drawn:
        return []
    # No more than there are real ones, or few batches would hold these.
    count = min(_MOST_DRAWN, max(_FEWEST_DRAWN, round(_DRAWN * facts.slices)), facts.slices)
    why = "the map's highest point was on the tumour in 75 % of slices with these, in 29 % by labels alone (figshare)"
    return [Choice("train.drawn", count, why)]


def _peak(facts: Facts, settings: Settings) -> list[Choice]:
    if settings.model.name != "guided" or NO_TUMOR not in facts.classes:
        return []
    why = "whether there is a tumour at all hangs on the likeliest place, not on an average over the slice"
    return [Choice("model.peak", True, why)]


def _start(facts: Facts, settings: Settings) -> list[Choice]:
    if not starting.ships(settings.model):
        return []
    if facts.drawn:
        return [Choice("train.start", "", "these are drawn heads themselves: nothing would be shown by starting there")]
    why = "weights learned from drawn heads, not chance: better on both folds that were tried"
    return [Choice("train.start", starting.PHANTOM, why)]


def _size(facts: Facts, _: Settings) -> list[Choice]:
    if facts.side >= _SIZE - 16:
        why = "small tumours need the pixels: better than 128 on one of two folds, alike on the other, twice the time"
        return [Choice("preprocess.size", _SIZE, why)]
    size = max(32, -(-facts.side // 16) * 16)
    return [Choice("preprocess.size", size, f"half of the pictures are no larger than {facts.side} pixels")]


def _batch(facts: Facts, _: Settings) -> list[Choice]:
    if facts.slices < 640:
        return [Choice("train.batch_size", 16, f"{facts.slices} slices give too few steps an epoch otherwise")]
    why = "16 named the class as well in half the epochs, but hung less on the tumour (one fold)"
    untried = "; larger ones were not tried on a GPU" if facts.device == "gpu" else ""
    return [Choice("train.batch_size", 32, why + untried)]


def _weights(facts: Facts, _: Settings) -> list[Choice]:
    largest, smallest = max(facts.classes.values()), min(facts.classes.values())
    if largest >= 4 * smallest:
        why = f"the largest class has {largest / smallest:.0f} times as many slices as the smallest"
        return [Choice("train.class_weights", "balanced", why)]
    return [Choice("train.class_weights", "none", "no class has four times as many slices as another")]


def _augmentation(facts: Facts, settings: Settings) -> list[Choice]:
    if not settings.augment.enabled:
        return []
    why = "heads differ in shape; a little better on both folds that were tried"
    found = [Choice("augment.elastic", 0.015, why)]
    if facts.sources > 1:
        why = (
            f"{facts.sources} data sets: scanners differ; pictures worse than those learned from are answered better, "
            "for up to a point on clean ones"
        )
        found.append(Choice("augment.artefacts", 0.3, why))
    return found


def _implants(facts: Facts, settings: Settings) -> list[Choice]:
    if settings.model.name != "guided" or not _enough(facts) or not facts.tied or not settings.augment.enabled:
        return []
    why = "most slices with a tumour, or most without, come from data sets without the other: these tell"
    return [Choice("augment.twins", 0.1, why), Choice("augment.transplants", 0.15, why)]


def _wanted(facts: Facts) -> int:
    """Epochs, where there is time for them."""
    return min(_MOST, max(_FEWEST, round(_SHOWN / max(facts.slices, 1))))


def _time(speed: Callable[[Settings, int], float], fixed: set[str], facts: Facts, settings: Settings) -> list[Choice]:
    """Epochs, and a smaller input where the time would not do for a proper training otherwise."""
    if "train.epochs" in fixed:
        return []
    wanted = _wanted(facts)
    why = f"{facts.slices} slices are shown {facts.slices * wanted:,} times in all"
    seconds = facts.minutes * 60
    # Any machine keeps within most budgets with the plan's own networks; else this one is asked how fast it is.
    ours = settings.model.name in _OURS and not fixed & {"model.width", "model.depth"}
    shown = facts.slices + (settings.train.drawn if drawing.teaches(settings) else 0)  # in an epoch
    if not seconds or (ours and wanted * shown * facts.beside <= seconds * _SLOWEST[facts.device]):
        return [Choice("train.epochs", wanted, why)]

    def possible(size: int) -> tuple[int, float]:
        preprocess = msgspec.structs.replace(settings.preprocess, size=size)
        alone = speed(msgspec.structs.replace(settings, preprocess=preprocess), len(facts.classes))
        measured = _REACHED * alone / facts.beside
        measured = min(measured, _FED) if facts.device == "gpu" else measured
        return max(1, int(seconds * measured / shown)), measured

    most, measured = possible(settings.preprocess.size)
    choices = []
    if most < min(wanted, _FEWEST) and settings.preprocess.size > _SMALL and "preprocess.size" not in fixed:
        short = (
            f"{facts.minutes:g} minutes allow for {most} epochs at {settings.preprocess.size} pixels (train.minutes)"
        )
        choices.append(Choice("preprocess.size", _SMALL, short))
        most, measured = possible(_SMALL)
    if most < wanted:
        wanted = most
        where = "the GPU" if facts.device == "gpu" else "1 core" if facts.cores == 1 else f"{facts.cores} cores"
        speed_there = f"{measured:.0f} slices a second on {where}"
        why = f"as many as {facts.minutes:g} minutes allow for at {speed_there} (train.minutes)"
    return [*choices, Choice("train.epochs", wanted, why)]


def _precision(fixed: set[str], facts: Facts, settings: Settings) -> list[Choice]:
    epochs = settings.train.epochs if "train.epochs" in fixed else _wanted(facts)
    if facts.slices * epochs < _LONG[facts.device]:
        return []
    return [Choice("train.precision", "auto", "a short measurement pays off for a long training")]


def _keys(tree: Mapping[str, Any], before: str = "") -> list[str]:
    found = []
    for name, value in tree.items():
        found += _keys(value, f"{before}{name}.") if isinstance(value, Mapping) else [f"{before}{name}"]
    return found


def _toml(value: Any) -> str:
    """A value of one of the few kinds above as TOML, of which JSON's strings, numbers and booleans are a part."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(one)}" for name, one in value.items()) + " }"
    return json.dumps(value)
