"""There: the trainings of a pack, with Keras, NumPy, OpenCV and msgspec, but neither the data nor TensorFlow."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import queue
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_LARGEST = 14 * 2**20  # bytes of a file that comes back
_FILES = 4  # that hold weights


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
        name = job["program"]
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


def work(folder: str, kept: str, turns: str, number: int, todo: Any, done: Any) -> None:
    """A worker: one training after another, each written when it ends."""
    cv2.setNumThreads(1)
    jobs = jobs_of(Path(folder))
    sizes: dict[int, Pictures] = {}
    while (index := todo.get()) is not None:
        job = jobs[index]

        def tell(row: dict[str, float], index: int = index) -> None:
            done.put(("epoch", index, row["epoch"], row["images_per_second"]))

        try:
            if job["size"] not in sizes:
                sizes[job["size"]] = Pictures(Path(folder), job["size"])
            found, answers, weights = train(job, sizes[job["size"]], Turn(Path(turns), job), tell)
            _keep(Path(kept), index, found, answers, weights)
            done.put(("job", index, found))
        except Exception:  # noqa: BLE001 - whatever it is, the others go on
            import traceback

            done.put(("failed", index, traceback.format_exc()))
    done.put(("ended", number))


def jobs_of(folder: Path) -> list[dict[str, Any]]:
    """The trainings of a pack."""
    found: list[dict[str, Any]] = json.loads(gzip.decompress((folder / "jobs.json.gz").read_bytes()))
    return found


def _keep(folder: Path, index: int, found: dict[str, Any], answers: np.ndarray, weights: dict[str, np.ndarray]) -> None:
    """One training's outcome in a file that is there as a whole or not at all."""
    # Kernels travel in half the bits: a rounding of 0.05 %, before the network is scored and exported.
    small = {path: array.astype(np.float16) if array.ndim > 1 else array for path, array in weights.items()}
    with (folder / f"{index}.part").open("wb") as file:
        np.savez(file, found=json.dumps(found), answers=answers, **{f"|{path}": array for path, array in small.items()})
    (folder / f"{index}.part").rename(folder / f"{index}.npz")


def fit(folder: Path, kept: Path, workers: int, seconds: float) -> int:
    """Fit the pack's trainings in their order, several at a time; what is not done in time is left."""
    begun = time.monotonic()
    kept.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    turns = tempfile.mkdtemp()
    jobs = jobs_of(folder)
    spawn = multiprocessing.get_context("spawn")
    todo, done = spawn.Queue(), spawn.Queue()
    for index in range(len(jobs)):
        if not (kept / f"{index}.npz").exists():
            todo.put(index)
    for _ in range(workers):
        todo.put(None)
    given = (str(folder), str(kept), turns)
    crew = [spawn.Process(target=work, args=(*given, i, todo, done), daemon=True) for i in range(workers)]
    for one in crew:
        one.start()
    rates: dict[int, float] = {}
    ended = failures = finished = 0
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
            found = rest[0]
            rates.pop(index, None)
            finished += 1
            score = "" if found["accuracy"] is None else f"{100 * found['accuracy']:.2f} %"
            print(f"{now:6.0f} s  {found['place'][-40:]:40} {found['seconds']:6.0f} s  {score}", flush=True)
        elif kind == "failed":
            failures += 1
            print(rest[0][-1500:], flush=True)
            if failures >= 3 and not finished:
                break
        else:
            ended += 1
    for one in crew:
        one.kill()
    print(f"{finished} of {len(jobs)} trainings in {time.monotonic() - begun:.0f} s")
    return 0 if finished else 3


def collect(kept: Path, out: Path) -> None:
    """What has ended since the last call, in a few files of a size that may travel."""
    out.mkdir(parents=True, exist_ok=True)
    results, answers = [], {}
    part: dict[str, np.ndarray] = {}
    number = size = 0
    for path in sorted(kept.glob("*.npz")):
        sent = path.with_suffix(".sent")
        if sent.exists():
            continue
        with np.load(path) as file:
            found = json.loads(str(file["found"]))
            weights = {f"{found['place']}{name}": file[name] for name in file.files if name.startswith("|")}
            mine = sum(array.nbytes for array in weights.values())
            if part and size + mine > _LARGEST:
                if number + 1 == _FILES:
                    break
                np.savez(out / f"weights-{number}.npz", **part)
                part, number, size = {}, number + 1, 0
            part |= weights
            size += mine
            results.append(found)
            answers[path.stem] = file["answers"]
        sent.touch()
    if part:
        np.savez(out / f"weights-{number}.npz", **part)
    (out / "results.json").write_text(json.dumps(results))
    np.savez_compressed(out / "answers.npz", **answers)
    print(f"{len(results)} trainings collected")
