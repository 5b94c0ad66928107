"""What a running server holds: one model, its queue, its counters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from starlette.requests import Request

from tumorlens.pipeline.model import Model
from tumorlens.web.admission import Admission
from tumorlens.web.answering import Answerer
from tumorlens.web.options import ServeOptions
from tumorlens.web.reliability import Measured, measure
from tumorlens.web.telemetry import Meters


@dataclass
class State:
    """Of one worker."""

    options: ServeOptions
    model: Model
    answerer: Answerer
    admission: Admission
    meters: Meters
    model_page: str | None = None

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """How good the model is at each class; worked out when first asked for."""
        return measure(self.model.predictor.bundle)


def state_of(request: Request) -> State:
    """The server's state, from a request to it."""
    return cast(State, cast(Any, request.app).state.server)
