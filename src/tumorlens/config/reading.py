"""Settings from a TOML file, from ``a.b=c`` overrides and from dictionaries."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from tumorlens.config.sections import Section, Settings
from tumorlens.errors import ConfigError

_LISTED = "tumorlens config lists every setting"
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def load(file: str | Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """The settings of a TOML file (or the defaults) with ``a.b=c`` overrides applied.

    Args:
        file: TOML file with any part of the settings.
        overrides: ``section.key=value``; the value is read as TOML, else as text.

    Raises:
        ConfigError: for an unreadable file, an unknown key or a value of the wrong type or range.
    """
    return from_dict(read_tree(file, overrides))


def read_tree(file: str | Path | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The same as nested dictionaries that hold only what was given, unchecked.

    Raises:
        ConfigError: for an unreadable file or an override that is none.
    """
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            tree = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f"no settings file {file}", hint="tumorlens config > my.toml makes one to start from"
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                f"{file} is not a TOML file: {error}", hint="tumorlens config prints a correct one"
            ) from None
    for override in overrides:
        _set(tree, override)
    return tree


def from_dict(tree: Mapping[str, Any]) -> Settings:
    """Settings from nested dictionaries; see :func:`load` for what is raised."""
    _reject_unknown(tree, Settings, "")
    for key, value in _values(tree):
        # TOML knows inf and nan; no setting has a use for them, and a comparison with nan is never out of range.
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key} is {value}, expected {_expected(key)}", hint=_LISTED)
    try:
        return msgspec.convert(tree, Settings)
    except (msgspec.ValidationError, ValueError) as error:
        raise _refused(tree, str(error)) from None


def as_settings(given: Settings | Mapping[str, Any] | None) -> Settings:
    """What a caller of the Python API passed as settings: ready ones, nested dictionaries, or None for the defaults.

    Raises:
        ConfigError: for anything else, and as :func:`from_dict`.
    """
    if isinstance(given, Settings):
        # Made by hand, they have not been checked: msgspec checks what it reads, not what is constructed.
        return from_dict(msgspec.to_builtins(given))
    if given is None:
        return Settings()
    if isinstance(given, Mapping):
        return from_dict(given)
    raise ConfigError(
        f"settings are a {type(given).__name__}, expected tumorlens.Settings or a dictionary",
        hint='for example settings={"train": {"epochs": 10}}',
    )


def all_keys() -> list[str]:
    """Every setting as ``section.key``."""
    keys = []
    for name, hint in get_type_hints(Settings).items():
        if _is_section(hint):
            keys += [f"{name}.{key}" for key in get_type_hints(hint)]
        else:
            keys.append(name)
    return keys


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"found {override!r}, expected section.key=value", hint="for example --set train.epochs=20")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    for part in path:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key} is not a setting", hint=_LISTED)
    tree[last] = value


def _reject_unknown(tree: Mapping[str, Any], struct: type[msgspec.Struct], prefix: str) -> None:
    hints = get_type_hints(struct)
    for key, value in tree.items():
        if key not in hints:
            raise _unknown(prefix, str(key), section=isinstance(value, Mapping))
        if _is_section(hints[key]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix + key} is a section, not a value", hint=f"write {prefix + key}.KEY=VALUE")
            _reject_unknown(value, hints[key], f"{prefix}{key}.")


def _unknown(prefix: str, key: str, *, section: bool) -> ConfigError:
    if section and not prefix:
        sections = [name for name, hint in get_type_hints(Settings).items() if _is_section(hint)]
        close = difflib.get_close_matches(key, sections, n=1, cutoff=0.5)
        hint = f"did you mean the section [{close[0]}]?" if close else f"the sections are {', '.join(sections)}"
        return ConfigError(f"unknown section [{key}]", hint=hint)
    every = all_keys()
    close = difflib.get_close_matches(prefix + key, every, n=1, cutoff=0.5)
    close = close or [known for known in every if known.endswith("." + key)]
    return ConfigError(f"unknown setting {prefix + key}", hint=f"did you mean {close[0]}?" if close else _LISTED)


def _refused(tree: Mapping[str, Any], reason: str) -> ConfigError:
    """Msgspec's refusal with the value that was found and everything that would do."""
    hint = _fractions_hint(tree) if "data.fractions" in reason else _LISTED
    at = re.search(r"at `\$\.([\w.]+)", reason)
    if not at:  # a check of ours over several values says itself what is wrong
        return ConfigError(reason, hint=hint)
    value = next((value for name, value in _values(tree) if name == at[1]), None)
    return ConfigError(f"{at[1]} is {value!r}, expected {_expected(at[1])}", hint=hint)


def _fractions_hint(tree: Mapping[str, Any]) -> str:
    """How to write what was probably meant: ``70,15,15`` is three percentages."""
    found = [float(part) for part in re.findall(r"\d+(?:\.\d+)?", str(tree["data"]["fractions"]))]
    total = sum(found)
    shares = [round(part / total, 4) for part in found] if len(found) == 3 and total in (1, 100) else [0.7, 0.15, 0.15]
    return "write data.fractions=" + str(shares).replace(" ", "")


def _expected(key: str) -> str:
    """What a setting may be, in words: its type, its range, its choices."""
    hint: Any = Settings
    for part in key.split("."):
        hint = get_type_hints(hint, include_extras=True)[part]
    kind, *metas = get_args(hint)
    choices = [repr(value).strip("'") for value in get_args(kind) if isinstance(value, str)]
    if choices:
        return "one of " + ", ".join(choices)
    if get_origin(kind) is tuple:
        return f"a list of {len(get_args(kind))} numbers"
    found = [meta for meta in metas if isinstance(meta, Meta)]
    if pattern := next((meta for meta in found if meta.pattern), None):
        return str(pattern.description)
    bounds = [
        f"{sign} {getattr(meta, name):g}"
        for meta in found
        for name, sign in _BOUNDS.items()
        if getattr(meta, name) is not None
    ]
    return " ".join([_KINDS.get(kind, "a value"), " and ".join(bounds)]).strip()


def _values(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its ``section.key``; the members of a list each, besides the list."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _values(value, f"{prefix}{key}.")
            continue
        yield prefix + key, value
        if isinstance(value, (list, tuple)):
            yield from ((prefix + key, member) for member in value)


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Section)
