"""tumorlens: train, judge and use a CNN that names the tumour in a brain-MRI slice.

Research use only, not a medical device.

Everything public is here; names are loaded on first use, so that ``import tumorlens`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# ONNX Runtime reports to its maker unless this is set before it loads; from a hospital nothing is to be reported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_PUBLIC = {
    "read": "tumorlens.pipeline",
    "train": "tumorlens.pipeline",
    "evaluate": "tumorlens.pipeline",
    "load": "tumorlens.pipeline",
    "split": "tumorlens.pipeline",
    "Settings": "tumorlens.config",
    "Manifest": "tumorlens.data.manifest",
    "Row": "tumorlens.data.manifest",
    "Slice": "tumorlens.io.slice",
    "TumorLensError": "tumorlens.errors",
}

__all__ = [
    "Manifest",
    "Row",
    "Settings",
    "Slice",
    "TumorLensError",
    "__version__",
    "evaluate",
    "load",
    "read",
    "split",
    "train",
]

if TYPE_CHECKING:
    from tumorlens.config import Settings
    from tumorlens.data.manifest import Manifest, Row
    from tumorlens.errors import TumorLensError
    from tumorlens.io.slice import Slice
    from tumorlens.pipeline import evaluate, load, read, split, train


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'tumorlens' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
