"""A bundle: the only thing that is deployed. Written, checked, loaded and described here."""

from tumorlens.bundle.info import SCHEMA, BundleInfo, slice_hash
from tumorlens.bundle.load import Bundle, find, load
from tumorlens.bundle.write import write_bundle

__all__ = ["SCHEMA", "Bundle", "BundleInfo", "find", "load", "slice_hash", "write_bundle"]
