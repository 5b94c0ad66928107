"""The public Python API: the few functions that join the rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tumorlens.pipeline.auditing import Audit, audit
    from tumorlens.pipeline.comparing import compare
    from tumorlens.pipeline.dividing import split
    from tumorlens.pipeline.evaluating import evaluate
    from tumorlens.pipeline.model import Model, load
    from tumorlens.pipeline.training import Run, resume, train

from tumorlens.pipeline.dataset import read

__all__ = ["Audit", "Model", "Run", "audit", "compare", "evaluate", "load", "read", "resume", "split", "train"]

_LATER = {
    "audit": "auditing",
    "Audit": "auditing",
    "compare": "comparing",
    "split": "dividing",
    "train": "training",
    "resume": "training",
    "Run": "training",
    "evaluate": "evaluating",
    "load": "model",
    "Model": "model",
}


def __getattr__(name: str) -> Any:
    """Load what needs more than reading on first use."""
    if name not in _LATER:
        raise AttributeError(f"module 'tumorlens.pipeline' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"tumorlens.pipeline.{_LATER[name]}"), name)
