"""Makes the gate: ``python scripts/gate DATA``; measures it: ``python scripts/gate DATA --measure``.

DATA is the folder that ``recipes/default-data.toml`` speaks of, with ``not_brain_mri`` in it. Measured is on kinds of
foreign picture and on groups of MR slices that it has not learned from: half of the kinds are left out at a time, and
with them single heads unlike all others. The threshold refuses one in a hundred slices of the source it likes least, by
networks that have not learned from their groups.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
from learning import learned
from pictures import Pictures, gathered
from sklearn.metrics import roc_auc_score

from tumorlens.bundle.info import GATE
from tumorlens.inference import gate
from tumorlens.preprocess import to_input
from tumorlens.training.export import to_onnx

PLACE = Path(gate.__file__).parent
HALVES = (
    ("HeadCT", "web_ct", "photos", "CXR", "chest_xray"),
    ("AbdomenCT", "ChestCT", "BreastMRI", "Hand", "dicom_not_brain_mr"),
)
SINGLE = (("MR_Gd", "t1w_head"), ("spm152.nii.gz",))  # one head each: left out as a whole with each half
DRAWN = ("phantom", "drawn_mr", "drawn_ct", "nonsense")
REFUSED = 0.01
FOLDS = 2  # of the networks that the threshold comes from
FEWEST = 100  # slices of a source; of fewer, a percentile is one slice


def main() -> None:
    """Learn, write; or measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a file for the gathered pictures, read where it is there")
    options = parser.parse_args()
    pictures = _gathered(options.data, options.keep)
    if options.measure:
        measure(pictures, options.steps, options.seed)
    else:
        make(pictures, options.steps, options.seed)


def _gathered(data: Path, keep: Path | None) -> Pictures:
    if keep and keep.exists():
        with np.load(keep) as stored:
            return Pictures(**{name: stored[name] for name in Pictures.__dataclass_fields__})
    pictures = gathered(data)
    if keep:
        np.savez(keep, **{name: getattr(pictures, name) for name in Pictures.__dataclass_fields__})
    return pictures


def folds(pictures: Pictures, count: int, seed: int) -> np.ndarray:
    """A fold for each picture, int (N,); groups stay together, also across kinds, each kind is spread."""
    rng, found = np.random.default_rng(seed), np.zeros(len(pictures.kinds), int)
    of: dict[str, int] = {}
    for kind in sorted(set(pictures.kinds)):
        rows = np.flatnonzero(pictures.kinds == kind)
        groups = sorted(set(pictures.groups[rows]))
        if len(groups) < count:  # slices of one head: each for itself
            found[rows] = rng.permutation(len(rows)) % count
            continue
        new = [group for group in rng.permutation(groups) if group not in of]
        of |= dict(zip(new, (np.arange(len(new)) % count).tolist(), strict=True))
        found[rows] = [of[group] for group in pictures.groups[rows]]
    return found


def asked(model: object, pictures: Pictures) -> np.ndarray:
    """Logits of the pictures in the standard recipe."""
    return np.asarray(model.predict(to_input(pictures.images[:, 0]), verbose=0)["logits"])[:, 0]  # type: ignore[attr-defined]


def threshold(logits: np.ndarray, kinds: np.ndarray, large: set[str]) -> float:
    """The logit that refuses one in a hundred slices of the large source that is refused most."""
    own = {kind: logits[kinds == kind] for kind in sorted(large & set(kinds))}
    return max(float(np.quantile(found, 1 - REFUSED, method="higher")) for found in own.values())


def large(pictures: Pictures) -> set[str]:
    """Sources of brain MR with enough slices for a threshold, however few of them a part holds."""
    kinds = pictures.kinds[pictures.brain_mr & ~np.isin(pictures.kinds, DRAWN)]
    return {str(kind) for kind in set(kinds) if (kinds == kind).sum() >= FEWEST}


def measure(pictures: Pictures, steps: int, seed: int) -> None:
    """The table of experiments.md."""
    fold = folds(pictures, 4, seed)
    logits = np.full(len(fold), np.nan)
    limits, halves = np.full(len(fold), np.nan), np.full(len(fold), -1)
    real = ~np.isin(pictures.kinds, DRAWN)
    for half, kinds in enumerate(HALVES):
        left_out = np.isin(pictures.kinds, kinds)
        # Brain MR: two folds to learn from, one for the threshold, one that is asked; the next half swaps them.
        test, calibration = (0, 1) if half == 0 else (2, 3)
        for at, threshold_from in ((test, calibration), (calibration, test)):
            single = np.isin(pictures.kinds, SINGLE[half])
            of_mr = pictures.brain_mr & real & ~np.isin(pictures.kinds, (*SINGLE[0], *SINGLE[1]))
            learn = ~left_out & ~single & ~(of_mr & np.isin(fold, (test, calibration)))
            if at == test:
                model = learned(pictures.take(learn), steps, seed)
            own = of_mr & (fold == threshold_from)
            limit = threshold(asked(model, pictures.take(own)), pictures.kinds[own], large(pictures))
            rows = (of_mr & (fold == at)) | ((left_out | single) if at == test else False)
            halves[rows] = half
            logits[rows], limits[rows] = asked(model, pictures.take(rows)), limit
            print(f"half {half}: threshold {limit:.2f} from fold {threshold_from}", flush=True)
    done = np.isfinite(logits)
    brain = done & pictures.brain_mr
    refused = logits > limits
    print("kind                     n     refused %   AUROC against all brain MR")
    for kind in sorted(set(pictures.kinds[brain])):
        rows = brain & (pictures.kinds == kind)
        print(f"{kind:22} {rows.sum():5}   {100 * refused[rows].mean():8.2f}")
    areas = []
    for half, kinds in enumerate(HALVES):
        mine = brain & (halves == half)
        for kind in (*kinds, ",".join(kinds)):
            rows = done & np.isin(pictures.kinds, kind.split(","))
            both = rows | mine
            area = roc_auc_score(~pictures.brain_mr[both], logits[both])
            areas += [area] * ("," in kind)
            print(f"{kind:22.22} {rows.sum():5}   {100 * refused[rows].mean():8.2f}    {area:.4f}")
    print(f"overall (mean of the halves)                  {np.mean(areas):.4f}")
    for worst in np.flatnonzero(brain)[np.argsort(-(logits - limits)[brain])][:60]:
        print("  ", pictures.kinds[worst], pictures.names[worst], round(logits[worst] - limits[worst], 2))
    for kind in ("HeadCT",):
        rows = np.flatnonzero(pictures.kinds == kind)
        print([(str(pictures.names[row]).rsplit("/", 1)[-1], round(logits[row] - limits[row], 1)) for row in rows])


def make(pictures: Pictures, steps: int, seed: int) -> None:
    """Write gate.onnx and gate.json into the package."""
    fold = folds(pictures, FOLDS, seed)
    logits = np.zeros(len(fold))
    for number in range(FOLDS):
        model = learned(pictures.take(fold != number), steps, seed)
        rows = fold == number
        logits[rows] = asked(model, pictures.take(rows))
    brain = pictures.brain_mr
    limit = threshold(logits[brain], pictures.kinds[brain], large(pictures))
    model = learned(pictures, steps, seed)
    content, _ = to_onnx(model, pictures.images[:256, 0])
    (PLACE / GATE).write_bytes(content)
    rates = {
        str(kind): round(float((logits[pictures.kinds == kind] > limit).mean()), 4)
        for kind in sorted(set(pictures.kinds))
    }
    facts = {
        "threshold": math.ceil(1e4 * limit) / 1e4,
        "note": "at most 1 % of the slices of each MR source of 100 or more that it was made from are refused",
        "refused": rates,
        "n": {str(kind): int((pictures.kinds == kind).sum()) for kind in sorted(set(pictures.kinds))},
        "parameters": int(model.count_params()),
        "steps": steps,
        "seed": seed,
    }
    (PLACE / "gate.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2), f"\n{len(content)} bytes")


if __name__ == "__main__":
    main()
