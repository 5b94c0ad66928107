"""Answers as a DICOM structured report: TID 1500 Measurement Report in a Comprehensive SR (PS3.16, PS3.3 A.35.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tumorlens import __version__
from tumorlens.dicom import codes
from tumorlens.dicom.headers import clean
from tumorlens.dicom.uids import uid_of
from tumorlens.errors import UsageError
from tumorlens.inference import Prediction, SeriesPrediction
from tumorlens.io.guard import extra
from tumorlens.labels import NO_TUMOR

#: Slices that a report speaks of one by one.
KEY_SLICES = 3
_NUMBER = 9100  # of the series that a report is put into
_MAKER = "tumorlens"


@dataclass(frozen=True)
class Evaluated:
    """A slice that was answered.

    Attributes:
        header: the data set of its instance; pixels are not needed.
        answer: for it; ``frame`` counts from 0.
    """

    header: Any
    answer: Prediction


def structured_report(slices: Sequence[Evaluated], series: SeriesPrediction | None = None) -> Any:
    """The report about the slices of one series.

    It says which algorithm answered (name, version, SHA-256 of the bundle), and for the series as a whole and its most
    telling slices: class, conformal set, verdict and probabilities, with references to the images that they stand on.
    What is refused as no brain MRI has a verdict and nothing else. The document is neither complete nor verified: a
    person has to do that.

    Args:
        slices: of one series, in the order in which they lie; at least one.
        series: the answer for all of them, where there is one.

    Returns:
        ``highdicom.sr.ComprehensiveSR``. Its SOP Instance UID depends on images, model and answers alone.

    Raises:
        UsageError: without slices, or when they are of several series.
        MissingExtraError: without highdicom.
    """
    if not slices:
        raise UsageError("a report needs at least one slice")
    if len({str(one.header.SeriesInstanceUID) for one in slices}) > 1:
        raise UsageError("the slices are of several series", hint="write a report for each")
    with extra("highdicom", "dicom"):
        from highdicom.sr import (
            ComprehensiveSR,
            DeviceObserverIdentifyingAttributes,
            MeasurementReport,
            ObservationContext,
            ObserverContext,
        )
        from pydicom.sr.codedict import codes as standard
    identity = slices[0].answer.model
    evidence = list({str(one.header.SOPInstanceUID): clean(one.header) for one in slices}.values())
    told = [f"{name}={value:.9f}" for one in slices for name, value in one.answer.probabilities.items()]
    key = (identity["sha256"], *(str(header.SOPInstanceUID) for header in evidence), *told)
    observer = DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", identity["sha256"]),
        name=_MAKER,
        manufacturer_name=_MAKER,
        model_name=identity["name"],
        serial_number=__version__,
    )
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(standard.DCM.Device, observer_identifying_attributes=observer)
        ),
        procedure_reported=codes.imaging_procedure(),
        imaging_measurements=[
            *([_of_series(series, slices)] if series else []),
            *map(_of_slice, telling(slices, series)),
        ],
        title=codes.measurement_report(),
        referenced_images=_described(evidence) or None,
    )
    return ComprehensiveSR(
        evidence=evidence,
        content=content[0],
        series_instance_uid=uid_of("report series", *key),
        series_number=_NUMBER,
        sop_instance_uid=uid_of("report", *key),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=identity["name"],
        software_versions=__version__,
        device_serial_number=identity["sha256"][:16],
        series_description="tumorlens: research use only",
    )


def _described(evidence: Sequence[Any]) -> list[Any]:
    """The images whose headers hold what the image library of a report says of each (TID 1602): it is optional."""
    from highdicom.sr import ImageLibrary

    found = []
    for header in evidence:
        try:
            ImageLibrary([header])
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):
            continue
        found.append(header)
    return found


def telling(slices: Sequence[Evaluated], series: SeriesPrediction | None) -> list[Evaluated]:
    """The slices to look at first.

    Of those that have a part in the answer for the series (no derived images), the ones that say most for the tumour
    that it names; where it names none, the most suspicious ones. Without an answer, those that the model is surest of.
    """
    among = set(series.answered) if series else set()
    answered = [one for one in slices if one.answer.predicted is not None and (not among or one.answer.id in among)]
    if series is None or series.predicted is None:
        ordered = sorted(answered, key=lambda one: -max(one.answer.probabilities.values()))
    elif series.predicted == NO_TUMOR:
        ordered = sorted(answered, key=lambda one: one.answer.probabilities[NO_TUMOR])
    else:
        named = series.predicted
        ordered = sorted(answered, key=lambda one: -one.answer.probabilities[named])
    return (ordered or list(slices))[:KEY_SLICES]


def _of_series(series: SeriesPrediction, slices: Sequence[Evaluated]) -> Any:
    chosen = set(series.supporting or series.slices)
    return _group("Whole series", "series", series, [one for one in slices if one.answer.id in chosen])


def _of_slice(one: Evaluated) -> Any:
    frame = "" if one.answer.frame is None else f"#{one.answer.frame + 1}"
    return _group("Key slice", f"{one.header.SOPInstanceUID}{frame}", one.answer, [one])


def _group(name: str, of: str, answer: Prediction | SeriesPrediction, images: Sequence[Evaluated]) -> Any:
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        TrackingIdentifier,
    )

    identity = answer.model
    said = [QualitativeEvaluation(codes.verdict(), codes.verdict_of(answer.verdict))]
    measured = []
    if answer.predicted is not None:
        said.append(QualitativeEvaluation(codes.result(), codes.class_of(answer.predicted)))
        said += [QualitativeEvaluation(codes.in_set(), codes.class_of(each)) for each in answer.set or ()]
        measured = [
            Measurement(codes.probability(each), round(value, 6), codes.no_units())
            for each, value in answer.probabilities.items()
        ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uid_of("tracking", identity["sha256"], str(images[0].header.SeriesInstanceUID), of), identifier=name
        ),
        algorithm_id=AlgorithmIdentification(
            name=f"tumorlens {identity['name']}",
            version=f"{identity['version']} (tumorlens {__version__})",
            parameters=[f"{key}={value}" for key, value in identity.items() if key in ("sha256", "engine")],
        ),
        finding_sites=[FindingSite(codes.brain())],
        qualitative_evaluations=said,
        measurements=measured,
        source_images=_references(images),
    )


def _references(images: Sequence[Evaluated]) -> list[Any]:
    """The images of a group: an instance once, with the frames that are meant."""
    from highdicom.sr import SourceImageForMeasurementGroup

    frames: dict[str, tuple[Any, list[int]]] = {}
    for one in images:
        _, numbers = frames.setdefault(str(one.header.SOPInstanceUID), (one.header, []))
        if one.answer.frame is not None:
            numbers.append(one.answer.frame + 1)  # DICOM counts from 1
    return [
        SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, sorted(numbers) or None)
        for header, numbers in frames.values()
    ]
