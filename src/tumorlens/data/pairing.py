"""Which files are tumour masks, and of which images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tumorlens.data.listing import Entry
from tumorlens.io.sniff import IMAGE_EXTENSIONS

_FOLDERS = frozenset({"mask", "masks", "segmentation", "segmentations", "seg", "annotations", "groundtruth"})
_WORDS = frozenset({"mask", "masks", "seg", "segmentation"})
_SCANS = (".nii", ".nii.gz")
_WORD = re.compile("|".join(_WORDS), re.IGNORECASE)


@dataclass(frozen=True)
class Pairing:
    """Images and the masks that belong to them.

    Attributes:
        images: everything that is not a mask, in the order given.
        mask_of: path of an image → path of its mask.
        lonely: masks that belong to no image.
    """

    images: tuple[Entry, ...]
    mask_of: dict[str, str]
    lonely: tuple[Entry, ...]


def pair(entries: Sequence[Entry]) -> Pairing:
    """Tell masks from images by the usual names.

    - a folder ``masks/`` beside others: the image with the same folders below it and the same stem, else the only one
      with that stem;
    - ``x_mask.png`` or ``x-seg.tif`` beside ``x.png``;
    - a NIfTI file with ``mask`` or ``seg`` as a word of its name, beside a scan: the scan whose name has all of its
      other words (``Pre_Mask`` ↔ ``Pre_Scan_T1``), or the only scan there.
    """
    masks: dict[str, Entry] = {}
    mask_of: dict[str, str] = {}
    _by_folder(entries, masks, mask_of)
    rest = [entry for entry in entries if entry.path not in masks]
    by_folder: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in rest:
        by_folder[entry.folders].append(entry)
    for siblings in by_folder.values():
        _by_suffix(siblings, masks, mask_of)
        _by_words(siblings, masks, mask_of)
    used = set(mask_of.values())
    return Pairing(
        tuple(entry for entry in entries if entry.path not in masks),
        mask_of,
        tuple(mask for mask in masks.values() if mask.path not in used),
    )


def is_below_masks(entry: Entry) -> bool:
    """Whether it lies in a folder that is called after masks."""
    return _mask_folder(entry) >= 0


def masks_beside(siblings: Sequence[Entry]) -> set[str]:
    """The paths of the masks among the files of one folder, by their names."""
    masks: dict[str, Entry] = {}
    _by_suffix(siblings, masks, {})
    _by_words(siblings, masks, {})
    return set(masks)


def may_be_mask(name: str) -> bool:
    """Whether a file of this name can be a mask of another beside it."""
    return _WORD.search(name) is not None


def _by_folder(entries: Sequence[Entry], masks: dict[str, Entry], mask_of: dict[str, str]) -> None:
    inside = [(entry, _mask_folder(entry)) for entry in entries]
    images = [entry for entry, at in inside if at < 0]
    if not images:  # nothing but folders called masks: then they are what is meant
        return
    exact = {(*entry.folders, entry.stem.lower()): entry for entry in images}
    by_place: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    by_stem: dict[str, list[Entry]] = defaultdict(list)
    for entry in images:
        by_stem[entry.stem.lower()].append(entry)
        for at in range(len(entry.folders)):  # images/glioma/1 and masks/glioma/1 have the same place without it
            by_place[(*entry.folders[:at], *entry.folders[at + 1 :], entry.stem.lower())].append(entry)
    for entry, at in inside:
        if at < 0:
            continue
        masks[entry.path] = entry
        stem = _bare(entry.stem).lower()
        place = (*entry.folders[:at], *entry.folders[at + 1 :])
        beside = exact.get((*place, stem)) or exact.get((*place, entry.stem.lower()))
        found = [beside] if beside else []
        found = found or by_place.get((*place, stem)) or by_stem.get(entry.stem.lower()) or by_stem.get(stem) or []
        if len(found) == 1:
            mask_of.setdefault(found[0].path, entry.path)


def _by_suffix(siblings: Sequence[Entry], masks: dict[str, Entry], mask_of: dict[str, str]) -> None:
    stems = {entry.stem.lower(): entry for entry in siblings if entry.suffix in IMAGE_EXTENSIONS}
    for entry in siblings:
        bare = _bare(entry.stem).lower()
        if entry.suffix in IMAGE_EXTENSIONS and bare != entry.stem.lower() and bare in stems:
            masks[entry.path] = entry
            mask_of.setdefault(stems[bare].path, entry.path)


def _by_words(siblings: Sequence[Entry], masks: dict[str, Entry], mask_of: dict[str, str]) -> None:
    scans = [entry for entry in siblings if entry.suffix in _SCANS and not _words(entry) & _WORDS]
    found = [entry for entry in siblings if entry.suffix in _SCANS and _words(entry) & _WORDS]
    if not scans:
        return
    for mask in found:
        masks[mask.path] = mask
    for scan in scans:
        fitting = [mask for mask in found if _words(mask) - _WORDS <= _words(scan) and _words(mask) - _WORDS]
        if not fitting and len(found) == 1 and len(scans) == 1:
            fitting = found
        if fitting:
            mask_of.setdefault(scan.path, max(fitting, key=lambda mask: len(_words(mask))).path)


def _mask_folder(entry: Entry) -> int:
    return next((at for at, name in enumerate(entry.folders) if name.lower() in _FOLDERS), -1)


def _bare(stem: str) -> str:
    return re.sub(r"[ _.-](mask|seg|segmentation)$", "", stem, flags=re.IGNORECASE)


def _words(entry: Entry) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", entry.stem.lower()) if word}
