"""The classes this package knows, their aliases, colours and clinical words, and the label encoding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tumorlens.errors import DataError


@dataclass(frozen=True, slots=True)
class KnownClass:
    """A class with a fixed spelling.

    Attributes:
        name: how it is written everywhere.
        title: for people.
        colour: hex colour, from the Okabe-Ito palette (distinguishable with colour-vision deficiency).
        meaning: one sentence for reports.
        aliases: other spellings found in public data sets, already normalised by :func:`_key`.
    """

    name: str
    title: str
    colour: str
    meaning: str
    aliases: tuple[str, ...]


NO_TUMOR = "no_tumor"

KNOWN: tuple[KnownClass, ...] = (
    KnownClass(
        "glioma",
        "Glioma",
        "#D55E00",
        "Tumour of the supporting cells of the brain; grows into the tissue around it.",
        ("glioma", "gliomatumor", "gliomatumour", "gliomas", "glioblastoma", "gbm"),
    ),
    KnownClass(
        "meningioma",
        "Meningioma",
        "#0072B2",
        "Tumour of the membranes around the brain; usually outside the brain tissue and slow-growing.",
        ("meningioma", "meningiomatumor", "meningiomatumour", "meningiomas"),
    ),
    KnownClass(
        NO_TUMOR,
        "No tumour",
        "#009E73",
        "No tumour visible in this slice.",
        ("notumor", "notumour", "no", "normal", "healthy", "notumors", "negative", "none"),
    ),
    KnownClass(
        "pituitary",
        "Pituitary tumour",
        "#CC79A7",
        "Tumour of the pituitary gland, at the base of the brain.",
        ("pituitary", "pituitarytumor", "pituitarytumour", "pituitaryadenoma", "pituitarytumors"),
    ),
    KnownClass(
        "tumor",
        "Tumour",
        "#E69F00",
        "A tumour of unstated kind.",
        ("tumor", "tumour", "yes", "braintumor", "braintumour", "positive"),
    ),
)

_BY_ALIAS = {alias: known for known in KNOWN for alias in known.aliases}
_BY_NAME = {known.name: known for known in KNOWN}
_FALLBACK_COLOURS = ("#56B4E9", "#F0E442", "#000000", "#999999", "#882255", "#44AA99", "#AA4499", "#332288")


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def canonical(name: str) -> str:
    """The spelling used everywhere for a class called ``name`` in some data set.

    Known aliases (``notumor``, ``glioma_tumor``, ``no``, …) map to the known class; any other name is kept as it is,
    without surrounding white space.
    """
    known = _BY_ALIAS.get(_key(name))
    return known.name if known else name.strip()


def set_text(names: Iterable[str]) -> str:
    """A set of classes in one cell of a table: names with ``|`` between them, one inside a name behind a backslash."""
    return "|".join(name.replace("|", r"\|") for name in names)


def set_names(text: str) -> set[str]:
    """What :func:`set_text` wrote."""
    return {part.replace(r"\|", "|") for part in re.split(r"(?<!\\)\|", text)} - {""}


def is_known(name: str) -> bool:
    """Whether ``name`` is a known class or one of its aliases."""
    return _key(name) in _BY_ALIAS


def title(name: str) -> str:
    """The class name as written for people."""
    known = _BY_NAME.get(name)
    return known.title if known else name.replace("_", " ").capitalize()


def meaning(name: str) -> str:
    """One sentence about the class, or an empty string for a class of the user's own."""
    known = _BY_NAME.get(name)
    return known.meaning if known else ""


def colours(names: Sequence[str]) -> dict[str, str]:
    """A fixed colour per class: the known one, else from a fallback palette in the order given."""
    spare = iter(_FALLBACK_COLOURS * (len(names) // len(_FALLBACK_COLOURS) + 1))
    return {name: _BY_NAME[name].colour if name in _BY_NAME else next(spare) for name in names}


@dataclass(frozen=True, slots=True)
class LabelEncoding:
    """Class names ↔ integers ↔ one-hot vectors, in scikit-learn's ``LabelEncoder`` convention (sorted unique names).

    It is stored with the model and never derived again from data.

    Attributes:
        names: class names in the order of the network's outputs.
    """

    names: tuple[str, ...]

    @classmethod
    def fit(cls, labels: Iterable[str]) -> LabelEncoding:
        """The encoding of the labels found in a data set.

        Raises:
            DataError: when there are fewer than two classes.
        """
        names = tuple(sorted(set(labels) - {""}))
        if len(names) < 2:
            found = f"only one class ({names[0]!r})" if names else "no labelled image"
            raise DataError(
                f"found {found}; a classifier needs at least two classes",
                hint="put the images of each class in a folder of its own, for example glioma/ and no_tumor/",
                code="one_class",
            )
        return cls(names)

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """Labels as integers, int64 (N,).

        Raises:
            DataError: for a label that is not in :attr:`names`.
        """
        index = {name: i for i, name in enumerate(self.names)}
        unknown = sorted(set(labels) - set(index))
        if unknown:
            raise DataError(
                f"found class {unknown[0]!r}, which is none of {', '.join(self.names)}",
                hint="rename the class or leave those images out",
                code="unknown_class",
            )
        return np.array([index[label] for label in labels], dtype=np.int64)

    def decode(self, codes: Iterable[int]) -> list[str]:
        """Integers back to names."""
        return [self.names[int(code)] for code in codes]

    def one_hot(self, labels: Sequence[str]) -> np.ndarray:
        """Labels as one-hot rows, float32 (N, classes)."""
        return np.asarray(np.eye(len(self.names), dtype=np.float32)[self.encode(labels)])
