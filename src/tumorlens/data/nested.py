"""Sub-folders of a class folder (``glioma/patient7/*.png``): what lies in one of them is kept together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tumorlens.data.folders import says_how
from tumorlens.data.layout import means_nothing, place
from tumorlens.data.listing import Entry


def folder_groups(images: Sequence[Entry], source: str, *, labelled: bool = False) -> dict[str, str]:
    """The group of each picture in a sub-folder of a class folder that has at least two of them.

    Such sub-folders usually are patients, but nothing says so: they make groups, not patients.

    Args:
        images: the pictures and scans, their wrapping folders taken off; scans have patients of their own.
        source: name of the data set, in front of each group.
        labelled: the class is known, so the first folder is a sub-folder already.

    Returns:
        Path of a picture → its group, for those that have one.
    """
    below: dict[tuple[str, ...], dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in images:
        where = place(entry)
        if entry.scan or not where.label:
            continue
        start = len(entry.folders) - len(where.rest) - int(labelled)
        for index, name in enumerate(entry.folders[start:], start):
            # How they were taken sorts the slices of all patients.
            if not means_nothing(name) and not says_how(name):
                below[entry.folders[:start]]["/".join(entry.folders[: index + 1])].append(entry)
                break
    return {
        entry.path: f"{source}/{folder}"
        for folders in below.values()
        if len(folders) > 1
        for folder, entries in folders.items()
        for entry in entries
    }
