from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import LabelEncoder

from tumorlens import labels
from tumorlens.errors import DataError
from tumorlens.labels import LabelEncoding

names = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1)


@given(names)
def test_it_is_scikit_learns_label_encoder(values: list[str]) -> None:
    ours, theirs = LabelEncoding.fit(values), LabelEncoder().fit(np.array(values, dtype=object))
    assert list(ours.names) == list(theirs.classes_)
    assert ours.encode(values).tolist() == theirs.transform(np.array(values, dtype=object)).tolist()
    assert ours.decode(ours.encode(values)) == values
    assert (ours.one_hot(values).argmax(axis=1) == ours.encode(values)).all()
    assert (ours.one_hot(values).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("notumor", "no_tumor"), ("no", "no_tumor"), ("No_Tumor", "no_tumor"), ("healthy", "no_tumor"),
        ("glioma_tumor", "glioma"), ("Glioma", "glioma"), ("meningioma_tumor", "meningioma"),
        ("pituitary_tumor", "pituitary"), ("yes", "tumor"), ("Schwannoma", "Schwannoma"), (" own class ", "own class"),
    ],
)  # fmt: skip
def test_aliases(found: str, wanted: str) -> None:
    assert labels.canonical(found) == wanted


def test_aliases_are_each_of_one_class_and_normalised() -> None:
    every = [alias for known in labels.KNOWN for alias in known.aliases]
    assert len(every) == len(set(every))
    assert all(alias == labels._key(alias) for alias in every)


def test_one_class_is_refused_and_named() -> None:
    with pytest.raises(DataError, match=r"only one class .'glioma'"):
        LabelEncoding.fit(["glioma", "glioma", ""])


def test_unknown_label_is_named() -> None:
    with pytest.raises(DataError, match="'c'"):
        LabelEncoding(("a", "b")).encode(["a", "c"])


def test_colours_are_fixed_and_different() -> None:
    palette = labels.colours(["glioma", "own", "no_tumor", "other"])
    assert palette["glioma"] == labels.colours(["glioma"])["glioma"]
    assert len(set(palette.values())) == 4
