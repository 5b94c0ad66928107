"""Recall and false pairs of the duplicate search on planted copies, beside imagehash and cleanvision where installed.

Command: ``python benchmarks/audit_planted.py PATH/TO/figshare/index.csv [--originals 500] [--others]``. From 500 slices
that cover every patient it makes twelve kinds of copies and one random composition of three kinds each, writes them
beside the originals into a scratch folder and searches all of them together.
Cost: about 100 s of CPU for the copies (kept with ``--folder``) and 400 s for the search, without ``--others``.
Goals: recall 0.99 for geometric and re-encoding kinds, 0.97 for intensity, crop and composed kinds, no pair between
different patient groups, neighbouring slices not joined.
"""

from __future__ import annotations

import argparse
import csv
import os
import pickle
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from tumorlens import io
from tumorlens.audit import clusters
from tumorlens.audit.look import LOOK, look

Picture = np.ndarray


def _jpeg(picture: Picture, quality: int) -> Picture:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def _contrast(picture: Picture) -> Picture:
    mean = picture.mean()
    return np.clip((picture.astype(np.float32) - mean) * 1.3 + mean, 0, 255).astype(np.uint8)


def _cropped(picture: Picture) -> Picture:
    rows, columns = (round(0.08 * side) for side in picture.shape)
    return picture[rows:-rows, columns:-columns]


def _letterbox(picture: Picture) -> Picture:
    side = round(0.15 * picture.shape[1])
    return cv2.copyMakeBorder(picture, 0, 0, side, side, cv2.BORDER_CONSTANT, value=0)


KINDS: dict[str, Callable[[Picture], Picture]] = {
    "JPEG q60": lambda p: _jpeg(p, 60),
    "224 px": lambda p: cv2.resize(p, (224, 224), interpolation=cv2.INTER_AREA),
    "hflip": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "vflip": lambda p: np.ascontiguousarray(p[::-1]),
    "rot90": lambda p: np.ascontiguousarray(np.rot90(p)),
    "+30 % contrast": _contrast,
    "CLAHE": lambda p: cv2.createCLAHE(2.0, (8, 8)).apply(p),
    "gamma 0.6": lambda p: np.rint(255 * (p / 255.0) ** 0.6).astype(np.uint8),
    "8 % margin crop": _cropped,
    "letterbox": _letterbox,
}


_COMPOSED = "three of them"


def choose(rows: list[dict[str, str]], count: int) -> list[int]:
    """Row numbers: one slice of every patient first, then any."""
    rng = np.random.default_rng(1)
    of_patient: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        of_patient[row["patient"]].append(i)
    picked = [int(rng.choice(inside)) for inside in of_patient.values()]
    left = sorted(set(range(len(rows))) - set(picked))
    extra = max(0, min(count - len(picked), len(left)))
    return picked + [int(i) for i in rng.choice(left, extra, replace=False)]


def plant(index: Path, count: int, folder: Path) -> tuple[list[Path], list[int], list[str], list[str]]:
    """Write the copies; paths of all pictures, the original of each, its kind, and the patient group."""
    rows = list(csv.DictReader(index.open()))
    paths = [index.parent / row["image"] for row in rows]
    made_before = any(folder.iterdir())
    truth, kinds = list(range(len(rows))), ["original"] * len(rows)
    rng = np.random.default_rng(5)
    names = list(KINDS)
    for i in choose(rows, count):
        original = None if made_before else cv2.imread(str(paths[i]), cv2.IMREAD_GRAYSCALE)
        three = [str(name) for name in rng.choice(names, 3, replace=False)]
        for name in ("bytes", "PNG", *KINDS, _COMPOSED):
            path = folder / f"{i:04d}-{len(paths):05d}{'.jpg' if name in ('bytes', 'JPEG q60') else '.png'}"
            if original is not None:
                _write(path, name, paths[i], original, three)
            paths.append(path)
            truth.append(i)
            kinds.append(name)
    return paths, truth, kinds, [row["patient_group"] for row in rows]


def _write(path: Path, kind: str, source: Path, original: Picture, three: list[str]) -> None:
    if kind == "bytes":
        path.write_bytes(source.read_bytes())
    elif kind == "JPEG q60":  # written once, not twice
        cv2.imwrite(str(path), original, [cv2.IMWRITE_JPEG_QUALITY, 60])
    else:
        picture = original
        for name in three if kind == _COMPOSED else [kind]:
            picture = KINDS[name](picture) if name in KINDS else picture
        cv2.imwrite(str(path), picture)


def ours(paths: list[Path], save: Path | None = None) -> list[int]:
    """A cluster number for every picture; records and clusters can be saved, to look at pairs."""
    looks = np.empty(len(paths), LOOK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, record in enumerate(pool.map(lambda path: look(io.read_slice(str(path)).pixels), paths)):
            looks[i] = record
        digests = list(pool.map(lambda path: io.digest(str(path)), paths))
    found = clusters.find(looks, digests)
    if save:
        with save.open("wb") as file:
            pickle.dump((looks, found), file)
    rejected = sorted(found.alike.values())
    accepted = sorted(pair.similarity for pair in found.pairs if not pair.exact)
    print(f"weakest accepted pair {accepted[0]:.3f}; most alike rejected pair {rejected[-1]:.3f} (median of windows)")
    return found.root.tolist()


def hashed(paths: list[Path]) -> list[int]:
    """imagehash: the 64-bit perceptual hash, pairs within 4 bits."""
    import imagehash
    from PIL import Image

    codes = np.array([imagehash.phash(Image.open(path)).hash.ravel() for path in paths], np.float32) * 2 - 1
    return _components(codes, lambda block: np.argwhere(block @ codes.T >= 64 - 2 * 4))


def cleaned(paths: list[Path], folder: Path) -> list[int]:
    """cleanvision: exact and near duplicates at its defaults."""
    from cleanvision import Imagelab

    listed = [str(path) for path in paths]
    lab = Imagelab(filepaths=listed, verbose=False)
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=2, verbose=False)
    parent = {path: path for path in listed}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for kind in ("exact_duplicates", "near_duplicates"):
        for inside in lab.info[kind]["sets"]:
            for path in inside[1:]:
                parent[root(path)] = root(inside[0])
    numbers = {path: i for i, path in enumerate(listed)}
    return [numbers[root(path)] for path in listed]


def _components(codes: np.ndarray, near: Callable[[np.ndarray], np.ndarray]) -> list[int]:
    parent = list(range(len(codes)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for start in range(0, len(codes), 512):
        for a, b in near(codes[start : start + 512]):
            parent[root(int(b))] = root(start + int(a))
    return [root(i) for i in range(len(codes))]


def report(
    name: str, roots: list[int], truth: list[int], kinds: list[str], groups: list[str], seconds: tuple[float, float]
) -> None:
    """Print recall per kind, and what was joined wrongly."""
    originals = len(groups)
    hits: dict[str, list[bool]] = defaultdict(list)
    for i in range(originals, len(roots)):
        hits[kinds[i]].append(roots[i] == roots[truth[i]])
    sets: dict[int, set[int]] = defaultdict(set)
    for i, root in enumerate(roots):
        sets[root].add(truth[i])
    across = sum(len({groups[i] for i in inside}) > 1 for inside in sets.values())
    within = sum(len(inside) > 1 and len({groups[i] for i in inside}) == 1 for inside in sets.values())
    print(f"\n{name}: {seconds[0]:.1f} s by the clock, {seconds[1]:.1f} s of CPU")
    for kind, found in hits.items():
        print(f"  {kind:16} recall {np.mean(found):.3f}  of {len(found)}")
    print(f"  clusters that mix patient groups {across}, that join different slices of one patient {within}")


def _used() -> float:
    """CPU seconds of this process and its children."""
    every = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in every)


def main() -> None:
    """Plant, search, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index", type=Path)
    parser.add_argument("--originals", type=int, default=500)
    parser.add_argument("--others", action="store_true", help="also imagehash and cleanvision, which must be installed")
    parser.add_argument("--only", help="one of tumorlens, imagehash, cleanvision")
    parser.add_argument("--folder", type=Path, help="keep the copies here, and use those that are there")
    parser.add_argument("--save", type=Path, help="records and clusters, pickled")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        paths, truth, kinds, groups = plant(options.index, options.originals, folder)
        print(f"{len(groups)} slices and {len(paths) - len(groups)} copies of {options.originals} of them")
        contestants: dict[str, Callable[[], list[int]]] = {"tumorlens": lambda: ours(paths, options.save)}
        if options.others or options.only:
            contestants["imagehash"] = lambda: hashed(paths)
            contestants["cleanvision"] = lambda: cleaned(paths, folder)
        for name in [options.only] if options.only else list(contestants):
            search = contestants[name]
            begun, used = time.perf_counter(), _used()
            roots = search()
            report(name, roots, truth, kinds, groups, (time.perf_counter() - begun, _used() - used))


if __name__ == "__main__":
    main()
