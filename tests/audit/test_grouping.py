from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.audit.grouping import PSEUDO, divided_patients, group, variants
from tumorlens.config import DataSettings
from tumorlens.data.manifest import Manifest, Row
from tumorlens.data.split import folds, split
from tumorlens.errors import DataError


def manifest(patients: list[str], **columns: list[str]) -> Manifest:
    rows = []
    for i, patient in enumerate(patients):
        extra = {name: values[i] for name, values in columns.items()}
        rows.append(Row(path=f"{i}.png", label="ab"[i % 2], patient=patient, source="s", **extra))
    return Manifest(tuple(rows))


def test_variants_differ_by_a_trailing_letter_only() -> None:
    found = variants(["100", "100a", "100b", "200", "300a", "MR1", "MR1B", "anna", "annab"])
    assert found == {"100": ["100", "100a", "100b"], "MR1": ["MR1", "MR1B"]}


def test_copies_join_patients_and_variants_only_when_asked() -> None:
    data = manifest(["1", "2", "3", "3a"])
    assert group(data, [0, 0, 2, 3]) == ["s/1", "s/1", "s/3", "s/3a"]
    assert group(data, [0, 1, 2, 3], join_variants=True) == ["s/1", "s/2", "s/3", "s/3"]


def test_look_alikes_are_chained_only_where_no_patient_is_known() -> None:
    data = manifest(["", "", "", "7", "8"])
    names = group(data, [0, 1, 2, 3, 4], alike={(0, 1): 0.9, (1, 2): 0.5, (3, 4): 0.95})
    assert names[0] == names[1] and names[0].startswith(PSEUDO)
    assert len({names[2], names[3], names[4], names[0]}) == 4


def test_a_likeness_is_no_evidence_across_parts_or_folds_of_the_data() -> None:
    likeness = {(0, 1): 0.9, (2, 3): 0.9}
    for columns, chained in (
        ({"split": ["train", "train", "train", "test"]}, (True, False)),
        ({"split": ["", "", "test", "test"]}, (True, False)),
        ({"split": ["val", "val", "train", "val"]}, (False, False)),
        ({"fold": ["1", "1", "1", "2"]}, (True, False)),
    ):
        names = group(manifest([""] * 4, **columns), [0, 1, 2, 3], alike=likeness)
        assert (names[0] == names[1], names[2] == names[3]) == chained, columns
        across = group(manifest([""] * 4, **columns), [0, 1, 2, 3], alike=likeness, across=True)
        assert (across[0] == across[1], across[2] == across[3]) == (True, True)


def test_patients_in_more_than_one_group_are_counted() -> None:
    data = manifest(["1", "1", "2", ""], group=["x", "y", "y", "z"])
    assert divided_patients(data) == 1


def test_a_group_column_that_was_named_may_divide_a_patient() -> None:
    data = manifest(["1", "1", "2"], group=["x", "y", "y"])
    assert len(set(group(data, [0, 1, 2]))) == 1
    assert group(data, [0, 1, 2], patients=False) == ["x", "y", "y"]


def test_slices_of_one_scan_stay_together_and_are_no_look_alikes() -> None:
    data = manifest([""] * 5, series=["one", "one", "two", "", ""])
    names = group(data, [0, 1, 2, 3, 4])
    assert names[0] == names[1] and len(set(names)) == 4
    assert not any(name.startswith(PSEUDO) for name in names)
    chained = group(data, [0, 1, 2, 3, 4], alike={(1, 2): 0.9})
    assert chained[0] == chained[1] == chained[2] and chained[0].startswith(PSEUDO)


def test_a_scan_is_that_of_one_data_set_and_a_named_group_column_may_divide_it() -> None:
    rows = [Row(path=f"{i}.dcm", label="a", source=source, series="one") for i, source in enumerate("ssu")]
    names = group(Manifest(tuple(rows)), [0, 1, 2])
    assert names[0] == names[1] != names[2]
    columned = manifest(["", ""], series=["one", "one"], group=["x", "y"])
    assert group(columned, [0, 1], patients=False) == ["x", "y"]
    assert len(set(group(columned, [0, 1]))) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_split_divides_a_group(data: st.DataObject) -> None:
    count = data.draw(st.integers(12, 60))
    patients = data.draw(st.lists(st.sampled_from(["", *map(str, range(9))]), min_size=count, max_size=count))
    roots = [data.draw(st.integers(0, i)) if data.draw(st.integers(0, 3)) == 0 else i for i in range(count)]
    roots = [roots[root] if roots[root] <= root else root for root in roots]
    table = manifest(patients)
    names = group(table, roots)
    grouped = table.with_rows(
        Row(path=row.path, label=row.label, patient=row.patient, source=row.source, group=name)
        for row, name in zip(table, names, strict=True)
    )
    for i, root in enumerate(roots):
        assert names[i] == names[root]
    for part, divide in (
        ("split", lambda: split(grouped, DataSettings(), 0)),
        ("fold", lambda: folds(grouped, 3, 0)),
    ):
        try:
            divided = divide()
        except DataError:
            continue
        where: dict[str, set[str]] = {}
        for row in divided:
            where.setdefault(row.group, set()).add(getattr(row, part))
            if row.patient:
                where.setdefault(f"patient {row.patient}", set()).add(getattr(row, part))
        assert all(len(inside) == 1 for inside in where.values())
