"""WADO-RS: one instance at a time, as it is stored (PS3.18 10.4), and whether it is the one that was asked for.

By instance and not by series: a failure costs one instance, another try repeats one, and memory holds a few.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tumorlens import io
from tumorlens.data.dicomweb.address import Address
from tumorlens.errors import InputError
from tumorlens.io.limits import DEFAULT
from tumorlens.io.multipart import only_part
from tumorlens.io.remote import Site

_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# Besides the file: the marks around it.
_WRAPPING = 1 << 16
_DEFLATED = b"1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class Instance:
    """A DICOM file in memory.

    Attributes:
        name: what it is called in answers.
        content: the file.
        frames: their number, None for a single image.
    """

    name: str
    content: bytes = field(repr=False)
    frames: int | None


def retrieve(site: Site, at: Address) -> Instance:
    """Fetch an instance.

    Args:
        site: the server.
        at: study, series and instance, and the PatientID that it must not contradict.

    Raises:
        EnvironmentFailure: ``unreachable``, ``busy``, ``no_permission``.
        InputError: what the server refuses; ``too_large`` above the limit for what is unpacked into memory;
            ``bad_answer`` for no DICOM file, or another instance than was asked for; ``unsupported`` for a deflated
            one; and as :func:`tumorlens.io.inspect`.
        MissingExtraError: without pydicom.
    """
    reply = site.get(at.url, at.name, accept=_ACCEPT, most=DEFAULT.member_bytes + _WRAPPING)
    content = only_part(reply, at.name)
    if content[128:132] != b"DICM":
        raise InputError(
            f"{at.name}: what the server sends is no DICOM file (PS3.10 7.1)",
            hint="look at the server's log",
            code="bad_answer",
        )
    # Wherever it stands: a megabyte may unpack to a gigabyte, and pydicom unpacks before anything can be looked at.
    if _DEFLATED in content:
        raise InputError(
            f"{at.name} is deflated, which is not taken from a server",
            hint="store it in another transfer syntax, or give it as a file",
            code="unsupported",
        )
    header = io.inspect_bytes(content, at.name)
    other = (header.study, header.series, header.instance) != (at.study, at.series, at.instance)
    patient = [key for key in at.keys if key.name == "PatientID"] if header.patient else []
    if other or not all(key.matches([header.patient]) for key in patient):
        raise InputError(
            f"{at.name}: the server sends another instance than was asked for",
            hint="it is not used, because its answer would go by the wrong name; look at the server's log",
            code="bad_answer",
        )
    return Instance(at.name, content, header.frames)
