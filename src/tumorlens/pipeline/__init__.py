"""The public Python API: the few functions that join the rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tumorlens.pipeline.auditing import Audit, audit
    from tumorlens.pipeline.comparing import compare
    from tumorlens.pipeline.crossvalidating import CrossValidation, crossval
    from tumorlens.pipeline.crossvalidating import resume as resume_crossval
    from tumorlens.pipeline.dividing import split
    from tumorlens.pipeline.evaluating import evaluate
    from tumorlens.pipeline.model import Model, load
    from tumorlens.pipeline.training import Run, resume, train
    from tumorlens.pipeline.tuning import Search, tune
    from tumorlens.pipeline.tuning import resume as resume_tune

from tumorlens.pipeline.dataset import read

__all__ = [
    "Audit",
    "CrossValidation",
    "Model",
    "Run",
    "Search",
    "audit",
    "compare",
    "crossval",
    "evaluate",
    "load",
    "read",
    "resume",
    "resume_crossval",
    "resume_tune",
    "split",
    "train",
    "tune",
]

# Public name → module and the name there.
_LATER = {
    "audit": ("auditing", "audit"),
    "Audit": ("auditing", "Audit"),
    "compare": ("comparing", "compare"),
    "crossval": ("crossvalidating", "crossval"),
    "CrossValidation": ("crossvalidating", "CrossValidation"),
    "resume_crossval": ("crossvalidating", "resume"),
    "split": ("dividing", "split"),
    "train": ("training", "train"),
    "resume": ("training", "resume"),
    "Run": ("training", "Run"),
    "tune": ("tuning", "tune"),
    "Search": ("tuning", "Search"),
    "resume_tune": ("tuning", "resume"),
    "evaluate": ("evaluating", "evaluate"),
    "load": ("model", "load"),
    "Model": ("model", "Model"),
}


def __getattr__(name: str) -> Any:
    """Load what needs more than reading on first use."""
    if name not in _LATER:
        raise AttributeError(f"module 'tumorlens.pipeline' has no attribute {name!r}")
    import importlib

    module, own = _LATER[name]
    return getattr(importlib.import_module(f"tumorlens.pipeline.{module}"), own)
