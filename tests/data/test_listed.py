"""Manifest tables."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tumorlens import data
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import DataError


@pytest.fixture
def table(tree):
    root = tree("set", "x/1.png", "x/2.png")

    def make(text, encoding="utf-8", name="list.csv"):
        (root / name).write_bytes(text.encode(encoding))
        return root / name

    return make


def test_every_column(table):
    path = table(
        "path,label,frame,patient,group,split,fold,mask,source\nx/1.png,notumor,,P1,G1,Training,3,x/2.png,here\n"
    )
    (row,) = data.read(path).rows
    base = os.path.dirname(path)
    assert row == Row(f"{base}/x/1.png", None, "no_tumor", "P1", "G1", "here", "train", "3", f"{base}/x/2.png")


@pytest.mark.parametrize(
    "header",
    ["image,class", "Filename,Diagnosis", "FILE,tumor_type", "filepath,Category", "img,target", "image_path,Label"],
)
def test_other_column_names(table, header):
    found = data.read(table(f"{header},pid,set\nx/1.png,glioma,P1,test\nx/2.png,no,P2,valid\n"))
    assert [(row.label, row.patient, row.split) for row in found] == [
        ("glioma", "P1", "test"),
        ("no_tumor", "P2", "val"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_encodings(table, delimiter, encoding):
    path = table(f"path{delimiter}label\r\nx/1.png{delimiter}naïve\r\n", encoding)
    assert data.read(path).count() == {"naïve": 1}


def test_ids(table):
    found = data.read(table("id,path,label\n1,x/1.png,a\n2,x/2.png,a\n"))
    assert [row.id for row in found] == ["1", "2"]
    found = data.read(table("id,path,label\n1,x/1.png,a\n1,x/2.png,a\n"))
    assert [row.id for row in found] == [row.path for row in found]
    assert any("id column repeats" in note for note in found.notes)


def test_numbered_tables_can_be_joined(table, tree):
    one = table("id,path,label\n1,x/1.png,a\n", name="one.csv")
    two = table("id,path,label\n1,x/2.png,b\n", name="two.csv")
    assert [row.id for row in data.read([one, two])] == ["one:1", "two:1"]


def test_group_and_fold_columns(table):
    path = table("path,label,clinic,group,cv,fold\nx/1.png,a,C1,G1,4,9\n")
    (row,) = data.read(path).rows
    assert (row.group, row.fold) == ("G1", "9")
    (row,) = data.read(path, group_column="Clinic", fold_column="cv").rows
    assert (row.group, row.fold) == ("C1", "4")
    (row,) = data.read(table("path,label,clinic\nx/1.png,a,C1\n")).rows
    assert (row.group, row.fold) == ("", "")
    with pytest.raises(DataError) as error:
        data.read(path, group_column="hospital")
    assert error.value.code == "no_column"
    assert "clinic" in error.value.hint


def test_a_column_only_one_of_two_sets_has(table, tree):
    path = table("path,label,clinic\nx/1.png,a,C1\n")
    found = data.read([path, tree("other", "b/1.png")], group_column="clinic")
    assert [row.group for row in found] == ["C1", ""]
    with pytest.raises(DataError):
        data.read(tree("other", "b/1.png"), group_column="clinic")


def test_missing_files_are_listed(table):
    found = data.read(table("path,label\nx/1.png,a\nx/gone.png,a\n,a\nnone.zip!a.png,a\n"))
    assert len(found) == 1
    assert [item.code for item in found.skipped] == ["not_found"] * 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("label,size\na,3\n", "no_column"),
        ("", "empty"),
        ("path,label,split\nx/1.png,a,later\n", "bad_value"),
        ("path,label,frame\nx/1.png,a,first\n", "bad_value"),
        ("path,label,frame\nx/1.png,a,1e999\n", "bad_value"),
        ("path,label\n", "empty"),
    ],
)
def test_senseless_tables(table, text, code):
    with pytest.raises(DataError) as error:
        data.read(table(text))
    assert error.value.code == code
    assert error.value.hint


def test_a_listed_volume_becomes_a_row_per_frame(table, tmp_path):
    import numpy as np
    from PIL import Image

    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (1, 2, 3)]
    pages[0].save(tmp_path / "set/v.tif", save_all=True, append_images=pages[1:])
    found = data.read(table("id,path,label,frame\nv,v.tif,a,\nw,x/1.png,b,\n"))
    assert [(row.id, row.frame) for row in found] == [("v#0", 0), ("v#1", 1), ("v#2", 2), ("w", None)]
    assert {row.patient for row in found.rows[:3]} != {""}
    found = data.read(table("path,label,frame\nv.tif,a,1\nv.tif,a,7\n"))
    assert [row.frame for row in found] == [1]
    assert [item.code for item in found.skipped] == ["not_found"]


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"), max_size=12).map(str.strip)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    fields=st.lists(st.tuples(TEXT, TEXT, TEXT, st.sampled_from(["", "train", "val", "test"])), min_size=1, max_size=5)
)
def test_a_written_manifest_reads_back(tmp_path_factory, fields):
    from tumorlens.labels import canonical

    folder = tmp_path_factory.mktemp("m")
    rows = []
    for number, (label, patient, group, split) in enumerate(fields):
        path = folder / "odd, folder" / f"{number};'\" ü.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        rows.append(
            Row(str(path), None, canonical(label), patient, group, "src", split, str(number), id=f"id {number}")
        )
    Manifest(tuple(rows)).write_csv(folder / "out.csv")
    assert data.read(folder / "out.csv").rows == tuple(rows)


@pytest.mark.shared
def test_figshare_index(shared_data):
    found = data.read(shared_data / "figshare/index.csv", group_column="patient_group", fold_column="official_fold")
    assert found.count() == {"glioma": 1426, "meningioma": 708, "pituitary": 930}
    assert len({row.patient for row in found}) == 233
    assert len({row.group for row in found}) == 233 - 42 + 18
    assert {row.fold for row in found} == set("12345")
    assert {row.source for row in found} == {"figshare"}
    assert all(row.mask for row in found)
    assert not found.skipped


def test_a_slice_column_of_single_images_is_ignored(table):
    found = data.read(table("path,label,slice\nx/1.png,a,12\nx/2.png,b,axial 3\n"))
    assert [(row.frame, row.id) for row in found] == [(None, found.rows[0].path), (None, found.rows[1].path)]
    assert any("slice number of 1 single images is ignored" in note for note in found.notes)
    (row,) = data.read(table("path,label,frame\nx/1.png,a,0\n")).rows
    assert row.frame == 0


def test_a_slice_column_of_a_volume_is_its_frame(table, tmp_path):
    import numpy as np
    from PIL import Image

    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (1, 2, 3)]
    pages[0].save(tmp_path / "set/v.tif", save_all=True, append_images=pages[1:])
    assert [row.frame for row in data.read(table("path,label,slice\nv.tif,a,1\n"))] == [1]


def test_a_table_without_a_class_says_which_columns_it_has(table):
    from tumorlens.pipeline.dataset import labelled

    path = table("path,grade,site\nx/1.png,4,left\n")
    with pytest.raises(DataError, match="columns are path, grade, site"):
        labelled(data.read(path))
    assert not data.read(f"glioma={path}").notes
