"""The model card and the words of the report, made again from the scores."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tumorlens import __version__, config
from tumorlens.bundle import Bundle
from tumorlens.config import Settings
from tumorlens.errors import ConfigError, MissingExtraError, ModelError
from tumorlens.pipeline.public import public_settings
from tumorlens.pipeline.verifying import earlier
from tumorlens.pipeline.verifying.checks import Check
from tumorlens.report.card import model_card
from tumorlens.report.wording import Shown, shown

_OTHER_WORDS = f"{earlier.NOTE}, whose words were others"


def settings_of(loaded: Bundle) -> Settings:
    """The settings that a bundle's model card ends its recipe with.

    Raises:
        ModelError: when it holds none, or was changed.
    """
    return config.from_dict(tomllib.loads(_settings_text(loaded)))


def _settings_text(loaded: Bundle) -> str:
    card = loaded.read("MODEL_CARD.md").decode()
    found = re.search(r"^(`{3,})toml\n(.*?)\n\1$", card, re.MULTILINE | re.DOTALL)
    if not found:
        raise ModelError("MODEL_CARD.md holds no settings", hint="export the bundle again")
    return found.group(2)


def card_again(public: Mapping[str, Any], settings: Settings, loaded: Bundle) -> Check:
    """Whether a model card says what the scores and settings say.

    Args:
        public: ``metrics.json`` of the bundle.
        settings: of the run.
        loaded: the bundle.
    """
    name = "model card, from metrics.json"
    card = loaded.read("MODEL_CARD.md").decode()
    wanted = public_settings(settings)
    whole = config.to_toml(wanted)
    try:
        own, same = _settings_text(loaded), settings_of(loaded) == wanted
    except (ConfigError, ModelError) as error:
        return Check(name, False, error.message)
    # An earlier version did not know of all settings, and left lines out; it did not write other ones.
    lines = iter(whole.splitlines())
    fewer = same and all(line in lines for line in own.splitlines())
    made = model_card(public, own if fewer else whole).splitlines()
    check = _same(name, card.splitlines(), made, "lines")
    if not check.ok and earlier.made_before(public.get("test")):
        return Check(check.name, None, f"{_OTHER_WORDS}; {check.detail}")
    return check


def report_again(folder: Path, metrics: Mapping[str, Any], again: Callable[[Path, Shown], Shown]) -> Check:
    """Whether the words of ``report.html`` are those that the scores give; its pictures and charts are not compared.

    Args:
        folder: of a run or a cross-validation.
        metrics: its scores.
        again: makes the page's words anew.
    """
    name, path = "report, from metrics.json", folder / "report.html"
    if not path.is_file():
        return Check(name, None, "there is no report.html")
    version = (metrics.get("versions") or {}).get("tumorlens")
    scores = metrics.get("test") or next(iter(metrics.get("seeds") or ()), None)
    if version != __version__ or earlier.made_before(scores):
        return Check(name, None, _OTHER_WORDS)
    before = shown(path.read_text(encoding="utf-8"))
    try:
        after = again(folder, before)
    except (MissingExtraError, PackageNotFoundError):
        return Check(name, None, "making it again needs the extra report")
    return _same(name, before.words, after.words, "pieces of text")


def _same(name: str, kept: Sequence[str], made: Sequence[str], what: str) -> Check:
    for one, other in zip_longest(kept, made):
        if one != other:
            return Check(name, False, f"it differs, first at: {str(one if one is not None else other)[:120]}")
    return Check(name, True, f"{len(kept)} {what}")
