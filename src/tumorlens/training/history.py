"""``history.csv``: one line per epoch."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tumorlens.io.atomic import write_text


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write the epochs so far, atomically; nothing when there are none yet."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
