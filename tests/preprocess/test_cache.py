from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import EnvironmentFailure
from tumorlens.preprocess.cache import standardise_all
from tumorlens.preprocess.recipe import Recipe

RECIPE = Recipe(size=32)


def pictures(folder: Path, count: int, start: int = 0) -> Manifest:
    folder.mkdir(exist_ok=True)
    rows = []
    for i in range(start, start + count):
        path = folder / f"{i}.png"
        image = np.random.default_rng(i).integers(0, 255, (40, 40)).astype(np.uint8)
        cv2.imwrite(str(path), image)
        rows.append(Row(path=str(path), label="a"))
    return Manifest(tuple(rows))


def test_second_time_opens_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = pictures(tmp_path / "p", 20)
    first = standardise_all(manifest, RECIPE, tmp_path / "c")
    monkeypatch.setattr("tumorlens.io.read_slice", None)
    monkeypatch.setattr("tumorlens.io.digest", None)
    second = standardise_all(manifest, RECIPE, tmp_path / "c")
    assert (first.images[:] == second.images[:]).all()
    assert first.digests == second.digests


def test_order_and_subsets(tmp_path: Path) -> None:
    manifest = pictures(tmp_path / "p", 12)
    every = standardise_all(manifest, RECIPE, tmp_path / "c")
    some = Manifest(manifest.rows[::-3])
    assert (standardise_all(some, RECIPE, tmp_path / "c").images[:] == every.images[::-3]).all()


def test_a_stack_reads_like_the_array_it_stands_for(tmp_path: Path) -> None:
    images = standardise_all(pictures(tmp_path / "p", 9), RECIPE, tmp_path / "c").images
    whole = np.asarray(images)
    some = images.choose([7, 2, 2])
    assert whole.shape == images.shape and whole.dtype == np.uint8
    assert (some[:] == whole[[7, 2, 2]]).all() and (some[1] == whole[2]).all() and len(some) == 3
    assert all((a == b).all() for a, b in zip(images, whole, strict=True))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    manifest = pictures(tmp_path / "p", 3)
    before = np.array(standardise_all(manifest, RECIPE, tmp_path / "c").images)
    cv2.imwrite(manifest.rows[1].path, np.random.default_rng(99).integers(0, 255, (50, 50)).astype(np.uint8))
    after = standardise_all(manifest, RECIPE, tmp_path / "c").images
    assert (before[[0, 2]] == after[[0, 2]]).all()
    assert (before[1] != after[1]).any()


def test_a_moved_file_is_not_decoded_again(tmp_path: Path) -> None:
    manifest = pictures(tmp_path / "p", 4)
    standardise_all(manifest, RECIPE, tmp_path / "c")
    size = next((tmp_path / "c").glob("*.u8")).stat().st_size
    (tmp_path / "p").rename(tmp_path / "q")
    moved = Manifest(tuple(Row(path=row.path.replace("/p/", "/q/"), label="a") for row in manifest))
    assert len(standardise_all(moved, RECIPE, tmp_path / "c").images) == 4
    assert next((tmp_path / "c").glob("*.u8")).stat().st_size == size


def test_recipes_do_not_meet(tmp_path: Path) -> None:
    manifest = pictures(tmp_path / "p", 2)
    assert standardise_all(manifest, Recipe(size=32), tmp_path / "c").images.shape == (2, 32, 32)
    assert standardise_all(manifest, Recipe(size=48), tmp_path / "c").images.shape == (2, 48, 48)


def test_what_cannot_be_read_is_listed_every_time(tmp_path: Path) -> None:
    manifest = pictures(tmp_path / "p", 3)
    Path(manifest.rows[1].path).write_text("not an image")
    for _ in range(2):
        ready = standardise_all(manifest, RECIPE, tmp_path / "c")
        assert [row.id for row in ready.manifest] == [manifest.rows[0].id, manifest.rows[2].id]
        assert [item.code for item in ready.manifest.skipped] == ["not_an_image"]
        assert len(ready.images) == 2


def test_no_picture_at_all(tmp_path: Path) -> None:
    assert standardise_all(Manifest(()), RECIPE, tmp_path / "c").images.shape == (0, 32, 32)


WORKER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from tumorlens.data.manifest import Manifest, Row
    from tumorlens.preprocess.cache import standardise_all
    from tumorlens.preprocess.recipe import Recipe
    rows = [Row(path=p, label="a") for p in Path(sys.argv[1]).read_text().split()]
    print("go", flush=True)
    standardise_all(Manifest(tuple(rows)), Recipe(size=32), sys.argv[2])
    """
)


def test_two_processes_and_a_kill_leave_a_whole_cache(tmp_path: Path) -> None:
    manifest = pictures(tmp_path / "p", 600)
    paths = [row.path for row in manifest]
    orders = [paths, paths[::-1], paths[300:] + paths[:300]]
    workers = []
    for number, order in enumerate(orders):
        listing = tmp_path / f"{number}.txt"
        listing.write_text("\n".join(order))
        workers.append(
            subprocess.Popen([sys.executable, "-c", WORKER, str(listing), str(tmp_path / "c")], stdout=subprocess.PIPE)
        )
    assert workers[2].stdout is not None
    workers[2].stdout.readline()
    time.sleep(0.15)
    os.kill(workers[2].pid, signal.SIGKILL)
    assert workers[0].wait(120) == 0
    assert workers[1].wait(120) == 0
    workers[2].wait(120)
    ready = standardise_all(manifest, RECIPE, tmp_path / "c")
    fresh = standardise_all(manifest, RECIPE, tmp_path / "other")
    assert (ready.images[:] == fresh.images[:]).all()
    slots = [
        slot for (slot,) in sqlite3.connect(next((tmp_path / "c").glob("*.sqlite"))).execute("SELECT slot FROM images")
    ]
    assert len(slots) == len(set(slots)) == 600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir(mode=0o500)
    with pytest.raises(EnvironmentFailure):
        standardise_all(pictures(tmp_path / "p", 1), RECIPE, tmp_path / "c")
