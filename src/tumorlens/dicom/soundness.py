"""Whether an object is an image that is all there: only such is de-identified."""

from __future__ import annotations

from typing import Any

from tumorlens.dicom.exposing import PLAIN
from tumorlens.errors import InputError
from tumorlens.io.content import Content
from tumorlens.io.dicom import PIXELS
from tumorlens.io.dicom_codecs import PLUGINS, check_code_streams, cut_off


def check_image(content: Content, dataset: Any) -> None:
    """Refuse what is no image, or of no kind or compression that DICOM defines.

    Args:
        content: the file, for messages.
        dataset: of pydicom, with its transfer syntax.

    Raises:
        InputError: ``truncated``; ``not_an_image`` for documents, reports, directories; ``unsupported``.
    """
    from pydicom.uid import AllTransferSyntaxes  # a list that no other package adds to, unlike pydicom's dictionary

    if not len(dataset):
        raise cut_off(content)
    if not any(name in dataset for name in PIXELS) or "EncapsulatedDocument" in dataset:
        raise InputError(
            f"{content.name} holds no image, or a document", hint="only images are taken", code="not_an_image"
        )
    kind = dataset.get("SOPClassUID")
    defined = str(kind) in PLAIN or getattr(kind, "type", "") == "SOP Class"
    if not defined or dataset.file_meta.TransferSyntaxUID not in AllTransferSyntaxes:
        raise InputError(
            f"{content.name} is of a kind or a compression that is not known here",
            hint="export it as a standard image, uncompressed",
            code="unsupported",
        )


def check_pixels(content: Content, dataset: Any) -> None:
    """Refuse pixels that are cut off, and remove what follows uncompressed ones, whose length is known.

    Raises:
        InputError: ``truncated``; for JPEG of any kind as :func:`tumorlens.io.dicom_codecs.check_code_streams`.
    """
    from pydicom.pixels.utils import get_expected_length

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        if syntax in PLUGINS:
            check_code_streams(content, dataset, syntax)
        return
    for name in PIXELS:
        if name in dataset:
            length = get_expected_length(dataset)
            if len(dataset[name].value) < length:
                raise cut_off(content)
            dataset[name].value = dataset[name].value[: length + length % 2]
