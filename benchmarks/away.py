"""The trainings of cross-validations, fitted on another machine that has a GPU but neither the data nor TensorFlow.

1. Here, with the data: ``python benchmarks/away.py pack PACK RUN… [--coding webp:95]``. Each RUN is a folder that
   ``tumorlens crossval`` began and that was stopped. PACK receives the standardised slices (coded, to be small), masks,
   splits and settings of all trainings that are left.
2. There, with Keras, JAX or PyTorch, NumPy, OpenCV and msgspec: ``KERAS_BACKEND=jax python benchmarks/away.py fit PACK
   OUT [--workers 6] [--seconds 600]``. The same loop, batches and augmentation as at home; the networks are not
   validated between epochs. OUT receives the weights and the answers for the test slices of what has ended in time;
   what has not is lost, so take few workers: on an H100, 4 gave 5,000 images/s at 192 pixels, 16 to 21
   gave 6,000 to 8,000, after 80 to 180 s of compiling.
3. Here: ``python benchmarks/away.py finish OUT RUN…``: each cross-validation goes on as if it had been fitted here:
   export, scores by the deployed bytes on the uncoded slices, calibration, report.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import queue
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
_LARGEST = 14 * 2**20  # of a file that comes back


# --- here: pack ------------------------------------------------------------------------------------------------------


class _Packed(Exception):
    """Raised where a cross-validation would begin to train."""


def pack(target: Path, runs: Sequence[Path], coding: str) -> None:
    """Everything that the trainings of some cross-validations need, in a folder of a few files."""
    from tumorlens.pipeline import crossvalidating

    target.mkdir(parents=True, exist_ok=True)
    images: dict[int, dict[str, np.ndarray]] = {}
    masks: dict[int, dict[str, np.ndarray]] = {}
    jobs: list[dict[str, Any]] = []
    for run in runs:

        def instead(
            folder: Path, settings: Any, ready: Any, start: Any, workers: Any, tell: Any, run: Path = run
        ) -> None:
            size = settings.preprocess.size
            jobs.extend(
                _jobs(run, settings, ready, images.setdefault(size, {}), masks.setdefault(size, {}), start, tell)
            )
            raise _Packed

        original, crossvalidating._go_on = crossvalidating._go_on, instead
        try:
            crossvalidating.resume(run)
        except _Packed:
            pass
        finally:
            crossvalidating._go_on = original
    for size, found in images.items():
        _write_images(target, size, found, masks[size], coding)
    _even_steps(jobs)
    (target / "jobs.json").write_text(json.dumps(jobs))
    total = sum(path.stat().st_size for path in target.iterdir())
    print(f"{len(jobs)} trainings, {sum(map(len, images.values()))} slices, {total / 2**20:.1f} MiB")


def _jobs(
    run: Path,
    settings: Any,
    ready: Any,
    images: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    start: Any,
    tell: Any,
) -> list[dict[str, Any]]:
    """The trainings that are left of a cross-validation; their slices and masks go into ``images`` and ``masks``."""
    from tumorlens import config
    from tumorlens.pipeline import crossvalidating, final, folds, running
    from tumorlens.pipeline import runs as run_folders

    every = running.outlines_of(
        replace(ready, manifest=ready.manifest.with_rows(replace(row, split="train") for row in ready.manifest)),
        settings,
        tell,
    )
    keys = [f"{digest[:12]}:{row.frame or 0}" for digest, row in zip(ready.digests, ready.manifest, strict=True)]
    for index, key in enumerate(keys):
        images[key] = np.asarray(ready.images[index])
        if every.known[index]:
            masks[key] = every.of([index])[0]
    jobs = []

    def add(place: Path, own: Any, rows: Any) -> None:
        of = {split: [i for i, row in enumerate(rows) if row.split == split] for split in ("train", "test")}
        labels = [row.label for row in rows]
        jobs.append(
            {
                "place": str(place.resolve()),
                "settings": config.to_toml(own),
                "size": own.preprocess.size,
                "batch": own.train.batch_size,
                "names": sorted(set(labels)),
                **{split: [keys[i] for i in chosen] for split, chosen in of.items()},
                **{f"{split}_labels": [labels[i] for i in chosen] for split, chosen in of.items()},
            }
        )

    for seed in crossvalidating.seeds(settings):
        for fold in folds.plan(ready.manifest, crossvalidating._of_seed(settings, seed)):
            place = folds.place_of(run / f"seed-{seed}", fold.name)
            if run_folders.finished(place) is None:
                add(place, fold.settings, fold.manifest)
    if settings.evaluate.final and run_folders.finished(run) is None:
        add(run / final.FINAL, settings, [replace(row, split="train") for row in ready.manifest])
    return jobs


def _even_steps(jobs: list[dict[str, Any]]) -> None:
    """Trainings that differ by a few slices get epochs of the same number of steps, so that they share a program."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for job in jobs:
        groups.setdefault((job["size"], tuple(job["names"]), bool(job["test"])), []).append(job)
    for group in groups.values():
        least = min(len(job["train"]) // job["batch"] for job in group)
        for job in group:
            job["steps"] = max(1, least)


def _write_images(
    target: Path, size: int, images: dict[str, np.ndarray], masks: dict[str, np.ndarray], coding: str
) -> None:
    kind, _, quality = coding.partition(":")
    flag = cv2.IMWRITE_WEBP_QUALITY if kind == "webp" else cv2.IMWRITE_JPEG_QUALITY
    coded = [cv2.imencode(f".{kind}", image, [flag, int(quality)])[1] for image in images.values()]
    np.savez(
        target / f"images-{size}.npz",
        keys=np.array(list(images)),
        ends=np.cumsum([len(one) for one in coded]),
        coded=np.concatenate(coded),
    )
    np.savez_compressed(target / f"masks-{size}.npz", keys=np.array(list(masks)), masks=np.stack(list(masks.values())))


# --- there: fit ------------------------------------------------------------------------------------------------------


class Pictures:
    """Slices and masks of a pack at one size; a size that it lacks is made from the smallest larger one."""

    def __init__(self, folder: Path, size: int) -> None:
        there = sorted(int(path.stem.split("-")[1]) for path in folder.glob("images-*.npz"))
        stored = next(one for one in there if one >= size)
        with np.load(folder / f"images-{stored}.npz") as file:
            keys, ends, coded = file["keys"], file["ends"], file["coded"]
        starts = [0, *ends[:-1]]
        decoded = [cv2.imdecode(coded[a:b], cv2.IMREAD_GRAYSCALE) for a, b in zip(starts, ends, strict=True)]
        self.images = np.stack([self._sized(one, size) for one in decoded])
        self.place = {str(key): i for i, key in enumerate(keys)}
        with np.load(folder / f"masks-{stored}.npz") as file:
            self.masks = np.stack([self._sized(one, size) for one in file["masks"]])
            self.mask_place = {str(key): i for i, key in enumerate(file["keys"])}
        self.empty = np.array([not mask.any() for mask in self.masks])

    @staticmethod
    def _sized(image: np.ndarray, size: int) -> np.ndarray:
        return image if len(image) == size else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)

    def of(self, keys: Sequence[str]) -> np.ndarray:
        """uint8 (N, S, S)."""
        return self.images[[self.place[key] for key in keys]]

    def outlines(self, keys: Sequence[str]) -> Any:
        """The masks of some slices."""
        from tumorlens.preprocess.outlines import Outlines

        place = np.array([self.mask_place.get(key, -1) for key in keys])
        known = place >= 0
        place[known] = np.where(self.empty[place[known]], -1, place[known])
        return Outlines(self.masks, place, known)


class Turn:
    """Trainings of one shape compile the same program: the first does, the others wait and find it in the cache."""

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        what = json.dumps([job["settings"].partition("[model]")[2], job["names"], job["size"], job["steps"]])
        name = hashlib.sha256(what.encode()).hexdigest()[:16]
        self.done = folder / f"{name}.done"
        try:
            (folder / f"{name}.first").touch(exist_ok=False)
            self.first = True
        except FileExistsError:
            self.first = False

    def wait(self) -> None:
        """Until the first has compiled."""
        begun = time.monotonic()
        while not self.first and not self.done.exists() and time.monotonic() - begun < 150:
            time.sleep(0.5)

    def compiled(self) -> None:
        """Let the others go on."""
        self.done.touch()


def train(
    job: dict[str, Any], pictures: Pictures, turn: Turn, tell: Any
) -> tuple[dict[str, Any], np.ndarray, dict[str, Any]]:
    """Fit one network: what is known of it, logits of its test slices, weights by path."""
    from tumorlens import config
    from tumorlens.labels import LabelEncoding
    from tumorlens.models import keras_setup, registry
    from tumorlens.models import start as starting
    from tumorlens.pipeline import running
    from tumorlens.preprocess import to_input
    from tumorlens.training.loop import Validation, Watcher

    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(job["settings"])
        settings = config.load(path)
        encoding = LabelEncoding.fit(job["names"])
        device = keras_setup.prepare(
            settings.train.device, settings.train.precision, settings.train.deterministic, settings.seed
        )
        model = registry.build(settings.model, job["size"], len(encoding.names))
        starting.begin(model, settings.train.start)
        images, labels = pictures.of(job["train"]), job["train_labels"]
        outlines = pictures.outlines(job["train"]) if running.needs_masks(settings) else None
        batches = _evened(running.batches_of(images, labels, encoding, outlines, model, settings), job["steps"])
        nothing = Validation(np.zeros((0, job["size"], job["size"]), np.uint8), np.zeros(0, np.int64))
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        loop = _quiet_loop()(
            model,
            batches,
            nothing,
            settings.train,
            checkpoints,
            Watcher(on_epoch=tell, on_batch=lambda *_: turn.compiled()),
        )
        turn.wait()
        progress = loop.run()
    test = pictures.of(job["test"]) if job["test"] else np.zeros((0, job["size"], job["size"]), np.uint8)
    logits = [np.zeros((0, len(encoding.names)), np.float32)]
    for at in range(0, len(test), 64):
        part = test[at : at + 64]
        padded = np.concatenate([part, np.zeros((64 - len(part), *part.shape[1:]), np.uint8)])
        logits.append(np.asarray(loop.fitted.predict_on_batch(to_input(padded))["logits"], np.float32)[: len(part)])
    answers = np.concatenate(logits)
    right = answers.argmax(axis=1) == encoding.encode(job["test_labels"]) if len(test) else np.zeros(0, bool)
    from tumorlens.training import state

    weights = {v.path: a for v, a in zip(model.weights, state.read(model.weights), strict=True)}
    found = {
        "place": job["place"],
        "device": device,
        "accuracy": float(right.mean()) if len(right) else None,
        "slices": len(right),
        "history": progress.history,
        "seconds": time.monotonic() - begun,
    }
    import keras

    keras.backend.clear_session()
    return found, answers, weights


def _evened(batches: Any, steps: int) -> Any:
    """The batches in epochs of a given number of steps: the schedule is part of the compiled program."""
    from tumorlens.training.batches import TrainingBatches

    class Even(TrainingBatches):
        @property
        def steps(self) -> int:
            return steps

    return Even(**{field.name: getattr(batches, field.name) for field in fields(batches)})


def _quiet_loop() -> Any:
    from tumorlens.training.loop import Loop

    class Quiet(Loop):
        """The loop without checkpoints."""

        def _save(self) -> None:
            """Nothing to continue from."""

    return Quiet


def work(folder: str, turns: str, number: int, todo: Any, done: Any) -> None:
    """A worker: one training after another."""
    cv2.setNumThreads(1)
    jobs = json.loads((Path(folder) / "jobs.json").read_text())
    sizes: dict[int, Pictures] = {}
    while (index := todo.get()) is not None:
        job = jobs[index]

        def tell(row: dict[str, float], index: int = index) -> None:
            done.put(("epoch", index, row["epoch"], row["images_per_second"]))

        try:
            if job["size"] not in sizes:
                sizes[job["size"]] = Pictures(Path(folder), job["size"])
            found, answers, weights = train(job, sizes[job["size"]], Turn(Path(turns), job), tell)
            done.put(("job", index, found, answers, weights))
        except Exception:  # noqa: BLE001 - whatever it is, the others go on
            import traceback

            done.put(("failed", index, traceback.format_exc()))
    done.put(("ended", number))


def fit(folder: Path, out: Path, workers: int, seconds: float, keep: bool) -> int:
    """Fit the pack's trainings in their order, several at a time; what is not done in time is left."""
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    turns = tempfile.mkdtemp()
    jobs = json.loads((folder / "jobs.json").read_text())
    spawn = multiprocessing.get_context("spawn")
    todo, done = spawn.Queue(), spawn.Queue()
    for index in range(len(jobs)):
        todo.put(index)
    for _ in range(workers):
        todo.put(None)
    crew = [spawn.Process(target=work, args=(str(folder), turns, i, todo, done), daemon=True) for i in range(workers)]
    for one in crew:
        one.start()
    results: list[dict[str, Any]] = []
    answers: dict[str, np.ndarray] = {}
    weights: dict[str, dict[str, np.ndarray]] = {}
    rates: dict[int, float] = {}
    ended = failures = 0
    told = begun
    while ended < workers and time.monotonic() - begun < seconds:
        try:
            kind, index, *rest = done.get(timeout=1.0)
        except queue.Empty:
            continue
        now = time.monotonic() - begun
        if kind == "epoch":
            rates[index] = rest[1]
            if time.monotonic() - told > 20:
                told = time.monotonic()
                print(f"{now:6.0f} s  {sum(rates.values()):8.0f} images/s in {len(rates)} trainings", flush=True)
        elif kind == "job":
            found, logits, kept = rest
            rates.pop(index, None)
            results.append(found)
            answers[str(index)] = logits
            if keep:
                weights[str(index)] = kept
            score = "" if found["accuracy"] is None else f"{100 * found['accuracy']:.2f} %"
            print(f"{now:6.0f} s  {found['place'][-40:]:40} {found['seconds']:6.0f} s  {score}", flush=True)
        elif kind == "failed":
            failures += 1
            print(rest[0][-1500:], flush=True)
            if failures >= 3 and not results:
                break
        else:
            ended += 1
    for one in crew:
        one.kill()
    (out / "results.json").write_text(json.dumps(results))
    np.savez_compressed(out / "answers.npz", **answers)
    _write_weights(out, {jobs[int(index)]["place"]: found for index, found in weights.items()})
    print(f"{len(results)} of {len(jobs)} trainings in {time.monotonic() - begun:.0f} s")
    return 0 if results else 3


def _write_weights(out: Path, weights: dict[str, dict[str, np.ndarray]]) -> None:
    part: dict[str, np.ndarray] = {}
    number = size = 0
    for place, found in weights.items():
        mine = sum(array.nbytes // (2 if array.ndim > 1 else 1) for array in found.values())
        if part and size + mine > _LARGEST:
            np.savez(out / f"weights-{number}.npz", **part)
            part, number, size = {}, number + 1, 0
        # Kernels travel in half the bits: a rounding of 0.05 %, before the network is scored and exported.
        part |= {
            f"{place}|{path}": array.astype(np.float16) if array.ndim > 1 else array for path, array in found.items()
        }
        size += mine
    if part:
        np.savez(out / f"weights-{number}.npz", **part)


# --- here: finish ----------------------------------------------------------------------------------------------------


def finish(out: Path, runs: Sequence[Path]) -> None:
    """Let cross-validations go on with what was fitted there."""
    from tumorlens.pipeline import crossvalidating, running
    from tumorlens.report.repeated_text import repeated_text
    from tumorlens.training import state
    from tumorlens.training.history import write_history

    results = {found["place"]: found for found in json.loads((out / "results.json").read_text())}
    weights: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(out.glob("weights-*.npz")):
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
                raise SystemExit(f"{out} holds no weights of {place}")
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
        print(repeated_text(crossvalidating.resume(run).metrics), flush=True)


def main() -> int:
    """Pack, fit or finish."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("target", type=Path)
    packing.add_argument("runs", type=Path, nargs="+")
    packing.add_argument("--coding", default="webp:95")
    fitting = commands.add_parser("fit")
    fitting.add_argument("pack", type=Path)
    fitting.add_argument("out", type=Path)
    fitting.add_argument("--workers", type=int, default=6)
    fitting.add_argument("--seconds", type=float, default=600)
    fitting.add_argument("--answers-only", action="store_true", help="bring no weights back: for screening")
    finishing = commands.add_parser("finish")
    finishing.add_argument("out", type=Path)
    finishing.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "pack":
        pack(options.target, options.runs, options.coding)
    elif options.command == "fit":
        return fit(options.pack, options.out, options.workers, options.seconds, not options.answers_only)
    else:
        finish(options.out, options.runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
