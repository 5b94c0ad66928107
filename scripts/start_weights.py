"""Turns a run on the phantom into the weights that training can start from: ``python scripts/start_weights.py RUN``.

``make start`` trains the run first. Kept in float16, which costs no accuracy here and half the room.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tumorlens.models.keras_setup import import_keras

OUT = Path(__file__).resolve().parents[1] / "src" / "tumorlens" / "models" / "phantom.npz"
HEAD = "logits/"


def main() -> None:
    """Write the file into the package."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    model = import_keras().models.load_model(run / "checkpoints" / "model.keras", compile=False, safe_mode=True)
    arrays = {v.path: np.asarray(v) for v in model.weights if not v.path.startswith(HEAD)}
    largest = max(float(np.abs(values).max()) for values in arrays.values())
    if largest > np.finfo(np.float16).max:
        raise SystemExit(f"a weight of {largest} does not fit into float16")
    np.savez_compressed(OUT, **{name: values.astype(np.float16) for name, values in arrays.items()})
    print(f"{OUT}: {len(arrays)} variables, {OUT.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
