"""A volume is not one picture."""

from __future__ import annotations

import numpy as np

from tumorlens.audit.clusters import Clusters, Copy
from tumorlens.audit.volumes import kept_apart
from tumorlens.data.manifest import Row


def clusters(count: int, pairs: list[Copy]) -> Clusters:
    """As the search leaves them: everything that any pair joins is one cluster."""
    root = np.arange(count)
    for pair in pairs:
        root[root == root[pair.second]] = root[pair.first]
    return Clusters(tuple(pairs), root, np.zeros(count, np.int8), np.ones(count, np.float32), {})


def test_slices_of_one_scan_are_look_alikes_not_copies() -> None:
    rows = [Row("a.nii", frame, series="a") for frame in range(3)]
    rows += [Row("b.nii", 1, series="b"), Row("copy.png")]
    same = [b"0", b"1", b"2", b"1b", b"c"]
    pairs = [
        Copy(0, 1, 0.90, 0, exact=False),
        Copy(1, 2, 0.90, 0, exact=False),
        Copy(1, 3, 0.99, 1, exact=False),  # the same volume, mirrored, in another file
        Copy(0, 4, 0.95, 0, exact=False),  # a picture of one slice
    ]
    found = kept_apart(clusters(5, pairs), rows, same)
    assert found.members() == [[0, 4], [1, 3]]
    assert set(found.alike) == {(0, 1), (1, 2)}
    assert int(found.turn[3]) == 1


def test_equal_slices_of_one_scan_stay_copies() -> None:
    rows = [Row(f"{frame}.dcm", series="uid") for frame in range(2)]
    found = kept_apart(clusters(2, [Copy(0, 1, 1.0, 0, exact=True)]), rows, [b"0", b"0"])
    assert found.members() == [[0, 1]]


def test_files_of_one_slice_are_left_as_they_are() -> None:
    given = clusters(2, [Copy(0, 1, 0.9, 0, exact=False)])
    assert kept_apart(given, [Row("a.png"), Row("b.png")], [b"0", b"1"]) is given
