"""``tumorlens info``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import MODEL, print_json


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("model", metavar="MODEL", help=MODEL)
    command.add_argument("--json", action="store_true", help="print bundle.json")


def run(arguments: argparse.Namespace) -> int:
    """Describe a model."""
    import msgspec

    from tumorlens import bundle

    loaded = bundle.load(arguments.model)
    info = loaded.info
    if arguments.json:
        print_json({**msgspec.to_builtins(info), "sha256": loaded.sha256})
        return 0
    recipe, training = info.recipe, info.training
    sources = ", ".join(info.data.get("sources", ["not stated"]))
    size = f"{training.get('parameters', 0):,} parameters, {len(loaded.model) / 1e6:.1f} MB"
    how = f"{training.get('epochs', '?')} epochs, seed {training.get('seed', '?')}"
    lines = {
        "model": f"{info.name} {info.version}",
        "classes": ", ".join(info.labels),
        "network": f"{training.get('model', 'not stated')}, {size}",
        "input": f"{recipe.size} × {recipe.size} grey, {recipe.kind} preprocessing",
        "outputs": ", ".join(info.outputs),
        "trained": f"{info.created}, {how}, on {sources}",
        "calibration": "temperature" if info.calibration else "none: too few validation patients, or switched off",
        "parity": f"Keras and ONNX differ by at most {info.parity.get('max_abs_difference', float('nan')):.1g}, "
        f"in a probability by {info.parity.get('max_probability_difference', float('nan')):.1g}",
        "sha256": loaded.sha256,
        "from": str(loaded.where),
    }
    sys.stdout.write("\n".join(f"{name:12}{value}" for name, value in lines.items()) + "\n")
    if "MODEL_CARD.md" in info.files:
        sys.stdout.write(f"{'card':12}{loaded.where / 'MODEL_CARD.md'}\n")
    return 0
