"""How many different pictures a set holds, by which kinds of copies are joined, with contact sheets to judge by eye.

Commands: ``tumorlens audit DATA --out OUT``, then ``python benchmarks/audit_distinct.py DATA OUT/audit.json SHEETS``.
Every pair inside a cluster of the audit is measured once more: same pixels; same grey values after turning (but for
JPEG); a straight line from one's grey values to the other's; anything else (sharpened, other contrast curve, zoomed).
Clusters are then counted as if only the first kinds were joined. SHEETS gets the copies that agree least with the first
of their cluster, the pairs that were almost joined, and every cluster.
Cost on 2 cores: about two minutes for 1500 pictures. Do not publish sheets of images that you may not publish.
"""

from __future__ import annotations

import argparse
import json
from itertools import chain, combinations
from pathlib import Path

import cv2
import numpy as np

from tumorlens import io
from tumorlens.audit import orientation, verify
from tumorlens.audit.clusters import Union
from tumorlens.audit.look import Looks, same_pixels, to_grey
from tumorlens.audit.search import candidates
from tumorlens.pipeline.auditing import looked
from tumorlens.pipeline.dataset import labelled, read
from tumorlens.pipeline.reporter import Reporter

KINDS = ("same pixels", "same grey values, turned", "brightness and contrast", "anything else")
SIDE = 192
_CLOSE = 3.0  # grey levels of mean difference that JPEG may make


def kind(first: np.ndarray, second: np.ndarray) -> int:
    """Index into :data:`KINDS` of two pictures uint8 (SIDE, SIDE), the first turned already; 1 to 3."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    if np.abs(a - b).mean() <= _CLOSE:
        return 1
    inside = (a > 8) & (a < 247) & (b > 8) & (b < 247)  # what no clipping has touched
    if inside.sum() < 500:
        return 3
    x, y = a[inside], b[inside]
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / max(float(x.var()), 1e-6))
    offset = float(y.mean()) - slope * float(x.mean())
    mapped = np.clip(a * slope + offset, 0, 255)
    return 2 if slope > 0 and np.abs(mapped - b)[inside].mean() <= _CLOSE else 3


def agreement(looks: Looks, i: int, j: int, turn: int) -> float:
    """The worse windows of two pictures, through the better of their first two boxes."""
    return max(verify.compare(looks[i], box, looks[j], box, turn).worst for box in (0, 1))


def sheet(path: Path, rows: list[list[tuple[np.ndarray, str]]], side: int = SIDE) -> None:
    """Pictures with a line below each, rows below one another."""
    wide = max(len(row) for row in rows)
    page = np.full((len(rows) * (side + 18), wide * (side + 4)), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, (picture, text) in enumerate(row):
            top, left = r * (side + 18), c * (side + 4)
            page[top : top + side, left : left + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
            cv2.putText(page, text, (left, top + side + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.36, 0, 1, cv2.LINE_AA)
    cv2.imwrite(str(path), page)


def main() -> None:
    """Measure, count, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("audit", type=Path)
    parser.add_argument("sheets", type=Path)
    options = parser.parse_args()
    options.sheets.mkdir(parents=True, exist_ok=True)
    data = looked(labelled(read(options.data)), Reporter())
    manifest, records = data.manifest, data.images
    number = {row.id: i for i, row in enumerate(manifest)}
    clusters: list[list[int]] = []
    turn_of = dict.fromkeys(range(len(manifest)), orientation.IDENTITY)
    for members in json.loads(options.audit.read_text())["clusters"]:
        clusters.append([number[item["id"]] for item in members])
        turn_of |= {number[item["id"]]: orientation.NAMES.index(item["transform"]) for item in members}
    same = same_pixels(records)
    full: list[np.ndarray] = []
    for row in manifest:
        grey = to_grey(io.read_slice(row.path, row.frame).pixels)
        full.append(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    upright = [orientation.turn(picture, turn_of[i]) for i, picture in enumerate(full)]

    def pair(i: int, j: int, turn: int, text: str) -> list[tuple[np.ndarray, str]]:
        names = [Path(manifest.rows[k].id).stem[-12:] for k in (i, j)]
        return [(orientation.turn(full[i], turn), f"{names[0]} {text}"), (full[j], names[1])]

    unions = [Union(len(manifest)) for _ in KINDS]
    count, inside = [0] * len(KINDS), []
    for members in clusters:
        for i, j in combinations(members, 2):
            what = 0 if same[i] == same[j] else kind(upright[i], upright[j])
            count[what] += 1
            for union in unions[what:]:
                union.join(i, j, 0, 1.0)
        first = members[0]
        inside += [
            (agreement(records, i, first, turn_of[i]), i, first, turn_of[i])
            for i in members[1:]
            if same[i] != same[first]
        ]
    print(f"{len(manifest)} pictures; pairs inside clusters by kind, and pictures left when kinds up to it are joined:")
    for name, pairs, union in zip(KINDS, count, unions, strict=True):
        print(f"  {name:28} {pairs:6} pairs  {len({union.root(i) for i in range(len(manifest))}):5} pictures")
    inside.sort()
    worst = np.array([item[0] for item in inside])
    print("direct agreement with the first of the cluster, quantiles 0, 1, 5, 25, 50 %:", end=" ")
    print(np.round(np.quantile(worst, (0, 0.01, 0.05, 0.25, 0.5)), 3) if len(worst) else "none")
    print(f"below {verify.SAME}, joined through others only: {(worst < verify.SAME).sum()}")
    _pairs_sheet(options.sheets / "weakest.png", [pair(i, j, t, f"{w:.3f}") for w, i, j, t in inside[:48]])

    alone = sorted(set(range(len(manifest))) - {i for members in clusters for i in members})
    roots = np.array(sorted([members[0] for members in clusters] + alone), np.int64)
    near = candidates(records, least=0.8, most=6, among=roots)
    rejected: dict[tuple[int, int], tuple[float, int]] = {}
    for i, j, turn in zip(near.first.tolist(), near.second.tolist(), near.orientation.tolist(), strict=True):
        if i > j:
            i, j, turn = j, i, orientation.inverse(turn)
        rejected[i, j] = max(rejected.get((i, j), (-1.0, 0)), (agreement(records, i, j, turn), turn))
    order = sorted(rejected.items(), key=lambda item: -item[1][0])
    print("almost joined:", ", ".join(f"{worst:.3f}" for _, (worst, _) in order[:20]))
    _pairs_sheet(options.sheets / "almost.png", [pair(i, j, t, f"{w:.3f}") for (i, j), (w, t) in order[:48]])

    shown = [*sorted(clusters, key=lambda members: -len(members)), *([i] for i in alone)]
    for page, start in enumerate(range(0, len(shown), 14)):
        rows = [
            [
                (upright[i], f"{Path(manifest.rows[i].id).stem[-12:]}")
                # The first, and others from all over the cluster.
                for i in [members[0], *members[1 :: max(1, len(members) // 11)]][:12]
            ]
            for members in shown[start : start + 14]
        ]
        sheet(options.sheets / f"clusters-{page:02}.png", rows, side=120)


def _pairs_sheet(path: Path, pairs: list[list[tuple[np.ndarray, str]]]) -> None:
    if pairs:
        sheet(path, [list(chain.from_iterable(pairs[start : start + 4])) for start in range(0, len(pairs), 4)])


if __name__ == "__main__":
    main()
