"""The only code that opens foreign bytes.

Raster images, DICOM, NIfTI, MATLAB v7.3, ``.npz`` arrays and zip members all become
:class:`~tumorlens.io.slice.Slice`. Whatever is wrong with a file is an :class:`~tumorlens.errors.InputError` with a
code, never a decoder's own exception, warning or output, and its size is checked before it is decoded.
"""

from tumorlens.io.archive import Member
from tumorlens.io.cache_dir import cache_dir
from tumorlens.io.facts import FileFacts, file_facts
from tumorlens.io.files import (
    digest,
    frame_count,
    inspect,
    inspect_bytes,
    kind_of,
    read,
    read_bytes,
    read_slice,
    stream_bytes,
)
from tumorlens.io.inspecting import Header
from tumorlens.io.limits import Limits
from tumorlens.io.masks import read_mask
from tumorlens.io.members import members
from tumorlens.io.slice import Slice, slice_id

__all__ = [
    "FileFacts",
    "Header",
    "Limits",
    "Member",
    "Slice",
    "cache_dir",
    "digest",
    "file_facts",
    "frame_count",
    "inspect",
    "inspect_bytes",
    "kind_of",
    "members",
    "read",
    "read_bytes",
    "read_mask",
    "read_slice",
    "slice_id",
    "stream_bytes",
]
