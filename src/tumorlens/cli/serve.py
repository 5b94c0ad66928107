"""``tumorlens serve``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tumorlens.cli.options import MODEL, add_engine, check_port
from tumorlens.errors import MissingExtraError, UsageError


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("--model", metavar="MODEL", help=MODEL)
    add_engine(command)
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    command.add_argument("--port", type=int, default=8000, metavar="N", help="port to listen on (default: 8000)")
    command.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    command.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of one call of the network (default: all)"
    )
    command.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="name that requests may ask by; * allows any"
    )
    command.add_argument("--root-path", default="", metavar="PATH", help="where a proxy shows the server: /tumorlens")
    command.add_argument("--api-key-file", metavar="FILE", help="file with the key that requests must bring")
    command.add_argument("--max-upload", type=int, default=1024, metavar="MIB", help="of one request (default: 1024)")
    command.add_argument("--max-requests", type=int, default=64, metavar="N", help="in work at once (default: 64)")
    command.add_argument("--node", metavar="DIR", help="folder of a dicom-node (its --data), to show on /status")


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    try:
        from tumorlens.web.options import MIB, ServeOptions
        from tumorlens.web.server import listen, serve
    except ModuleNotFoundError as error:
        raise MissingExtraError((error.name or "FastAPI").partition(".")[0], "web") from None
    from tumorlens.dicom.watching import status
    from tumorlens.pipeline.model import load

    for name, least in (("workers", 1), ("threads", 0), ("max_upload", 1), ("max_requests", 1)):
        if getattr(arguments, name) < least:
            raise UsageError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}", hint=f"at least {least}")
    check_port(arguments.port)
    if arguments.root_path and not arguments.root_path.startswith("/"):
        raise UsageError(f"--root-path is {arguments.root_path!r}", hint="it begins with /")
    options = ServeOptions(
        model=arguments.model,
        engine=arguments.engine,
        threads=arguments.threads,
        root_path=arguments.root_path.rstrip("/"),
        api_key=_key(arguments.api_key_file),
        upload_bytes=arguments.max_upload * MIB,
        requests=arguments.max_requests,
        node=Path(arguments.node) if arguments.node else None,
    )
    if options.node is not None:
        status(options.node)  # a wrong folder is told now
    own = () if arguments.host in ("0.0.0.0", "::") else (_shown(arguments.host),)  # noqa: S104 - compared, not used
    options = replace(options, hosts=(*options.hosts, *own, *arguments.allow_host))
    model = load(options.model, threads=options.threads, engine=options.engine)
    with listen(arguments.host, arguments.port) as socket:
        if not arguments.quiet:
            if model.info.caution:
                sys.stderr.write(f"warning: {model.info.caution}\n")
            port = socket.getsockname()[1]
            sys.stderr.write(
                f"{model.info.name} answers at http://{_shown(arguments.host)}:{port}{options.root_path}/\n"
                "Research use only, not a medical device. Stop with Ctrl+C.\n"
            )
        serve(options, model, socket, arguments.workers)
    return 0


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _key(file: str | None) -> str:
    """The API key: the first line of a file. A command line is seen by every user of a machine, a file is not."""
    if file is None:
        return ""
    try:
        key = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the API key from {file}", hint="name a text file of one line") from error
    if len(key.splitlines()) != 1 or not key.isascii() or len(key) < 16:
        raise UsageError(
            f"{file} holds no API key",
            hint="one line of at least 16 ASCII characters, for example: openssl rand -hex 32",
        )
    return key
