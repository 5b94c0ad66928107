"""Here: everything that trainings need, in a folder small enough to travel."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec.structs import replace as replaced

from tumorlens import config
from tumorlens.config import Settings
from tumorlens.pipeline import crossvalidating, drawing, final, folds, running
from tumorlens.pipeline import runs as run_folders
from tumorlens.pipeline.dataset import standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe


def pack(target: Path, runs: Sequence[Path], coding: str) -> None:
    """Everything that the trainings of some runs need, in a folder of a few files; the first seed of each first."""
    target.mkdir(parents=True, exist_ok=True)
    images: dict[int, dict[str, np.ndarray]] = {}
    masks: dict[int, dict[str, np.ndarray]] = {}
    jobs: list[dict[str, Any]] = []
    for run in runs:
        for place, own, ready in _left(run):
            size = own.preprocess.size
            jobs.append(_job(place, own, ready, images.setdefault(size, {}), masks.setdefault(size, {})))
    for size, found in images.items():
        _write_images(target, size, found, masks[size], coding)
    _even_steps(jobs)
    jobs = _ordered(jobs)
    (target / "jobs.json.gz").write_bytes(gzip.compress(json.dumps(jobs).encode()))
    total = sum(path.stat().st_size for path in target.iterdir())
    print(f"{len(jobs)} trainings, {sum(map(len, images.values()))} slices, {total / 2**20:.1f} MiB")


def _left(run: Path) -> Iterator[tuple[Path, Settings, Standardised]]:
    """The trainings that are left of a run: where each belongs, its settings, and its slices in their splits."""
    kind = json.loads((run / "run.json").read_text())["kind"]
    if kind == "training":
        settings, manifest, _ = run_folders.reopen(run, kind)
        if run_folders.finished(run) is None:
            _check_own(settings)
            yield run, settings, standardised(manifest, Recipe.from_settings(settings.preprocess), Reporter())
        return
    settings, ready, _ = crossvalidating.reopened(run, Reporter())
    _check_own(settings)
    for seed in folds.seeds(settings):
        for fold in folds.plan(ready.manifest, replaced(settings, seed=seed)):
            place = folds.place_of(run / f"seed-{seed}", fold.name)
            if run_folders.finished(place) is None:
                yield place, fold.settings, replace(ready, manifest=fold.manifest)
    if settings.evaluate.final and run_folders.finished(run) is None:
        yield run / final.FINAL, settings, _as_training(ready)


def _check_own(settings: Settings) -> None:
    """Drawn slices do not travel."""
    if drawing.count(settings):
        raise SystemExit("train.drawn is not supported: fit this run here")


def _as_training(ready: Standardised) -> Standardised:
    return replace(ready, manifest=ready.manifest.with_rows(replace(row, split="train") for row in ready.manifest))


def _job(
    place: Path,
    settings: Settings,
    ready: Standardised,
    images: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
) -> dict[str, Any]:
    """A training; its slices and masks go into ``images`` and ``masks``."""
    rows = list(ready.manifest)
    keys = [f"{digest[:12]}:{row.frame or 0}" for digest, row in zip(ready.digests, rows, strict=True)]
    new = [index for index, key in enumerate(keys) if key not in images]
    if new:
        every = running.outlines_of(_as_training(ready), settings, Reporter())
        for index in new:
            images[keys[index]] = np.asarray(ready.images[index])
            if every.known[index]:
                masks[keys[index]] = every.of([index])[0]
    of = {split: [i for i, row in enumerate(rows) if row.split == split] for split in ("train", "test")}
    return {
        "place": str(place.resolve()),
        "rank": settings.seed,
        "settings": config.to_toml(settings),
        "size": settings.preprocess.size,
        "batch": settings.train.batch_size,
        # What the compiled step depends on, beside the shapes.
        "program": config.to_toml(replaced(Settings(), model=settings.model, train=settings.train)),
        "names": sorted({row.label for row in rows}),
        **{split: [keys[i] for i in chosen] for split, chosen in of.items()},
        **{f"{split}_labels": [rows[i].label for i in chosen] for split, chosen in of.items()},
    }


def _even_steps(jobs: list[dict[str, Any]]) -> None:
    """Trainings that differ by a few slices get epochs of the same number of steps, so that they share a program."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for job in jobs:
        groups.setdefault((job["size"], tuple(job["names"]), bool(job["test"])), []).append(job)
    for group in groups.values():
        least = min(len(job["train"]) // job["batch"] for job in group)
        for job in group:
            job["steps"] = max(1, least)


def _ordered(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of each program, so that all compile at once while nothing else can be done; then by seed."""
    seen: set[str] = set()
    first = []
    for job in jobs:
        shape = [job["program"], job["names"], job["size"], job["steps"]]
        job["program"] = hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]
        if job["program"] not in seen:
            seen.add(job["program"])
            first.append(job)
    rest = [job for job in jobs if not any(job is one for one in first)]
    return first + sorted(rest, key=lambda job: job["rank"])


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
