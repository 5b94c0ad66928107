"""What a search may change: settings with the values that they may take, from TOML."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from tumorlens.config.reading import all_keys, from_dict
from tumorlens.config.sections import Settings
from tumorlens.config.writing import to_dict
from tumorlens.errors import ConfigError

Value = bool | int | float | str

DEFAULT = """\
# What `tumorlens tune` changes: ranges (log = true: as often from 0.001 to 0.01 as from 0.01 to 0.1), or choices.
"train.learning_rate" = { low = 0.0003, high = 0.003, log = true }
"train.weight_decay" = { low = 0.001, high = 0.1, log = true }
"train.label_smoothing" = { low = 0.0, high = 0.2 }
"train.batch_size" = { choices = [16, 32, 64] }
"train.ema" = { choices = [0.0, 0.99] }
"model.width" = { choices = [0, 16, 32] } # 0: the network's own
"model.depth" = { choices = [0, 2] }
"model.dropout" = { low = 0.0, high = 0.5 }
"augment.rotation" = { low = 0.0, high = 30.0 }
"augment.zoom" = { low = 0.0, high = 0.3 }
"augment.shift" = { low = 0.0, high = 0.15 }
"augment.gamma" = { low = 0.0, high = 0.5 }
"""
# Decide which slices there are and which of them are tested: a search that changed them would compare nothing.
_FIXED = ("seed", "data", "evaluate")


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The values of one setting: from ``low`` to ``high``, or one of ``choices``."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        if self.choices:
            return value in self.choices
        return self.low is not None and self.high is not None and bool(self.low <= value <= self.high)


Space = Mapping[str, Range]


def space_text(file: str | os.PathLike[str] | None = None) -> str:
    """The text of a search space that is in order: of a TOML file, or the usual one.

    Raises:
        ConfigError: for an unreadable file, an unknown setting, or values that a setting cannot have.
    """
    if file is None:
        return DEFAULT
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", hint="tumorlens tune --show-space prints one") from None
    parse_space(text, str(file))
    return text


def load_space(file: str | os.PathLike[str]) -> dict[str, Range]:
    """The search space of a TOML file; see :func:`space_text` for what is raised."""
    return parse_space(space_text(file))


def parse_space(text: str, name: str = "the search space") -> dict[str, Range]:
    """A search space from TOML; see :func:`space_text` for what is raised."""
    try:
        tree = tomllib.loads(text)
        space = msgspec.convert(_flat(tree), dict[str, Range])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{name}: {error}", hint="tumorlens tune --show-space prints a correct one") from None
    if not space:
        raise ConfigError(f"{name} holds no setting", hint="tumorlens tune --show-space prints one to start from")
    for key, values in space.items():
        _check(key, values, name)
    return space


def changed(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """The settings with some of them changed (``section.key`` → value).

    Raises:
        ConfigError: for a value that the setting cannot have.
    """
    tree = to_dict(settings)
    for key, value in values.items():
        section, _, last = key.partition(".")
        tree[section][last] = value
    return from_dict(tree)


def value_of(settings: Settings, key: str) -> Value:
    """A setting by its ``section.key``."""
    section, _, last = key.partition(".")
    value: Value = getattr(getattr(settings, section), last)
    return value


def is_whole(key: str) -> bool:
    """Whether a setting is a whole number. Its type says so: ``low = 0`` may begin a range of any numbers."""
    section, _, last = key.partition(".")
    return get_type_hints(get_type_hints(Settings)[section])[last] is int


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """``[train] learning_rate = {…}`` as ``"train.learning_rate" = {…}``, which is how both may be written."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value and all(isinstance(inner, Mapping) for inner in value.values()):
            flat |= {f"{key}.{inner}": given for inner, given in value.items()}
        else:
            flat[key] = value
    return flat


def _check(key: str, values: Range, name: str) -> None:
    if key not in all_keys() or key.partition(".")[0] in _FIXED:
        reason = "is not a setting" if key not in all_keys() else "cannot be searched: it decides what is tested"
        raise ConfigError(f"{name}: {key} {reason}", hint="tumorlens config lists every setting")
    limits = (values.low, values.high)
    if values.choices and limits == (None, None) and not values.log:
        given = list(values.choices)
    elif not values.choices and None not in limits:
        given = list(limits)  # type: ignore[arg-type]
        if not given[0] < given[1] or (values.log and given[0] <= 0):  # type: ignore[operator]
            raise ConfigError(f"{name}: {key} goes from {given[0]} to {given[1]}", hint="low < high; with log, 0 < low")
    else:
        raise ConfigError(f"{name}: {key} needs either low and high, or choices")
    for value in given:
        changed(Settings(), {key: value})
