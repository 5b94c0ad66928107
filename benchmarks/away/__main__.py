"""Trainings, fitted on another machine that has a GPU but neither the data nor TensorFlow.

1. Here, with the data: ``python benchmarks/away pack PACK RUN… [--coding webp:95]``. Each RUN is a folder that
   ``tumorlens crossval`` or ``tumorlens train`` began and that was stopped. PACK receives the standardised slices
   (coded, to be small), masks, splits and settings of all trainings that are left.
2. There, with Keras, JAX or PyTorch, NumPy, OpenCV and msgspec: ``KERAS_BACKEND=jax python benchmarks/away fit PACK
   KEPT [--workers 6] [--seconds 600]``. The same loop, batches and augmentation as at home; the networks are not
   validated between epochs. Each training that ends is written into KEPT at once; the same command goes on with those
   that are left. ``python benchmarks/away collect KEPT OUT``, while it runs or after, gathers what has ended since the
   last time.
3. Here: ``python benchmarks/away finish OUT RUN…``: each run goes on as if it had been fitted here: export, scores by
   the deployed bytes on the uncoded slices, calibration, report.

On an H100 six workers give 5,000 to 8,000 images/s at 192 pixels, after some 80 s of compiling.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))


def main() -> int:
    """Pack, fit, collect or finish."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("target", type=Path)
    packing.add_argument("runs", type=Path, nargs="+")
    packing.add_argument("--coding", default="webp:95")
    fitting = commands.add_parser("fit")
    fitting.add_argument("pack", type=Path)
    fitting.add_argument("kept", type=Path)
    fitting.add_argument("--workers", type=int, default=6)
    fitting.add_argument("--seconds", type=float, default=600)
    collecting = commands.add_parser("collect")
    collecting.add_argument("kept", type=Path)
    collecting.add_argument("out", type=Path)
    finishing = commands.add_parser("finish")
    finishing.add_argument("out", type=Path)
    finishing.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    # Each part needs what the machines of the others lack.
    if options.command == "pack":
        from packing import pack

        pack(options.target, options.runs, options.coding)
    elif options.command == "fit":
        from fitting import fit

        return fit(options.pack, options.kept, options.workers, options.seconds)
    elif options.command == "collect":
        from fitting import collect

        collect(options.kept, options.out)
    else:
        from finishing import finish

        finish(options.out, options.runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
