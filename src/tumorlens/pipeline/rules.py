"""The rules of the plan: each sees the facts and the settings so far, and gives choices with their reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tumorlens.config import Settings
from tumorlens.labels import NO_TUMOR
from tumorlens.models import registry
from tumorlens.models import start as starting
from tumorlens.pipeline import drawing
from tumorlens.pipeline.facts import Facts

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
# Slices drawn for data without masks: as a share of theirs, and within what bounds.
_DRAWN, _FEWEST_DRAWN, _MOST_DRAWN = 0.5, 200, 1000
_SIZE, _SMALL = 192, 128


@dataclass(frozen=True)
class Choice:
    """One decision."""

    setting: str
    value: Any
    reason: str


def _enough(facts: Facts) -> bool:
    """Whether the data's own masks can teach where to look."""
    return facts.masks >= _LEAST_MASKS and facts.masks >= _MASKED * facts.tumours


def model(fixed: set[str], facts: Facts, settings: Settings) -> list[Choice]:
    """The network that learns where to look, wherever there is something to learn it from."""
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
        also = ", too" if facts.masks else ""
        return [Choice("model.name", "guided", f"{why}: masks of drawn heads (train.drawn) teach where to look{also}")]
    return [Choice("model.name", "compact", f"{why}; the better of our networks that need none")]


def drawn(facts: Facts, settings: Settings) -> list[Choice]:
    """Masks where there are too few."""
    if not registry.learns_from_masks(settings.model) or _enough(facts) or facts.drawn:
        return []
    # No more than there are real ones, or few batches would hold these.
    count = min(_MOST_DRAWN, max(_FEWEST_DRAWN, round(_DRAWN * facts.slices)), facts.slices)
    why = (
        "the highest point of the mask was on the tumour in 75 % of slices with these, that of the class map in 29 % "
        "by labels alone (figshare, one fold)"
    )
    return [Choice("train.drawn", count, why)]


def peak(facts: Facts, settings: Settings) -> list[Choice]:
    """Whether the mask's likeliest place counts as a feature."""
    if settings.model.name != "guided" or NO_TUMOR not in facts.classes:
        return []
    why = "whether there is a tumour at all hangs on the likeliest place, not on an average over the slice"
    return [Choice("model.peak", True, why)]


def start(facts: Facts, settings: Settings) -> list[Choice]:
    """The first weights."""
    if not starting.ships(settings.model):
        return []
    if facts.drawn:
        return [Choice("train.start", "", "these are drawn heads themselves: nothing would be shown by starting there")]
    why = "weights learned from drawn heads, not chance: better on both folds that were tried"
    return [Choice("train.start", starting.PHANTOM, why)]


def size(facts: Facts, _: Settings) -> list[Choice]:
    """Of the input, no larger than the pictures."""
    if facts.side >= _SIZE - 16:
        why = "small tumours need the pixels: better than 128 on one of two folds, alike on the other, twice the time"
        return [Choice("preprocess.size", _SIZE, why)]
    size = max(32, -(-facts.side // 16) * 16)
    return [Choice("preprocess.size", size, f"half of the pictures are no larger than {facts.side} pixels")]


def batch(facts: Facts, _: Settings) -> list[Choice]:
    """Its size."""
    if facts.slices < 640:
        return [Choice("train.batch_size", 16, f"{facts.slices} slices give too few steps an epoch otherwise")]
    why = "16 named the class as well in half the epochs, but hung less on the tumour (one fold)"
    untried = "; larger ones were not tried on a GPU" if facts.device == "gpu" else ""
    return [Choice("train.batch_size", 32, why + untried)]


def weights(facts: Facts, _: Settings) -> list[Choice]:
    """Of rare classes."""
    largest, smallest = max(facts.classes.values()), min(facts.classes.values())
    why = "no class has four times as many slices as another"
    if largest >= 4 * smallest:
        why = (
            f"the largest class has {largest / smallest:.0f} times as many slices as the smallest, but weighing rare "
            "ones up cost 7 points of accuracy and 6 of balanced accuracy where it was tried (one set, 74 slices)"
        )
    return [Choice("train.class_weights", "none", why)]


def augmentation(facts: Facts, settings: Settings) -> list[Choice]:
    """What is not on anyway."""
    if not settings.augment.enabled:
        return []
    why = "heads differ in shape; a little better on both folds that were tried"
    found = [Choice("augment.elastic", 0.015, why)]
    if facts.sources > 1:
        why = (
            f"{facts.sources} data sets: scanners differ; pictures worse than those learned from are answered better, "
            "for about a point on clean ones in short trainings, and nothing in long ones"
        )
        found.append(Choice("augment.artefacts", 0.3, why))
    return found


def implants(facts: Facts, settings: Settings) -> list[Choice]:
    """Twins and transplants, where a class is tied to its data set."""
    if settings.model.name != "guided" or not _enough(facts) or not facts.tied or not settings.augment.enabled:
        return []
    why = "most slices with a tumour, or most without, come from data sets without the other: these tell"
    return [Choice("augment.twins", 0.1, why), Choice("augment.transplants", 0.15, why)]


def _wanted(facts: Facts) -> int:
    """Epochs, where there is time for them."""
    return min(_MOST, max(_FEWEST, round(_SHOWN / max(facts.slices, 1))))


def time(speed: Callable[[Settings, int], float], fixed: set[str], facts: Facts, settings: Settings) -> list[Choice]:
    """Epochs, and a smaller input where the time would not do for a proper training otherwise."""
    if "train.epochs" in fixed:
        return []
    wanted = _wanted(facts)
    why = f"{facts.slices} slices are shown {facts.slices * wanted:,} times in all"
    seconds = facts.minutes * 60
    # Any machine keeps within most budgets with the plan's own networks; else this one is asked how fast it is.
    ours = settings.model.name in _OURS and not fixed & {"model.width", "model.depth"}
    shown = facts.slices + drawing.count(settings)  # in an epoch
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


def precision(fixed: set[str], facts: Facts, settings: Settings) -> list[Choice]:
    """Measured where that pays off."""
    epochs = settings.train.epochs if "train.epochs" in fixed else _wanted(facts)
    if facts.slices * epochs < _LONG[facts.device]:
        return []
    return [Choice("train.precision", "auto", "a short measurement pays off for a long training")]
