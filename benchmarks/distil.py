"""Networks that are taught by others: what ``screen.py --teachers N`` fits with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import tumorlens
from tumorlens.inference import Predictor
from tumorlens.pipeline import running


@contextmanager
def taught_by(teachers: list[Path], share: float = 0.7) -> Iterator[None]:
    """Inside, training targets are the labels mixed with the teachers' mean probabilities (Hinton et al., 2015).

    Args:
        teachers: run folders of networks fitted to the same slices.
        share: of the target that is the teachers'.
    """
    predictors = [Predictor(tumorlens.bundle.load(folder)) for folder in teachers]
    usual = running.batches_of

    def softened(images: Any, labels: Any, encoding: Any, *others: Any, **more: Any) -> Any:
        batches = usual(images, labels, encoding, *others, **more)
        assert all(tuple(predictor.labels) == tuple(encoding.names) for predictor in predictors)
        said = np.mean([predictor.run(images[:]).probabilities for predictor in predictors], axis=0)
        return replace(batches, targets=((1 - share) * batches.targets + share * said).astype(np.float32))

    with patch.object(running, "batches_of", softened):
        yield
