"""Whose a scan is, as the folders around it tell."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from tumorlens import data
from tumorlens.audit.grouping import group
from tumorlens.data.folders import merged, patients, says_how
from tumorlens.data.manifest import Manifest


@pytest.fixture
def scans(tmp_path):
    """Makes a tree of small volumes."""
    nibabel = pytest.importorskip("nibabel")

    def make(*files: str) -> Path:
        for seed, name in enumerate(files):
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            volume = np.random.default_rng(seed).integers(0, 99, (4, 4, 2)).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
        return tmp_path / "set"

    return make


def patient_of(found: Manifest, root: Path) -> dict[str, str]:
    return {str(Path(row.path).relative_to(root).parent): row.patient for row in found}


def together(found: Manifest, root: Path) -> set[frozenset[str]]:
    """Which files may not cross a split."""
    sets = defaultdict(set)
    for row, name in zip(found, group(found, range(len(found))), strict=True):
        sets[name].add(str(Path(row.path).relative_to(root)))
    return {frozenset(files) for files in sets.values()}


def test_examinations_of_one_patient_stay_together_and_a_date_joins_nobody(scans):
    root = scans("glioma/P1/2019-01-01/t1.nii.gz", "glioma/P1/2020-05-05/t1.nii.gz", "no_tumor/P2/2019-01-01/t1.nii.gz")
    assert patient_of(data.read(root), root) == {
        "glioma/P1/2019-01-01": "P1", "glioma/P1/2020-05-05": "P1", "no_tumor/P2/2019-01-01": "P2",
    }  # fmt: skip


def test_subjects_of_bids(scans):
    root = scans(
        "glioma/sub-01/anat/x.nii.gz", "glioma/sub-01/ses-02/anat/y.nii.gz", "glioma/sub-02/anat/x.nii.gz",
        "glioma/derivatives/fmriprep/sub-02/anat/x.nii.gz",
    )  # fmt: skip
    assert patient_of(data.read(root), root) == {
        "glioma/sub-01/anat": "sub-01", "glioma/sub-01/ses-02/anat": "sub-01", "glioma/sub-02/anat": "sub-02",
        "glioma/derivatives/fmriprep/sub-02/anat": "sub-02",
    }  # fmt: skip


@pytest.mark.parametrize("series", [("T1_AX", "T2_AX"), ("HEAD ROUTINE", "smart brain"), ("1", "2")])
def test_series_folders_of_an_export_without_patient_ids(tmp_path, dicom, series):
    folders = [f"glioma/P{patient}/{name}" for patient in (1, 2, 3) for name in series]
    folders += ["glioma/P1/only here"]
    for folder in folders:
        for number in range(2):
            dicom(tmp_path / "set" / folder / f"IM{number}", SeriesInstanceUID=None)
    found = patient_of(data.read(tmp_path / "set"), tmp_path / "set")
    assert found == {folder: folder.split("/")[1] for folder in folders}


@pytest.mark.parametrize(
    "files",
    [
        {"HGG/Brats_1": "Brats_1", "HGG/Brats_2": "Brats_2", "LGG/Brats_3": "Brats_3"},
        {"HGG/1": "1", "HGG/2": "2", "LGG/3": "3"},
        {"siteA/ann": "ann", "siteA/bob": "bob", "siteB/eve": "eve"},
        {"T1/ann": "ann", "T2/ann": "ann", "T2/bob": "bob"},
        {"train/ann": "ann", "test/bob": "bob"},
        {"ann": "ann", "ann/old": "ann", "bob": "bob"},
        {"ann/2019-01-01": "ann", "ann/after the fall": "ann", "bob/2019-01-01": "bob"},
        {"siteA/ann/x": "ann", "siteA/bob/x": "bob", "siteB/eve/x": "eve"},
        {"PD01": "PD01", "PD02": "PD02"},
    ],
    ids=str,
)
def test_what_lies_around_patients_and_in_them_is_no_patient(files):
    places = {tuple(folder.split("/")): patient for folder, patient in files.items()}
    assert patients(places) == places


def test_a_scan_of_nobody_stays_whole(scans, dicom):
    days = "glioma/2019-01-01", "glioma/2020-05-05"
    root = scans(*(f"{day}/{name}.nii.gz" for day in days for name in ("t1", "t2")), "glioma/axial/a.nii.gz")
    scans("glioma/axial/b.nii.gz")
    for number in range(2):
        dicom(root / "no_tumor" / "coronal" / f"{number}", SeriesInstanceUID=None)
        dicom(root / "no_tumor" / f"{number}", SeriesInstanceUID=None)
    assert together(data.read(root), root) == {
        *(frozenset({f"{day}/t1.nii.gz", f"{day}/t2.nii.gz"}) for day in days),
        frozenset({"glioma/axial/a.nii.gz"}), frozenset({"glioma/axial/b.nii.gz"}),
        frozenset({"no_tumor/coronal/0", "no_tumor/coronal/1"}),
        frozenset({"no_tumor/0"}), frozenset({"no_tumor/1"}),
    }  # fmt: skip


def test_a_series_that_names_no_patient_stays_whole_in_a_flat_folder_and_in_a_table(tmp_path, dicom):
    root, names = tmp_path / "set", ("a", "b", "c", "d")
    for name in names:
        dicom(root / "glioma" / f"{name}.dcm", SeriesInstanceUID="1.2.3" if name in "ac" else "1.2.4")
    (root / "list.csv").write_text("path,label\n" + "".join(f"glioma/{name}.dcm,glioma\n" for name in names))
    whole = {frozenset({f"glioma/{name}.dcm" for name in pair}) for pair in ("ac", "bd")}
    assert together(data.read(root), root) == whole
    assert together(data.read(root / "list.csv"), root) == whole


def test_a_day_joins_nobody_whose_files_name_their_patients(tmp_path, dicom):
    for patient in ("7", "8"):
        dicom(tmp_path / "set" / "glioma" / "2019-01-01" / patient, PatientID=patient)
    found = data.read(tmp_path / "set")
    assert len(set(group(found, range(2)))) == 2


def test_slices_with_masks_belong_to_the_patient_not_to_the_visit(tmp_path):
    scan = np.random.default_rng(0).integers(0, 255, (20, 20), np.uint8)
    for folder in ("P1/baseline", "P1/week 12", "P2/baseline"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        Image.fromarray(scan).save(tmp_path / "set" / folder / "a.png")
        Image.fromarray(np.full((20, 20), 255, np.uint8)).save(tmp_path / "set" / folder / "a_mask.png")
    found = data.read(f"mask:glioma={tmp_path / 'set'}")
    assert [row.patient for row in found] == ["P1", "P1", "P2"]


DATES = st.dates().filter(lambda day: 1900 <= day.year < 2100)
VISITS = st.one_of(
    DATES.map(lambda day: day.isoformat()),
    DATES.map(lambda day: f"{day:%Y%m%d}"),
    DATES.map(lambda day: f"{day:%d.%m.%Y}"),
    st.from_regex(r"ses-[a-z0-9]{1,8}", fullmatch=True),
    st.builds("{}{}{}".format, st.sampled_from(["visit", "Week", "month", "fu", "TP"]), st.sampled_from(["", " ", "_"]),
              st.integers(1, 99)),
    st.sampled_from(["baseline", "follow-up", "followup_2", "pre", "post-op", "preop"]),
)  # fmt: skip
NAMES = st.text("abcdefghij ", min_size=3, max_size=9).filter(
    lambda name: name == name.strip() != "hgg" and not says_how(name)
)


@given(st.data())
def test_renaming_visits_never_changes_which_patients_are_together(draw):
    people = draw.draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.lower))
    inner = [folder for folder in ("", "anat", "T1_AX") if draw.draw(st.booleans())] or [""]
    places = {
        (person, visit, *filter(None, [below])): person
        for person in people
        for visit in draw.draw(st.lists(VISITS, min_size=1, max_size=4, unique=True))
        for below in inner
    }
    assert patients(places) == places


@given(st.data())
def test_visits_of_any_name_that_every_patient_has_are_no_patients(draw):
    people = draw.draw(st.lists(NAMES, min_size=2, max_size=5, unique_by=str.lower))
    visits = draw.draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower))
    assume(not {name.lower() for name in people} & {name.lower() for name in visits})
    places = {(person, visit): person for person in people for visit in visits}
    assert patients(places) == places


def test_several_folders_taken_for_one_patient_are_told() -> None:
    """Numbers that begin anew at each site look like series of one patient."""
    restarting = [(site, number) for site in ("siteA", "siteB") for number in ("001", "002", "003")]
    assert "'siteB' with 3" in merged(patients(restarting))
    assert merged(patients([("P1", "T1"), ("P1", "T2"), ("P2", "T1")])) == ""
    assert merged(patients([("siteA", "ann"), ("siteA", "bob"), ("siteB", "eve")])) == ""
