"""How many foreign pictures the audit finds among brain slices, and how many brain slices it calls foreign.

Usage: PYTHONPATH=src python benchmarks/audit_foreign.py DATA [--sheets DIR]

DATA is the folder that holds `figshare`, `br35h_no`, `mixed_web` and `not_brain_mri`. Each of the first three is judged
as it is; then 100 of the foreign pictures, and each kind of them alone, are planted into `figshare` and `mixed_web`.
`--sheets` writes what was flagged as contact sheets.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tumorlens import io
from tumorlens.audit.facts import Facts, facts
from tumorlens.audit.foreign import Foreign, foreign
from tumorlens.audit.look import look
from tumorlens.data.manifest import Row

SETS = {"figshare": "figshare/images", "br35h_no": "br35h_no", "mixed_web": "mixed_web"}


@dataclass
class Pictures:
    """A set as the audit sees it."""

    paths: list[str]
    looks: np.ndarray
    facts: list[Facts]

    def plus(self, other: Pictures, rows: np.ndarray) -> Pictures:
        """The set with some rows of another behind it."""
        return Pictures(
            self.paths + [other.paths[i] for i in rows],
            np.concatenate([self.looks, other.looks[rows]]),
            self.facts + [other.facts[i] for i in rows],
        )

    def judged(self) -> list[Foreign]:
        """What is foreign in it."""
        return foreign(self.looks, self.facts, [Row(path) for path in self.paths])


def read(folder: Path) -> Pictures:
    """Every picture below a folder."""
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    looks, known, seconds = [], [], [0.0, 0.0]
    for path in paths:
        pixels = io.read_slice(path).pixels
        start = time.process_time()
        looks.append(look(pixels))
        middle = time.process_time()
        known.append(facts(path))
        seconds[0] += middle - start
        seconds[1] += time.process_time() - middle
    each = [1000 * value / len(paths) for value in seconds]
    print(
        f"{folder.name}: {len(paths)} pictures, look {each[0]:.1f} ms and facts {each[1]:.2f} ms each (CPU)", flush=True
    )
    return Pictures(paths, np.array(looks), known)


def sheet(pictures: Pictures, found: list[Foreign], file: Path, side: int = 128, columns: int = 10) -> None:
    """What was flagged, with its kind and score."""
    found = found[:200]
    canvas = np.zeros((-(-len(found) // columns) * (side + 14), columns * side, 3), np.uint8)
    for place, item in enumerate(found):
        top, left = place // columns * (side + 14), place % columns * side
        picture = np.asarray(cv2.resize(pictures.looks["picture"][item.row], (side, side)))
        canvas[top : top + side, left : left + side] = picture[..., None]
        words = f"{item.kind} {item.score:.2f}"
        cv2.putText(canvas, words, (left + 2, top + side + 11), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 255, 255), 1)
    if found:
        cv2.imwrite(str(file), canvas)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sheets", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets = {name: read(options.data / folder) for name, folder in SETS.items()}
    strange = read(options.data / "not_brain_mri")
    for name, pictures in sets.items():
        start = time.process_time()
        found = pictures.judged()
        kinds = dict(Counter(item.kind for item in found))
        words = f"{len(found)} of {len(pictures.paths)} flagged ({len(found) / len(pictures.paths):.2%})"
        print(f"{name}: {words} {kinds}, {time.process_time() - start:.1f} s")
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            sheet(pictures, found, options.sheets / f"{name}.png")
    kinds_of = np.array([Path(path).parent.name for path in strange.paths])
    planted = {"100 of all kinds": np.random.default_rng(0).choice(len(kinds_of), 100, replace=False)}
    planted |= {kind: np.flatnonzero(kinds_of == kind) for kind in np.unique(kinds_of).tolist()}
    for base in ("figshare", "mixed_web"):
        for name, rows in planted.items():
            # At most a thirtieth of the set, as a few strays would be.
            rows = rows[: len(sets[base].paths) // 30]
            count = len(sets[base].paths)
            flagged = {item.row: item.kind for item in sets[base].plus(strange, rows).judged()}
            hits = Counter(kind for row, kind in flagged.items() if row >= count)
            false = sum(row < count for row in flagged)
            print(
                f"{base} + {len(rows)} {name}: {hits.total()} found ({hits.total() / len(rows):.0%}) {dict(hits)}, "
                f"{false} false ({false / count:.2%})",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
