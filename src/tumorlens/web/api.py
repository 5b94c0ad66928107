"""The REST API: ``/api/v1``."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import cv2
import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tumorlens.errors import InputError, TumorLensError
from tumorlens.inference import Failure, Prediction, maps
from tumorlens.inference.result import Answer
from tumorlens.labels import title
from tumorlens.pipeline.model import Model
from tumorlens.web.refusals import Refusal
from tumorlens.web.schema import EXAMPLE, Answers, ErrorBody, form, refusals
from tumorlens.web.state import State, state_of
from tumorlens.web.uploads import received

router = APIRouter(prefix="/api/v1", tags=["answers"])


@router.post(
    "/predict",
    summary="Answers for one file or many",
    response_model=Answers,
    responses={
        200: {"content": {"application/json": {"example": EXAMPLE}}, "description": "An entry for each slice."},
        422: {"model": Answers | ErrorBody, "description": "No file could be used, or the form holds none."},
        **refusals(),
    },
    openapi_extra=form(many=True),
)
async def predict(request: Request) -> Response:
    """Name the tumour in each slice of each file.

    Volumes and series add an entry with `"series": true` after their slices. A file that cannot be used is an entry
    with `error`; the status is 200 as long as one could be used.
    """
    state = state_of(request)
    entries: list[dict[str, Any]] = []
    used = False
    with state.admission.one():
        async with (
            received(request, state.options.files) as files,
            aclosing(state.answerer.answers(files)) as answers,
        ):
            async for one in answers:
                count(state, one.answer)
                used = used or not isinstance(one.answer, Failure)
                entries.append(one.answer.as_dict())
                if len(entries) % 64 == 0 and await request.is_disconnected():
                    break
    return json(entries, 200 if used else 422)


@router.post(
    "/predict/map.png",
    summary="Where the model looked, as a picture",
    responses={
        200: {"content": {"image/png": {}}, "description": "The slice with the map over it, and a legend."},
        422: {"model": ErrorBody, "description": "The slice cannot be used, or there is no answer for it."},
        **refusals(),
    },
    response_class=Response,
    openapi_extra=form(many=False),
)
async def predict_map(
    request: Request, frame: Annotated[int, Query(ge=0, le=1_000_000, description="of a volume; 0 is the first")] = 0
) -> Response:
    """The map over the slice as the model saw it: cropped to the head and scaled."""
    state = state_of(request)
    with state.admission.one():
        async with received(request, state.options.files) as files:
            if len(files) > 1:
                raise Refusal(422, "one_file", f"the form has {len(files)} files; a map is of one", "send one file")
            try:
                answer, _ = await state.answerer.first(files[0], frame)
            except TumorLensError as error:
                raise unusable(error) from None
        if answer.predicted is None:
            raise unusable(
                InputError(f"there is no answer for this slice: {answer.reason}", hint="try another", code="no_answer")
            )
        # A network without a map of its own is asked many times for one.
        picture = await state.answerer.in_thread(partial(_map, state.model, answer, answer.predicted))
    return Response(picture, media_type="image/png")


def _map(model: Model, answer: Prediction, predicted: str) -> bytes:
    """The map over the slice, with its caption, as a PNG file."""
    scale = maps.MASK_SCALE if answer.mask is not None else maps.CLASS_SCALE
    caption = f"{title(predicted)} {answer.probabilities[predicted]:.1%}"
    picture = maps.captioned(answer.image, model.map(answer), caption, scale)
    return cv2.imencode(".png", picture)[1].tobytes()


@router.get(
    "/model",
    summary="Which model answers, and how good it is",
    responses=refusals(400, 401),
)
def model(request: Request) -> dict[str, Any]:
    """Name, classes, preprocessing, thresholds, and how often it is right about each class."""
    state = state_of(request)
    info = state.model.info
    return {
        **state.model.predictor.identity,
        "created": info.created,
        "labels": list(info.labels),
        "titles": {name: title(name) for name in info.labels},
        "caution": info.caution,
        "recipe": msgspec.to_builtins(info.recipe),
        "calibration": info.calibration,
        "conformal": info.conformal,
        "selective": info.selective,
        "reliability": {name: asdict(measured) for name, measured in state.measured.items()},
        "intended_use": "Research use only, not a medical device.",
    }


def json(content: Any, status: int = 200) -> Response:
    """Plain data as a JSON answer."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def count(state: State, answer: Answer) -> None:
    """Count an answer in the metrics."""
    verdict = "error" if isinstance(answer, Failure) else answer.verdict or "none"
    state.meters.answers.labels(verdict).inc()


def unusable(error: TumorLensError) -> Refusal:
    """A file that cannot be used, where nothing else was asked."""
    return Refusal(413 if error.code == "too_large" else 422, error.code, error.message, error.hint)
