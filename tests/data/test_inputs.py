"""What is to be predicted comes one file after another, and nothing is opened before it is asked about."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tumorlens import io
from tumorlens.data import listing
from tumorlens.data.inputs import Item, Note, check_maps, frames_of, stream
from tumorlens.data.listing import Entry, natural, walk
from tumorlens.errors import InputError, UsageError

Tree = Callable[..., Path]


def items(named: str | Path, *aside: Path) -> list[Item]:
    return [found for found in stream(str(named), aside) if isinstance(found, Item)]


def images(named: str | Path) -> list[str]:
    return [os.path.relpath(item.path, named) for item in items(named) if item.problem is None]


@given(st.lists(st.text("aB1029._-é ", min_size=1, max_size=6), unique=True))
def test_the_order_of_a_walk_is_that_of_a_listing(names: list[str]) -> None:
    assert sorted(names, key=listing._name_key) == sorted(names, key=lambda name: natural((name,)))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_folders_and_files_come_in_natural_order(tree: Tree, zipped: Callable[[Path], Path], packed: bool) -> None:
    files = ["a/2.png", "a/10.png", "B/1/x.png", "b.png", "c/1.png", "10.png", "9.png"]
    root = tree("set", *files)
    named = zipped(root) if packed else root
    expected = ["9.png", "10.png", "a/2.png", "a/10.png", "B/1/x.png", "b.png", "c/1.png"]
    assert [item.path[len(str(named)) + 1 :] for item in items(named)] == expected
    assert [entry.path for entry in listing.listing(str(named)).entries] == [item.path for item in items(named)]


def test_nothing_is_opened_and_later_folders_are_not_even_listed(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("set", "a/1.png", "a/scan.dcm", "b/2.png", "b/LICENSE")
    listed: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(os.path.basename(path)), scan(path))[1])
    for name in ("inspect", "kind_of", "read_slice"):
        monkeypatch.setattr(io, name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))
    monkeypatch.setattr("tumorlens.data.gather.kind_of", lambda *_: pytest.fail("a file was opened"))
    found = stream(str(root))
    assert next(found) == Item(str(root / "a" / "1.png"), root=str(root))
    assert next(found) == Item(str(root / "a" / "scan.dcm"), root=str(root))
    assert listed == ["set", "a"]
    assert len(list(found)) == 2


MASKS = {
    "beside": (["x.png", "x_mask.png", "y-seg.png"], ["x.png", "y-seg.png"]),
    "folder": (["images/x.png", "masks/x.png", "z/masks/1.png"], ["images/x.png"]),
    "first folder": (["annotations/x.png", "images/x.png"], ["images/x.png"]),
    "nothing but masks": (["masks/x.png", "seg/y.png"], ["masks/x.png", "seg/y.png"]),
    "masks and text": (["masks/x.png", "readme.txt"], ["masks/x.png"]),
    "scans": (["p/Pre_Scan_T1.nii", "p/Pre_Mask.nii"], ["p/Pre_Scan_T1.nii"]),
    "volumes": (["a.nii.gz", "a_seg.nii.gz", "b.dcm"], ["a.nii.gz", "b.dcm"]),
    "other folder": (["a/x.png", "b/x_mask.png"], ["a/x.png", "b/x_mask.png"]),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", sorted(MASKS))
def test_masks_are_set_aside(name: str, packed: bool, tree: Tree, zipped: Callable[[Path], Path]) -> None:
    files, expected = MASKS[name]
    root = tree("set", *files)
    named = zipped(root) if packed else root
    found = items(named)
    kept = [item.path[len(str(named)) + 1 :] for item in found if item.problem is None and frames_are_meant(item)]
    assert kept == expected
    codes = {item.problem.code for item in found if item.problem}
    assert codes <= {"mask"}
    assert len(found) == len(files)


def frames_are_meant(item: Item) -> bool:
    """Whether it is more than text; what these files hold does not matter here."""
    return not item.path.endswith(".txt")


def test_what_is_plainly_no_image_is_passed_over_below_a_folder_only(tree: Tree) -> None:
    root = tree("set", "a.png")
    for name in ("notes.txt", "LICENSE"):
        (root / name).write_text("hello")
    (root / "nothing.txt").write_bytes(b"")
    (root / "nothing.png").write_bytes(b"")
    (root / "inner.npz.bak").write_bytes(b"PK\x05\x06" + b"\0" * 18)

    def told(item: Item) -> object:
        try:
            return frames_of(item)
        except InputError as error:
            return error.code

    assert {Path(item.path).name: told(item) for item in items(root)} == {
        "a.png": (None,),
        "notes.txt": None,
        "LICENSE": None,
        "nothing.txt": None,
        "nothing.png": "empty",
        "inner.npz.bak": "unsupported",
    }
    for name in ("notes.txt", "LICENSE"):
        (item,) = items(root / name)
        assert told(item) == "not_an_image"


def test_an_input_that_is_nothing_is_an_item_with_its_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and no more")
    found = {name: items(tmp_path / name) for name in ("empty", "none.png", "bad.zip")}
    assert {name: [item.problem and item.problem.code for item in several] for name, several in found.items()} == {
        "empty": ["empty"],
        "none.png": ["not_found"],
        "bad.zip": ["truncated"],
    }
    assert not found["empty"][0].root


def test_a_disk_that_fails_in_the_middle_of_a_file_is_told(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    root = tree("set", "a.png")
    monkeypatch.setattr("tumorlens.io.content.Content.open", lambda content: Failing())
    for ask in (io.read, io.kind_of, io.digest):
        with pytest.raises(InputError, match="Input/output error") as caught:
            ask(str(root / "a.png"))
        assert caught.value.code == "unreadable"


def test_a_table_gives_the_frames_that_it_names(tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "set.npz", images=np.zeros((5, 8, 8), np.uint8))
    (tmp_path / "t.csv").write_text("path,frame\nset.npz!images,3\nset.npz!images,1\nnone.png,\n")
    found = list(stream(str(tmp_path / "t.csv")))
    assert [one.text for one in found if isinstance(one, Note)]
    missing, named = [one for one in found if isinstance(one, Item)]
    assert missing.problem is not None
    assert named.frames == (3, 1)
    assert items(tmp_path / "set.npz")[0].frames == (0, 1, 2, 3, 4)


def test_a_folder_aside_is_passed_over_wherever_it_lies(tree: Tree) -> None:
    root = tree("set", "a/1.png", "maps/1.png", "z.png")
    assert [os.path.relpath(item.path, root) for item in items(root, root / "maps")] == ["a/1.png", "z.png"]
    (root / "link").symlink_to(root / "maps")
    assert len(items(root, root / "maps")) == 2
    assert len(items(root, root / "none")) == 4  # once a link that is refused


def test_a_file_aside_is_not_even_opened_wherever_it_lies(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("set", "masks/1.png", "a/out.state", "b/out.state")
    (root / "link").symlink_to(root / "a")
    opened: list[str] = []
    kind_of = io.kind_of
    monkeypatch.setattr("tumorlens.data.gather.kind_of", lambda path: (opened.append(path), kind_of(path))[1])
    found = items(root, root / "link" / "out.state", root / "none" / "x")
    # The one of another folder is opened, to see whether the masks are what is meant.
    assert set(opened) == {str(root / "b" / "out.state")}
    assert str(root / "a" / "out.state") not in [item.path for item in found]


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_set_of_masks_is_looked_through_once(
    tree: Tree, zipped: Callable[[Path], Path], packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("set", *(f"{folder}/masks/{number}.png" for folder in "ab" for number in range(10)))
    named = zipped(root) if packed else root
    looks: list[str] = []
    for name in ("walk", "listing"):
        real = getattr(listing, name)
        monkeypatch.setattr(
            f"tumorlens.data.inputs.{name}", lambda root, *rest, real=real: (looks.append(root), real(root, *rest))[1]
        )
    found = items(named)
    assert len(found) == 20
    assert not [item for item in found if item.problem]
    assert len(looks) == 2  # the files, and once ahead


def test_maps_may_not_hide_inputs(tree: Tree, tmp_path: Path) -> None:
    root = tree(
        "set", "p1/1.png", "maps/p1_1.png-0123abcd.png", "maps/.x.part", "both/1.png-0123abcd.png", "both/2.png"
    )
    (root / "maps" / "answers").write_text("")
    for maps in (root, root / "p1", root / "both", root / "both" / ".." / "p1", root / "maps"):
        with pytest.raises(UsageError, match="passed over"):
            check_maps(str(root), str(maps))
    check_maps(str(root), str(root / "maps"), ["answers"])
    for maps in (root / "new", tmp_path / "new", root.parent):
        check_maps(str(root), str(maps))
    check_maps(str(root / "p1"), str(root))  # a folder above is not passed over
    check_maps(str(root / "p1" / "1.png"), str(root / "p1"))


def test_links_are_read_once_and_real_folders_first(tree: Tree) -> None:
    root = tree("set", "real/1.png")
    (root / "alias").symlink_to(root / "real")
    (root / "loop").symlink_to(root)
    (root / "nowhere.png").symlink_to(root / "none")
    found = list(walk(str(root)))
    assert [one.path for one in found if isinstance(one, Entry)] == [str(root / "real" / "1.png")]
    codes = {Path(one.path).name: one.code for one in found if isinstance(one, listing.Skipped)}
    assert codes == {"alias": "link", "loop": "link", "nowhere.png": "not_found"}
