"""``tumorlens dicom-node``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from tumorlens.cli.options import MODEL, add_engine, check_port
from tumorlens.errors import UsageError


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("--model", metavar="MODEL", help=MODEL)
    add_engine(command)
    command.add_argument(
        "--data", metavar="DIR", required=True, help="folder of the queue: what was received and is to send"
    )
    command.add_argument("--ae-title", default="TUMORLENS", metavar="AE", help="of this node (default: TUMORLENS)")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    command.add_argument("--port", type=int, default=11112, metavar="N", help="port to listen on (default: 11112)")
    command.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="PLACE",
        help="where results go: AE@host:port, or a DICOMweb address",
    )
    command.add_argument(
        "--from", dest="callers", action="append", default=[], metavar="AE", help="AE title that may send"
    )
    command.add_argument("--from-any", action="store_true", help="let any AE title send")
    command.add_argument(
        "--wait",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds without a new slice that complete a series (default: 10)",
    )
    command.add_argument(
        "--close-on-release",
        action="store_true",
        help="a series is complete when the association that sent it is released",
    )
    command.add_argument("--keep-free", type=int, default=1024, metavar="MIB", help="of the disk (default: 1024)")


def run(arguments: argparse.Namespace) -> int:
    """Receive, answer and send until stopped."""
    from tumorlens.dicom.node import Node, NodeOptions
    from tumorlens.pipeline.model import load

    if bool(arguments.callers) == arguments.from_any:
        raise UsageError(
            "found no --from" if not arguments.callers else "found both --from and --from-any",
            hint="name the AE titles that may send with --from AE, or let all with --from-any",
        )
    if not arguments.to:
        raise UsageError(
            "found no --to", hint="name where results go: --to AE@host:port, or --to https://host/dicom-web"
        )
    check_port(arguments.port)
    if arguments.wait < 0 or arguments.keep_free < 0:
        raise UsageError("found a number below 0", hint="--wait and --keep-free are 0 or more")
    options = NodeOptions(
        Path(arguments.data),
        arguments.ae_title.strip(),
        arguments.host,
        arguments.port,
        tuple(arguments.to),
        tuple(arguments.callers),
        arguments.wait,
        arguments.keep_free << 20,
        arguments.close_on_release,
    )
    model = load(arguments.model, engine=arguments.engine)
    if model.info.caution and not arguments.quiet:
        sys.stderr.write(f"warning: {model.info.caution}\n")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    node = Node(options, model)
    if not arguments.quiet:
        sys.stderr.write(
            f"{options.title} listens at {options.host}:{node.port}, results go to {', '.join(options.destinations)}\n"
            "Research use only, not a medical device. Stop with Ctrl+C.\n"
        )
        sys.stderr.flush()
    stop.wait()
    node.stop()
    return 0
