"""One file (a picture, a volume, a ``.mat``) becomes rows."""

from __future__ import annotations

import os

from tumorlens.data import expand
from tumorlens.data.expand import Wanted
from tumorlens.data.listing import Entry
from tumorlens.data.manifest import Manifest


def read_file(path: str, source: str, *, label: str = "") -> Manifest:
    """The slices of one file.

    Raises:
        MissingExtraError: when its format needs a package that is not installed.
    """
    entry = Entry(path, (os.path.basename(path),))
    rows, skipped = expand.rows(Wanted(path=path, suffix=entry.suffix, label=label, source=source, series=entry.stem))
    return Manifest(tuple(rows), tuple(skipped))
