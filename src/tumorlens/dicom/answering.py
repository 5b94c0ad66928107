"""From the instances of a series to the objects that say what was answered."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tumorlens.dicom.queue import Instance
from tumorlens.dicom.secondary_capture import secondary_capture
from tumorlens.dicom.structured_report import Evaluated, structured_report, telling
from tumorlens.errors import InputError
from tumorlens.inference import Failure, Prediction, SeriesPrediction
from tumorlens.inference.result import Answer
from tumorlens.io.guard import decoding
from tumorlens.pipeline.model import Model


def objects_of(instances: Sequence[Instance], model: Model) -> dict[str, bytes]:
    """The report about a series and the captures of its key slices.

    Args:
        instances: of one series.
        model: that answers.

    Returns:
        SOP Instance UID → DICOM file format.

    Raises:
        InputError: when no instance could be answered: no MR, localisers, damaged; the commonest reason is its code.
            ``forgotten`` when some were deleted after an earlier answer, and only others came again.
    """
    if not all(one.file.is_file() for one in instances):
        raise InputError(
            "instances of the series were deleted after it had been answered",
            hint="send all of the series again",
            code="forgotten",
        )
    names = {str(one.file): one for one in instances}
    answers = list(model.predict_paths(names))
    slices = [Evaluated(_header(one.path), one) for one in answers if isinstance(one, Prediction)]
    if not slices:
        reasons = Counter(one.error.code for one in answers if isinstance(one, Failure))
        code = reasons.most_common(1)[0][0] if reasons else "empty"
        raise InputError(f"none of {len(instances)} instances could be answered: {code}", code=code)
    series = _whole(answers, model)
    made = [structured_report(slices, series)]
    for number, one in enumerate(telling(slices, series), 1):
        if one.answer.predicted is not None:
            made.append(secondary_capture(one, model.map(one.answer), number))
    return {str(one.SOPInstanceUID): _encoded(one) for one in made}


def _whole(answers: Sequence[Answer], model: Model) -> SeriesPrediction | None:
    """The answer for the series; None for a slice alone, and where a file of several frames could be read in part.

    What :meth:`Model.predict_paths` says of a file of several frames is about that file, and a series may have several.
    """
    slices = [one for one in answers if isinstance(one, Prediction)]
    broken = {one.path for one in answers if isinstance(one, Failure)} & {one.path for one in slices}
    if len(slices) < 2 or broken:
        return None
    whole = model.gathering(slices[0])
    for one in slices:
        whole.add(one)
    return whole.answer()


def _header(path: str) -> Any:
    import pydicom

    with decoding("an instance", "DICOM"):
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)


def _encoded(made: Any) -> bytes:
    file = io.BytesIO()
    made.save_as(file)
    return file.getvalue()
