"""What the OpenAPI document says of requests and answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from tumorlens.web.uploads import FIELD


class Problem(BaseModel):
    """Why something could not be used or was not done."""

    code: str = Field(examples=["corrupt"])
    message: str = Field(examples=["scan.png cannot be read as PNG: it ends early"])
    hint: str = Field(examples=["the file is damaged or not what its name says; export it again"])


class ErrorBody(BaseModel):
    """The body of every refusal."""

    error: Problem


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: str
    sha256: str
    engine: str | None = None


class SliceAnswer(BaseModel):
    """The answer for a slice."""

    id: str
    path: str
    frame: int | None
    predicted: str | None
    probabilities: dict[str, float]
    set: list[str] | None
    verdict: Literal["accepted", "uncertain", "not_brain_mri"] | None
    reason: str | None
    map: str | None
    model: ModelName
    ms: float | None


class SeriesAnswer(SliceAnswer):
    """The answer for a volume or a series; it follows its slices."""

    series: Literal[True]
    slices: list[str]
    answered: list[str]
    supporting: list[str]
    aside: dict[str, int]


class FileFailure(BaseModel):
    """A file that could not be used."""

    path: str
    error: Problem


Answers = list[SeriesAnswer | SliceAnswer | FileFailure]

EXAMPLE: list[dict[str, Any]] = [
    {
        "id": "scan.png",
        "path": "scan.png",
        "frame": None,
        "predicted": "meningioma",
        "probabilities": {"glioma": 0.013, "meningioma": 0.981, "no_tumor": 0.002, "pituitary": 0.004},
        "set": ["meningioma"],
        "verdict": "accepted",
        "reason": None,
        "map": None,
        "model": {"name": "default", "version": "1", "sha256": "0" * 64},
        "ms": 4.6,
    }
]


def form(many: bool) -> dict[str, Any]:
    """The request body: a form with files."""
    file = {"type": "string", "format": "binary", "description": "PNG, JPEG, TIFF, DICOM, NIfTI or .npz"}
    field: dict[str, Any] = {"type": "array", "items": file, "minItems": 1} if many else file
    schema = {"type": "object", "required": [FIELD], "properties": {FIELD: field}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_REFUSALS = {
    400: "The Host header names another server, or the request is damaged.",
    401: "The API key is missing or wrong.",
    403: "A page of another site sent the request.",
    408: "The upload stalled.",
    413: "The upload, a file or an image is too large.",
    415: "The body is not multipart/form-data.",
    503: "There is as much work as the server takes at once; Retry-After says when to come again.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals that an operation may answer with."""
    return {status: {"model": ErrorBody, "description": _REFUSALS[status]} for status in statuses or _REFUSALS}
