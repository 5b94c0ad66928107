"""What a server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tumorlens.inference.engines import DEFAULT
from tumorlens.io.limits import Limits

MIB = 1 << 20
# A file's own limits are lower than on the command line: many are read at once, for people who may be strangers.
_LIMITS = Limits(file_bytes=512 * MIB, image_pixels=16_000_000, frames=4_000, file_pixels=64_000_000)


@dataclass(frozen=True)
class ServeOptions:
    """How a server behaves.

    Attributes:
        model: MODEL; the shipped one when None.
        engine: which program runs the network.
        threads: for one call of the network; 0 lets the runtime choose.
        hosts: names that requests may use in their Host header; ``*`` allows any.
        root_path: where a proxy in front shows the server, for example ``/tumorlens``.
        api_key: what requests must bring, or empty for none.
        upload_bytes: of one request.
        files: of one request.
        requests: that are in work at once, in each worker; more are told to come again.
        stalled: seconds without a byte, sent or taken, after which a client is given up.
        drain: seconds that work in flight has to finish when the server is stopped.
        limits: of a file.
        node: folder of a DICOM node to show on ``/status``, or None.
    """

    model: str | None = None
    engine: str = DEFAULT
    threads: int = 0
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    root_path: str = ""
    api_key: str = ""
    upload_bytes: int = 1024 * MIB
    files: int = 5_000
    requests: int = 64
    stalled: float = 30.0
    drain: float = 30.0
    limits: Limits = _LIMITS
    node: Path | None = None
