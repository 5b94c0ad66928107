"""Data sets: the manifest, what becomes one, the phantom, and splitting."""

from tumorlens.data.manifest import Manifest, Row, Skipped, join
from tumorlens.data.reading import read

__all__ = ["Manifest", "Row", "Skipped", "join", "read"]
