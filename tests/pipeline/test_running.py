"""What is refused, or said, before anything is decoded."""

from __future__ import annotations

from typing import Any

import pytest

from tumorlens import config
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import DataError
from tumorlens.pipeline import running
from tumorlens.pipeline.reporter import Reporter


@pytest.mark.parametrize(
    ("given", "fine"),
    [
        ({"model": {"name": "guided"}}, True),
        ({"model": {"name": "guided"}, "train": {"drawn": 9}}, True),
        ({"model": {"name": "guided"}, "train": {"drawn": 0}}, False),
        ({"model": {"name": "guided"}, "augment": {"twins": 0.1}}, False),
        (config.from_dict({"model": {"name": "guided"}}), False),
        (config.from_dict({"model": {"name": "guided"}, "train": {"drawn": 9}}), True),
    ],
)
def test_what_needs_masks_is_refused_at_once_where_none_can_be_drawn(given: Any, fine: bool) -> None:
    labels = ("glioma", "meningioma", "no_tumor")
    manifest = Manifest(tuple(Row(path=f"{label}.png", label=label) for label in labels))
    if fine:
        assert len(running.trainable(manifest, given, Reporter())) == len(manifest)
    else:
        with pytest.raises(DataError, match="no training slice has one"):
            running.trainable(manifest, given, Reporter())


def test_starting_from_drawings_like_those_that_are_tested_is_said() -> None:
    told: list[str] = []

    class Told(Reporter):
        def warn(self, text: str) -> None:
            told.append(text)

    running.trainable("phantom:8", config.load(None, ["train.start=phantom"]), Told())
    assert any("drawings of the same kind" in text for text in told)
    told.clear()
    running.trainable("phantom:8", config.load(None, []), Told())
    assert told == []
