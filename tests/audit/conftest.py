from __future__ import annotations

import numpy as np
import pytest

from tumorlens.audit.look import look
from tumorlens.data.manifest import Row
from tumorlens.data.phantom import PhantomSlice, make_slices
from tumorlens.io import FileFacts


class Set:
    """Phantom slices as the audit sees them."""

    def __init__(self, slices: list[PhantomSlice]) -> None:
        self.slices = slices
        self.looks = np.array([look(item.image.astype(np.float32)) for item in slices])
        self.rows = [Row(f"{i}.png", label=item.label, patient=item.patient) for i, item in enumerate(slices)]
        self.labels = [item.label for item in slices]
        self.groups = [item.patient for item in slices]
        self.facts = [FileFacts("png", 30_000, 256, 256, 1, 8, saturation=0.0, coloured=0.0) for _ in slices]


@pytest.fixture(scope="session")
def phantom_set() -> Set:
    return Set(list(make_slices(400, 3)))
