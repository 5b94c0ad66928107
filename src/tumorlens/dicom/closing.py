"""What a sender says about which instances a study holds: an Instance Availability Notification (PS3.4 annex R)."""

from __future__ import annotations

from typing import Any

from tumorlens.dicom.uids import is_uid


def announced(notification: Any) -> dict[str, set[str]]:
    """The series that a notification lists, each with its instances.

    Args:
        notification: data set of the N-CREATE request.

    Returns:
        Series Instance UID → SOP Instance UIDs. What names no instance is left out: it would say nothing; so is what is
        no UID.
    """
    found: dict[str, set[str]] = {}
    for series in notification.get("ReferencedSeriesSequence") or []:
        uid = str(series.get("SeriesInstanceUID") or "")
        instances = {
            str(one.get("ReferencedSOPInstanceUID") or "") for one in series.get("ReferencedSOPSequence") or []
        }
        if is_uid(uid) and instances and all(map(is_uid, instances)):
            found.setdefault(uid, set()).update(instances)
    return found
