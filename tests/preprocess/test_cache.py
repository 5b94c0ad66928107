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


def noise(seed: int, size: int = 40) -> bytes:
    return cv2.imencode(".png", np.random.default_rng(seed).integers(0, 255, (size, size)).astype(np.uint8))[
        1
    ].tobytes()


def test_a_file_replaced_while_it_is_read_is_not_remembered_with_the_wrong_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tumorlens import io

    manifest = pictures(tmp_path / "p", 1)
    victim = Path(manifest.rows[0].path)
    real, replaced = io.read_slice, []

    def read_slice(path: str, frame: int | None = None) -> io.Slice:
        found = real(path, frame)
        if not replaced:  # a copy finishes just after the old picture was read
            replaced.append(path)
            victim.write_bytes(noise(99, 50))
        return found

    monkeypatch.setattr("tumorlens.io.read_slice", read_slice)
    standardise_all(manifest, RECIPE, tmp_path / "c")
    monkeypatch.undo()
    again = standardise_all(manifest, RECIPE, tmp_path / "c")
    fresh = standardise_all(manifest, RECIPE, tmp_path / "other")
    assert (again.images[:] == fresh.images[:]).all()
    assert again.digests == fresh.digests


def test_a_file_that_never_stops_changing_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tumorlens import io

    manifest = pictures(tmp_path / "p", 2)
    real, count = io.digest, iter(range(100, 200))

    def digest(path: str) -> str:
        if path == manifest.rows[0].path:
            Path(path).write_bytes(noise(seed := next(count), seed))
        return real(path)

    monkeypatch.setattr("tumorlens.io.digest", digest)
    ready = standardise_all(manifest, RECIPE, tmp_path / "c")
    assert [item.code for item in ready.manifest.skipped] == ["changed"]
    assert len(ready.images) == 1


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("*.sqlite", lambda path: path.write_bytes(b"this is not a database" * 500)),
        ("*.sqlite", cut_in_half),
        ("*.sqlite", Path.unlink),
        ("*.u8", Path.unlink),
        ("*.u8", cut_in_half),
        ("*.u8", lambda path: path.write_bytes(b"")),
    ],
    ids=["garbage index", "cut index", "no index", "no images", "cut images", "empty images"],
)
@pytest.mark.parametrize("more", [0, 3], ids=["same files", "new files too"])
def test_a_damaged_cache_is_built_again(tmp_path: Path, pattern: str, damage, more: int) -> None:
    standardise_all(pictures(tmp_path / "p", 5), RECIPE, tmp_path / "c")
    damage(next((tmp_path / "c").glob(pattern)))
    manifest = pictures(tmp_path / "p", 5 + more)
    fresh = standardise_all(manifest, RECIPE, tmp_path / "other")
    for _ in range(2):
        ready = standardise_all(manifest, RECIPE, tmp_path / "c")
        assert (ready.images[:] == fresh.images[:]).all()
    assert len(list((tmp_path / "c").glob("*.u8"))) == 1


def test_a_full_disk_inside_the_index_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sqlite3.connect

    def small(*arguments, **named) -> sqlite3.Connection:
        index = real(*arguments, **named)
        index.execute("PRAGMA page_size=512")
        index.execute("PRAGMA max_page_count=12")
        return index

    monkeypatch.setattr("sqlite3.connect", small)
    with pytest.raises(EnvironmentFailure) as caught:
        standardise_all(pictures(tmp_path / "p", 200), RECIPE, tmp_path / "c")
    assert caught.value.code == "disk_full"


def test_padding_is_left_out_and_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    pages = [np.random.default_rng(i).integers(0, 255, (40, 40)).astype(np.uint8) for i in range(4)]
    pages[0][:], pages[3][:] = 7, 0
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(tmp_path / "v.tif", save_all=True, append_images=rest)
    manifest = Manifest(tuple(Row(path=str(tmp_path / "v.tif"), frame=i, label="a") for i in range(4)))
    for _ in range(2):
        ready = standardise_all(manifest, RECIPE, tmp_path / "c")
        assert [row.frame for row in ready.manifest] == [1, 2]
        assert [item.code for item in ready.manifest.skipped] == ["blank", "blank"]
        assert len(ready.images) == 2
        monkeypatch.setattr("tumorlens.io.read_slice", None)


def test_ctrl_c_keeps_every_picture_that_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tumorlens import io

    manifest = pictures(tmp_path / "p", 300)
    real, made = io.read_slice, []

    def read_slice(path: str, frame: int | None = None) -> io.Slice:
        if len(made) >= 270:  # in the second chunk
            raise KeyboardInterrupt
        found = real(path, frame)
        made.append(path)
        return found

    monkeypatch.setattr("tumorlens.io.read_slice", read_slice)
    with pytest.raises(KeyboardInterrupt):
        standardise_all(manifest, RECIPE, tmp_path / "c")
    first, made[:] = list(made), []
    assert len(first) >= 270
    monkeypatch.setattr("tumorlens.io.read_slice", lambda *arguments: made.append(arguments[0]) or real(*arguments))
    ready = standardise_all(manifest, RECIPE, tmp_path / "c")
    assert not set(made) & set(first) and len(made) + len(first) == 300
    monkeypatch.undo()
    assert (ready.images[:] == standardise_all(manifest, RECIPE, tmp_path / "other").images[:]).all()
