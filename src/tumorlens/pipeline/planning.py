"""What ``tumorlens train DATA`` decides where nothing is said: a handful of rules, each with its reason.

The rules see a few facts about the data and the machine, no picture and no score. What they decide is written to
``plan.toml``; whatever the caller sets is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tumorlens import config
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest
from tumorlens.io.atomic import write_text
from tumorlens.models.keras_setup import device_of
from tumorlens.pipeline import drawing, rules
from tumorlens.pipeline.facts import Facts, facts
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.training.speed import images_per_second

PLAN = "plan.toml"


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
    choices: tuple[rules.Choice, ...]

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
    chosen: list[rules.Choice] = []
    tree = msgspec.to_builtins(settings)
    ordered = (
        partial(rules.model, fixed),
        rules.drawn,
        rules.peak,
        rules.start,
        rules.size,
        rules.batch,
        rules.weights,
        rules.augmentation,
        rules.implants,
        partial(rules.precision, fixed),
        partial(rules.time, speed, fixed),
    )
    for rule in ordered:
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
    drawn = f" and {count} drawn slices with masks" if (count := drawing.count(settings)) else ""
    tell.note(
        f"plan: {model}{drawn}, {settings.preprocess.size} pixels, {settings.train.epochs} epochs, "
        f"{settings.train.batch_size} slices a batch{implants} ({PLAN} says why)"
    )


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
