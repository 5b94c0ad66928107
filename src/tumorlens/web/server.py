"""Running the application: one process, or several that share a socket."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
from functools import partial

import uvicorn
from uvicorn.supervisors import Multiprocess

from tumorlens.errors import EnvironmentFailure
from tumorlens.pipeline.model import Model
from tumorlens.web.app import create_app
from tumorlens.web.options import ServeOptions
from tumorlens.web.protocol import Bounded
from tumorlens.web.telemetry import SHARED, JsonLines


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; 0 lets the system choose the port.

    Raises:
        EnvironmentFailure: when the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EnvironmentFailure(
            f"cannot listen on {host}:{port}: {reason}",
            hint="another program may use the port, or the address is not this machine's: see --host and --port",
        ) from None
    found.set_inheritable(True)
    return found


def serve(options: ServeOptions, model: Model, listening: socket.socket, workers: int = 1) -> None:
    """Serve until told to stop; what is in work is finished first.

    Args:
        options: how the server behaves.
        model: loaded, so that what is wrong with it was said already; more workers than one load their own.
        listening: from :func:`listen`.
        workers: processes.
    """
    log()
    _more_files()
    config = uvicorn.Config(
        partial(_application, options) if workers > 1 else create_app(options, model),
        factory=workers > 1,
        workers=workers,
        root_path=options.root_path,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(options.drain),
        ws="none",
        http=Bounded,
    )
    if workers == 1:
        # Once it has stopped, uvicorn sends itself again what it was told: being told to stop is no failure.
        signal.signal(signal.SIGTERM, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listening])
        return
    with tempfile.TemporaryDirectory(prefix="tumorlens-metrics-") as folder:
        os.environ[SHARED] = folder  # read by prometheus_client in the workers
        Multiprocess(config, sockets=[listening]).run()


def _more_files() -> None:
    """Allow as many open files as this user may have: each large upload is one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def log() -> None:
    """Log as JSON lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.getLogger().handlers = [handler]
    for name in ("tumorlens.web", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)


def _application(options: ServeOptions) -> object:
    log()
    return create_app(options)
