"""Sending results: C-STORE to an application entity (PS3.4 annex B), or STOW-RS to a web server (PS3.18 10.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tumorlens.dicom.places import Peer, place
from tumorlens.dicom.queue import Sending
from tumorlens.io.guard import extra, quiet

_SECONDS = 15
# Status codes of C-STORE that mean the object was taken: success and warnings (PS3.4 table B.2-1).
_TAKEN = frozenset({0x0000, 0xB000, 0xB006, 0xB007})


def send(destination: str, objects: Sequence[Sending], title: str) -> Iterator[tuple[Sending, str]]:
    """Send objects to one destination.

    Args:
        destination: as :func:`tumorlens.dicom.places.place` reads it.
        objects: all to that destination.
        title: AE title of this node.

    Yields:
        Each as soon as that is known, with why it was not taken; empty when it was.

    Raises:
        MissingExtraError: without pynetdicom, or dicomweb-client for a web server.
    """
    where = place(destination)
    with quiet():
        yield from _stow(where, objects) if isinstance(where, str) else _store(where, objects, title)


def _store(peer: Peer, objects: Sequence[Sending], title: str) -> Iterator[tuple[Sending, str]]:
    with extra("pynetdicom", "dicom"):
        from pynetdicom import AE
        from pynetdicom.sop_class import (  # type: ignore[attr-defined]
            ComprehensiveSRStorage,
            SecondaryCaptureImageStorage,
        )
    entity = AE(ae_title=title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _SECONDS
    entity.connection_timeout = _SECONDS
    for context in (ComprehensiveSRStorage, SecondaryCaptureImageStorage):
        entity.add_requested_context(context)
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        reason = "refused" if association.is_rejected else "no_connection"
        yield from ((one, reason) for one in objects)
        return
    try:
        for one in objects:
            yield one, _stored(association, one.file)
    finally:
        association.release()


def _stored(association: Any, file: Path) -> str:
    """Send one object; empty, or why it was not taken."""
    try:
        status = association.send_c_store(str(file))
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        return type(error).__name__
    code = status.get("Status") if status else None
    return "" if code in _TAKEN else "no_answer" if code is None else f"status_{code:04X}"


def _stow(url: str, objects: Sequence[Sending]) -> Iterator[tuple[Sending, str]]:
    with extra("dicomweb-client", "dicom"):
        import requests
        from dicomweb_client.api import DICOMwebClient
    import pydicom

    with requests.Session() as session:
        session.request = partial(session.request, timeout=_SECONDS)  # type: ignore[method-assign]
        client = DICOMwebClient(url, session=session)
        client.set_http_retry_params(retry=False)  # the queue tries again
        for number, one in enumerate(objects):
            try:
                found = client.store_instances([pydicom.dcmread(one.file)])
            except (requests.ConnectionError, requests.Timeout):
                yield from ((other, "no_connection") for other in objects[number:])
                return
            except (requests.RequestException, OSError, ValueError) as error:
                yield one, type(error).__name__
                continue
            yield one, "refused" if found.get("FailedSOPSequence") else ""
