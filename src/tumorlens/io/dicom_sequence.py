"""Hints of how an MR image was weighted and whether a contrast agent was given, as far as its header says."""

from __future__ import annotations

import re
from typing import Any

# Words that scanners and people put into descriptions, the more particular first: a FLAIR is also T2-weighted.
_WORDS = (
    ("FLAIR", r"FLAIR|DARK[ _-]?FLUID|TIRM"),
    ("DWI", r"\bDWI|DIFFUSION|\bADC\b|TRACEW|\bDTI\b"),
    ("SWI", r"\bSWI\b|\bSWAN\b|T2[ _-]?\*|T2STAR|VEN[ _-]?BOLD"),
    ("PD", r"\bPDW?\b|PROTON[ _-]?DENS"),
    ("T1", r"T1|MPRAGE|MP[ _-]?RAGE|BRAVO|SPGR|\bVIBE\b"),
    ("T2", r"T2|\bHASTE\b|\bCISS\b|FIESTA"),
)
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "AcquisitionContrast")
# Spin-echo times in ms, as textbooks part the weightings.
_SHORT_ECHO, _LONG_ECHO, _SHORT_REPETITION, _LONG_REPETITION, _FLAIR_INVERSION = 30.0, 60.0, 1000.0, 2000.0, 1700.0
_WITH = re.compile(r"\+ ?(C|GD)\b|\bGD\b|GADO|POST[ _-]?(CONTRAST|GD|KM)|\bKM\b|C\+", re.IGNORECASE)


def weighting(dataset: Any) -> str | None:
    """``T1``, ``T2``, ``FLAIR``, ``PD``, ``DWI``, ``SWI``, or None where nothing says so.

    Descriptions first, then echo, repetition and inversion time of spin echoes (PS3.3 C.8.3.1).
    """
    text = " ".join(_text(dataset, keyword) for keyword in _DESCRIPTIONS).upper()
    for name, words in _WORDS:
        if re.search(words, text):
            return name
    kinds = _text(dataset, "ScanningSequence").upper()
    echo, repetition, inversion = (_number(dataset, f"{name}Time") for name in ("Echo", "Repetition", "Inversion"))
    if "SE" not in kinds or echo is None or repetition is None:
        return None
    if echo >= _LONG_ECHO and repetition >= _LONG_REPETITION:
        return "FLAIR" if "IR" in kinds and (inversion or 0) >= _FLAIR_INVERSION else "T2"
    if echo <= _SHORT_ECHO and repetition <= _SHORT_REPETITION:
        return "T1"
    return "PD" if echo <= _SHORT_ECHO and repetition >= _LONG_REPETITION else None


def contrast(dataset: Any) -> bool | None:
    """Whether a contrast agent was given (PS3.3 C.7.6.4); None where nothing says so."""
    if _text(dataset, "ContrastBolusAgent") or dataset.get("ContrastBolusAgentSequence"):
        return _text(dataset, "ContrastBolusAgent").upper() not in ("NO", "NONE", "NO CONTRAST")
    return True if _WITH.search(" ".join(_text(dataset, keyword) for keyword in _DESCRIPTIONS[:2])) else None


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    if value is None:
        return ""
    several = not isinstance(value, str) and hasattr(value, "__iter__")
    return " ".join(str(one) for one in value) if several else str(value).strip("\x00 ")


def _number(dataset: Any, keyword: str) -> float | None:
    try:
        return float(dataset.get(keyword))
    except (TypeError, ValueError):
        return None
