"""Here: trainings go on with the weights that were brought."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.errors import Interrupted
from tumorlens.pipeline import crossvalidating, running, training
from tumorlens.report.repeated_text import repeated_text
from tumorlens.training import state
from tumorlens.training.history import write_history


def finish(out: Path, runs: Sequence[Path]) -> None:
    """Let runs go on with what was fitted there; ``out`` may hold what came back in several calls, in folders."""
    found_in = sorted(out.rglob("results.json"))
    results = {found["place"]: found for path in found_in for found in json.loads(path.read_text())}
    weights: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(out.rglob("weights-*.npz")):
        with np.load(path) as file:
            for name in file.files:
                place, _, variable = name.partition("|")
                weights.setdefault(place, {})[variable] = file[name]

    class Brought:
        """In the loop's place: the weights that were fitted elsewhere."""

        def __init__(self, model: Any, _batches: Any, _validation: Any, _settings: Any, folder: Path, _watcher: Any):
            self.model, self.folder = model, folder

        def run(self) -> state.Progress:
            self.folder.mkdir(exist_ok=True)
            place = str(self.folder.parent.resolve())
            if place not in weights:
                raise Interrupted(f"{out} holds no weights of {place}")
            found = weights[place]
            for variable in self.model.weights:
                variable.assign(found[variable.path].astype(np.float32))
            history = results[place]["history"]
            write_history(self.folder.parent / "history.csv", history)
            return state.Progress(epoch=len(history), history=history, seconds=results[place]["seconds"], finished=True)

    network = running.network
    running.Loop = Brought  # type: ignore[assignment, misc]
    running.network = lambda *given: (network(*given)[0], next(iter(results.values()))["device"])
    for run in runs:
        try:
            if json.loads((run / "run.json").read_text())["kind"] == "crossval":
                print(repeated_text(crossvalidating.resume(run).metrics), flush=True)
            else:
                print(f"{run}: {training.resume(run).metrics['test']['accuracy']:.4f}", flush=True)
        except Interrupted as stopped:
            print(f"{run}: {stopped}", flush=True)
