"""Settings as dictionaries and as TOML."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from tumorlens.config.sections import Section, Settings


def to_dict(settings: Settings) -> dict[str, Any]:
    """Settings as plain nested dictionaries."""
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    return tree


def to_toml(settings: Settings, *, comments: bool = True) -> str:
    """The complete settings as TOML, each with its description as a comment."""
    lines: list[str] = []
    _write_section(settings, lines, comments)
    for name in settings.__struct_fields__:
        section = getattr(settings, name)
        if isinstance(section, Section):
            lines += ["", f"[{name}]"]
            if comments and section.__doc__:
                lines[-1] += f"  # {section.__doc__}"
            _write_section(section, lines, comments)
    return "\n".join(lines) + "\n"


def _write_section(section: Section, lines: list[str], comments: bool) -> None:
    hints = get_type_hints(type(section), include_extras=True)
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, Section):
            continue
        if comments:
            lines.append(f"# {_description(hints[name])}")
        lines.append(f"{name} = {_toml(value)}")


def _description(hint: Any) -> str:
    text = next((m.description for m in get_args(hint) if isinstance(m, Meta) and m.description), "")
    choices = [value for arg in get_args(hint) for value in get_args(arg) if isinstance(value, str)]
    return f"{text} ({' | '.join(choices)})" if choices else text


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return msgspec.json.encode(value).decode()
