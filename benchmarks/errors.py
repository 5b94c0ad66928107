"""Which slices and patients a cross-validation gets wrong: tables, and pictures to look at.

Command: ``python benchmarks/errors.py CROSSVAL INDEX OUT``. CROSSVAL is a folder of ``tumorlens crossval``, of which
the answers of the first seed are read (``seed-*/folds/predictions.csv``), INDEX the data set's ``index.csv``. OUT gets
``patients.csv`` (patients with errors: class, planes, slices, wrong ones, what they were taken for) and ``worst.png``:
of the patients with most errors the surest wrong slice each, as the network saw it, with the outline of the tumour. The
pictures show patients; they belong in no repository.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np

from tumorlens import io
from tumorlens.preprocess import Recipe, standardise, standardise_mask

_SIZE, _ACROSS, _SHOWN = 200, 8, 40


def table(title: str, rows: list[dict[str, str]], key: str) -> None:
    """Accuracy by one column, and by that and the class."""
    print(f"\n{title:12} slices  right %   by class")
    labels = sorted({row["label"] for row in rows})
    for name in sorted({row[key] for row in rows}):
        some = [row for row in rows if row[key] == name]
        parts = []
        for label in labels:
            own = [row for row in some if row["label"] == label]
            right = sum(row["predicted"] == label for row in own)
            parts.append(f"{label} {right}/{len(own)} ({100 * right / max(1, len(own)):.1f})")
        right = sum(row["predicted"] == row["label"] for row in some)
        print(f"{name:12} {len(some):6}  {100 * right / len(some):7.1f}   {', '.join(parts)}")


def main() -> None:
    """Tables, and what to look at."""
    parser = argparse.ArgumentParser()
    parser.add_argument("crossval", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with first_seed(options.crossval).open(newline="") as file:
        rows = list(csv.DictReader(file))
    with options.index.open(newline="") as file:
        files = {row["id"]: row for row in csv.DictReader(file)}
    for row in rows:
        size = float(row.get("tumour") or 0)
        row["size"] = "below 1 %" if size < 0.01 else "1 to 3 %" if size < 0.03 else "above 3 %"
    wrong = [row for row in rows if row["predicted"] != row["label"]]
    print(f"{len(rows)} slices, {100 * (1 - len(wrong) / len(rows)):.1f} % right")
    table("plane", rows, "plane")
    table("tumour", rows, "size")
    print("\ntaken for:", dict(Counter(f"{row['label']} → {row['predicted']}" for row in wrong).most_common()))
    by_patient = defaultdict(list)
    for row in rows:
        by_patient[row["patient"]].append(row)
    spread = sorted(
        ((sum(r["predicted"] != r["label"] for r in own), len(own), patient) for patient, own in by_patient.items()),
        reverse=True,
    )
    total, half = 0, 0
    for count, _, _ in spread:
        if total >= len(wrong) / 2:
            break
        total, half = total + count, half + 1
    without = sum(1 for count, _, _ in spread if not count)
    print(f"{half} of {len(spread)} patients have half of the errors, {without} have none")
    with (options.out / "patients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "label", "slices", "wrong", "planes of the wrong", "taken for"])
        for count, slices, patient in spread:
            if count:
                own = [row for row in by_patient[patient] if row["predicted"] != row["label"]]
                planes, taken = Counter(row["plane"] for row in own), Counter(row["predicted"] for row in own)
                writer.writerow([patient, own[0]["label"], slices, count, dict(planes), dict(taken)])
    tiles = [
        tile(sure(by_patient[patient]), files, options.index.parent) for count, _, patient in spread[:_SHOWN] if count
    ]
    while len(tiles) % _ACROSS:
        tiles.append(np.zeros_like(tiles[0]))
    lines = [np.hstack(tiles[start : start + _ACROSS]) for start in range(0, len(tiles), _ACROSS)]
    cv2.imwrite(str(options.out / "worst.png"), np.vstack(lines))


def first_seed(crossval: Path) -> Path:
    """The out-of-fold answers of the lowest seed that has ended."""
    found = crossval.glob("seed-*/folds/predictions.csv")
    return min(found, key=lambda path: int(path.parts[-3].removeprefix("seed-")))


def sure(own: list[dict[str, str]]) -> dict[str, str]:
    """The wrong slice of a patient with the highest probability for what it is not."""
    return max(
        (row for row in own if row["predicted"] != row["label"]), key=lambda row: float(row[f"p_{row['predicted']}"])
    )


def tile(row: dict[str, str], files: dict[str, dict[str, str]], folder: Path) -> np.ndarray:
    """A slice with the outline of its tumour and what it was taken for."""
    about, recipe = files[row["id"]], Recipe(size=_SIZE)
    pixels = io.read(str(folder / about["image"]))[0].pixels
    picture = cv2.cvtColor(standardise(pixels, recipe), cv2.COLOR_GRAY2BGR)
    if about.get("mask"):
        mask = standardise_mask(pixels, io.read_mask(str(folder / about["mask"])), recipe, _SIZE)
        outlines, _ = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, outlines, -1, (0, 200, 255), 1)
    sure = float(row[f"p_{row['predicted']}"])
    text = f"{row['id']} {row['label'][:4]} > {row['predicted'][:4]} {100 * sure:.0f}"
    cv2.putText(picture, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (80, 255, 80), 1, cv2.LINE_AA)
    return picture


if __name__ == "__main__":
    main()
