"""The phantom: same bytes for a seed, exact masks, no shortcut to the class, files that match the stream."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tumorlens.data.phantom import VERSION, PhantomSlice, make_slices, write_phantom
from tumorlens.data.phantom.signal import Sequence, spin_echo
from tumorlens.data.phantom.tissue import TISSUES
from tumorlens.errors import EnvironmentFailure, UsageError

CLASSES = {"glioma", "meningioma", "no_tumor", "pituitary"}


@pytest.fixture(scope="module")
def slices() -> list[PhantomSlice]:
    return list(make_slices(40, seed=3))


def same(a: PhantomSlice, b: PhantomSlice) -> bool:
    facts = all(getattr(a, n) == getattr(b, n) for n in ("label", "patient", "plane", "index", "spacing"))
    return facts and np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask)


def test_count_is_exact_and_a_smaller_count_is_a_prefix(slices: list[PhantomSlice]) -> None:
    assert len(slices) == 40
    again = list(make_slices(17, seed=3))
    assert len(again) == 17
    assert all(same(a, b) for a, b in zip(again, slices, strict=False))


def test_seeds_differ(slices: list[PhantomSlice]) -> None:
    other = next(make_slices(1, seed=4))
    assert not same(other, slices[0])


def test_stopping_early_is_harmless(slices: list[PhantomSlice]) -> None:
    stream = make_slices(10_000, seed=3)
    assert all(same(a, b) for a, b in zip(islice(stream, 3), slices, strict=False))
    stream.close()  # type: ignore[attr-defined]


def test_shapes_types_and_order(slices: list[PhantomSlice]) -> None:
    seen: dict[str, int] = {}
    for s in slices:
        assert s.image.dtype == np.uint8 and s.image.ndim == 2
        assert s.mask.dtype == np.bool_ and s.mask.shape == s.image.shape
        assert min(s.image.shape) >= 192
        assert max(s.image.shape) <= 320
        assert s.plane in {"axial", "coronal", "sagittal"} and s.label in CLASSES
        assert all(0.5 < mm < 1.6 for mm in s.spacing)
        assert s.index == seen.get(s.patient, 0)
        seen[s.patient] = s.index + 1
    assert list(seen) == [f"P{k:05d}" for k in range(len(seen))]
    assert all(3 <= n <= 5 for n in list(seen.values())[:-1])
    assert len({s.image.shape for s in slices}) > 3


def test_mask_is_the_tumour(slices: list[PhantomSlice]) -> None:
    for s in slices:
        if s.label == "no_tumor":
            assert not s.mask.any()
            continue
        assert np.count_nonzero(s.mask) >= 150
        # Inside the head: the convex hull of what is brighter than the air around it.
        tissue = np.median(s.image[s.image > s.image.mean()])
        bright = (cv2.GaussianBlur(s.image, (0, 0), 2) > 0.35 * tissue).astype(np.uint8)
        hull = cv2.convexHull(cv2.findNonZero(bright))
        head = cv2.fillConvexPoly(np.zeros_like(bright), hull, 1).astype(bool)
        assert np.count_nonzero(s.mask & ~head) <= 0.02 * np.count_nonzero(s.mask)


def test_classes_are_balanced_within_one_patient(slices: list[PhantomSlice]) -> None:
    patients = {s.patient: s.label for s in slices}
    counts = Counter(patients.values())
    assert set(counts) == CLASSES
    assert max(counts.values()) - min(counts.values()) <= 1
    per_class = Counter(s.label for s in slices)
    assert max(per_class.values()) - min(per_class.values()) <= 5


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**40), count=st.integers(1, 3))
def test_any_seed_gives_valid_slices(seed: int, count: int) -> None:
    items = list(make_slices(count, seed))
    assert len(items) == count
    for s in items:
        assert s.image.max() > 100
        assert s.image.std() > 10
        assert s.mask.any() == (s.label != "no_tumor")


@pytest.mark.parametrize("count", [0, -5])
def test_bad_count_is_refused_at_the_call(count: int) -> None:
    with pytest.raises(UsageError):
        make_slices(count)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError):
        make_slices(1, seed=-1)


def test_agent_shortens_t1_and_brightens() -> None:
    before, after = Sequence("t1", 500, 12, 0.0), Sequence("t1_post", 500, 12, 1.0)
    for name in ("meningioma", "adenoma", "glioma_rim", "mucosa", "blood"):
        assert spin_echo(TISSUES[name], after) > 1.2 * spin_echo(TISSUES[name], before)
    t2 = Sequence("t2", 4000, 100, 0.0)
    brain = [TISSUES[name] for name in ("csf", "grey", "white")]
    assert sorted(brain, key=lambda tissue: -spin_echo(tissue, t2)) == brain
    assert sorted(brain, key=lambda tissue: spin_echo(tissue, before)) == brain


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_files_are_the_stream(tmp_path: Path, slices: list[PhantomSlice]) -> None:
    calls: list[tuple[int, int]] = []
    target = tmp_path / "fäntom" / "set"
    manifest = write_phantom(target, 22, seed=3, progress=lambda done, total: calls.append((done, total)))
    assert manifest == target / "manifest.csv"
    assert calls == [(i, 22) for i in range(1, 23)]
    rows = read_rows(manifest)
    assert list(rows[0]) == ["path", "label", "patient", "mask", "plane"]
    assert len(rows) == 22
    for row, s in zip(rows, slices, strict=False):
        assert (row["label"], row["patient"], row["plane"]) == (s.label, s.patient, s.plane)
        assert row["path"] == f"{s.label}/{s.patient}_{s.index}.png"
        image = cv2.imdecode(np.fromfile(target / row["path"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(image, s.image)
        assert (row["mask"] == "") == (s.label == "no_tumor")
        if row["mask"]:
            mask = cv2.imdecode(np.fromfile(target / row["mask"], np.uint8), cv2.IMREAD_UNCHANGED)
            assert set(np.unique(mask)) == {0, 255}
            assert np.array_equal(mask > 0, s.mask)


def test_png_files_hold_pixels_only(tmp_path: Path) -> None:
    write_phantom(tmp_path / "p", 2, seed=0)
    for path in (tmp_path / "p").rglob("*.png"):
        data = path.read_bytes()
        chunks, at = set(), 8
        while at < len(data):
            chunks.add(data[at + 4 : at + 8])
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        assert chunks <= {b"IHDR", b"IDAT", b"IEND"}


def test_running_again_replaces_the_whole_phantom(tmp_path: Path) -> None:
    target = tmp_path / "p"
    write_phantom(target, 9, seed=1)
    write_phantom(target, 3, seed=2)
    rows = read_rows(target / "manifest.csv")
    images = {p.relative_to(target).as_posix() for p in target.rglob("*.png") if "masks" not in p.parts}
    assert images == {row["path"] for row in rows}
    assert len(rows) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["p"]  # no temporary left behind


def test_an_empty_folder_is_fine_and_a_strange_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_phantom(tmp_path / "empty", 1)
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError):
        write_phantom(other, 1)
    with pytest.raises(UsageError):
        write_phantom(other / "thesis.txt", 1)
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]


def test_a_phantom_with_a_file_of_the_user_in_it_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "p"
    write_phantom(target, 4, seed=1)
    (target / "glioma" / "mine.png").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"glioma/mine\.png, which the phantom did not write"):
        write_phantom(target, 2, seed=2)
    assert (target / "glioma" / "mine.png").read_bytes() == b"precious"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(EnvironmentFailure, match="/proc/nowhere"):
        write_phantom("/proc/nowhere", 1)


def test_a_failed_run_leaves_the_old_phantom(tmp_path: Path) -> None:
    target = tmp_path / "p"
    write_phantom(target, 2, seed=1)
    before = (target / "manifest.csv").read_bytes()

    def fail(done: int, total: int) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_phantom(target, 4, seed=2, progress=fail)
    assert (target / "manifest.csv").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_version_is_a_plain_word() -> None:
    assert VERSION and VERSION.replace(".", "").isalnum()
