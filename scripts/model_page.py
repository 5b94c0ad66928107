"""Writes docs/concepts/shipped-model.md from the shipped bundle: ``python scripts/model_page.py``, or ``make docs``."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "src" / "tumorlens" / "shipped" / "default" / "MODEL_CARD.md"
PAGE = ROOT / "docs" / "concepts" / "shipped-model.md"
HEAD = """# The model that ships

`tumorlens predict`, and `tumorlens.load()` without a name, answer with this model. It is one bundle in the package,
made by `make model` from [public data](../../recipes/default-data.toml) with [one recipe](../../recipes/default.toml);
`tumorlens verify default` recomputes scores, intervals, calibration, sets and thresholds from the out-of-fold answers
in the bundle. What is made from anything else does not follow from a bundle alone, and a line says so: where the maps
point and what painting over does (“Is it looking at the tumour?”), what the border of the data tells (“Limits”), how
many folds and seeds were trained. What follows is its card, as it stands in the bundle.

"""


def page() -> str:
    """The page: the card under one more level of headings, without its settings."""
    card = CARD.read_text(encoding="utf-8")
    card = re.sub(r"\n\nAll settings:\n\n(`{3,})toml\n.*?\n\1", "", card, flags=re.DOTALL)
    return HEAD + re.sub(r"^#", "##", card, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
