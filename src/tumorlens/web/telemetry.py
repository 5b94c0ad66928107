"""Request ids, one JSON line of log for each request, and Prometheus metrics; nothing of a file, not even its name."""

from __future__ import annotations

import json
import logging
import os
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tumorlens.web.body import TooSlow
from tumorlens.web.refusals import Refusal

LOGGER = logging.getLogger("tumorlens.web")
#: Set by ``tumorlens serve`` where several processes count together; the name is that of prometheus_client.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
# Whose messages are known to hold nothing of a request; of others only the name is logged.
_OWN = frozenset({LOGGER.name, "uvicorn.error"})
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Meters:
    """The metrics of a server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tumorlens_requests", "Requests by route and status.", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "tumorlens_request_seconds",
            "Time to the end of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.answers = Counter(
            "tumorlens_answers",
            "Answers for slices, by verdict; error for unusable files.",
            ("verdict",),
            registry=self.registry,
        )
        self.batch = Histogram(
            "tumorlens_batch_slices",
            "Slices answered in one call of the network.",
            (),
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.inside = Gauge(
            "tumorlens_requests_in_work", "Requests in work.", registry=self.registry, multiprocess_mode="livesum"
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format, of all workers together."""
        if not os.environ.get(SHARED):
            return bytes(generate_latest(self.registry))
        every = CollectorRegistry()
        multiprocess.MultiProcessCollector(every)
        return bytes(generate_latest(every))


class Telemetry:
    """ASGI middleware: gives every request an id, counts it, and logs one line when it has ended.

    Args:
        app: the next.
        meters: to count with.
    """

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and remember that it was."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex
        scope["request_id"] = name
        begun, status, sent = time.perf_counter(), 500, 0

        async def noted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = name
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "other")  # the path itself could hold anything
            self._meters.requests.labels(route, str(status)).inc()
            self._meters.seconds.labels(route).observe(seconds)
            LOGGER.info(
                "request",
                extra={
                    "fields": {
                        "request": name,
                        "method": scope["method"],
                        "route": route,
                        "status": status,
                        "ms": round(seconds * 1000, 1),
                        "bytes_out": sent,
                    }
                },
            )


class Faults:
    """ASGI middleware, inside of the others: what nobody expected becomes an answer like any other, and a log line.

    Args:
        app: the next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except TooSlow:
            LOGGER.info("client too slow", extra={"fields": {"request": scope.get("request_id")}})
            raise
        except Exception as error:
            LOGGER.error("fault", exc_info=error, extra={"fields": {"request": scope.get("request_id")}})
            if begun or scope["type"] != "http":
                raise
            told = Refusal(500, "internal", "something unexpected happened", "the log of the server says where")
            await told.response()(scope, receive, noted)


class JsonLines(logging.Formatter):
    """Log records as JSON, one a line."""

    def format(self, record: logging.LogRecord) -> str:
        """``{"time", "level", "event", …}``."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if record.name in _OWN else record.name,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # Where it happened, not what the message says: that may hold a file's name.
            told["error"] = record.exc_info[0].__name__
            told["where"] = _where(record.exc_info[2])
        return json.dumps(told, ensure_ascii=False)


def _where(trace: Any) -> list[str]:
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-6:]
