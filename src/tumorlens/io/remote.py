"""GET from a server that is not trusted: bounded in bytes and time, tried again where that may help, never logged."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from tumorlens.errors import EnvironmentFailure, InputError, TumorLensError
from tumorlens.io.guard import extra
from tumorlens.io.limits import too_large

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

#: Seconds before another try; a server may ask for up to ``LONGEST_PAUSE`` (Retry-After).
PAUSES: tuple[float, ...] = (0.5, 2, 8)
LONGEST_PAUSE = 30.0
#: Seconds to connect, of silence, and of one answer in all.
CONNECT, SILENCE, IN_ALL = 10.0, 60.0, 900.0
#: What to check first when a server does not answer as expected.
WHERE = "is this the address of its DICOMweb service, which is often below /dicom-web, /rs or /dicomWeb?"
_BUSY = frozenset({429, 502, 503, 504})
_REDIRECTS = 3
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        kind: its Content-Type, as sent; not checked.
        body: all of it; empty for 204.
    """

    kind: str
    body: bytes = field(repr=False)


class _Temporary(Exception):
    """Another try may help; ``error`` is what to say when none does."""

    def __init__(self, error: TumorLensError, after: float = 0.0) -> None:
        super().__init__()
        self.error, self.after = error, after


class Site:
    """One server; its connections are kept until it is closed, and may be used by several threads.

    Certificates are verified; ``REQUESTS_CA_BUNDLE``, ``~/.netrc`` and ``HTTPS_PROXY`` are heeded by requests itself.
    Redirects are followed on the same scheme, host and port only. No compression is asked for, so none can explode.

    Args:
        token: sent as ``Authorization: Bearer``, or empty.

    Raises:
        MissingExtraError: without requests.
    """

    def __init__(self, token: str = "") -> None:
        with extra("requests", "dicom"):
            import requests
        for name in ("urllib3.connection", "urllib3.connectionpool"):
            logging.getLogger(name).addFilter(_is_not_ours)
        self._session: Session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        if token:
            self._session.auth = _bearer(token)  # as auth, not as a header: ~/.netrc would replace the header

    def __enter__(self) -> Site:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._session.close()

    def get(self, url: str, name: str, *, accept: str, most: int) -> Reply:
        """The answer to a GET.

        Args:
            url: with its query.
            name: what to call it in messages.
            accept: of the header of that name.
            most: bytes of the answer.

        Raises:
            EnvironmentFailure: ``unreachable``: no connection, silence, a server that stays busy; after several tries.
            InputError: ``not_found``, ``no_permission``, ``too_large``; ``bad_answer`` for any other status, and for an
                answer that breaks off at each try.
        """
        for pause in (*PAUSES, None):
            try:
                return self._get(url, name, {"Accept": accept}, most)
            except _Temporary as failed:
                if pause is None:
                    raise failed.error from None
                time.sleep(min(failed.after or pause, LONGEST_PAUSE))
        raise AssertionError  # the last pause is None

    def _get(self, url: str, name: str, headers: Mapping[str, str], most: int) -> Reply:
        for _ in range(_REDIRECTS + 1):
            with _translated(url, name), self._asked(url, headers) as response:
                if response.status_code not in (301, 302, 303, 307, 308):
                    _check_status(response, url, name)
                    return Reply(response.headers.get("Content-Type", ""), _body(response, url, name, most))
                target = urljoin(url, response.headers.get("Location", ""))
            if _origin(target) != _origin(url):
                raise _bad(name, "the server points to another address, which is not followed", "name that address")
            url = target
        raise _bad(name, "the server sends from one address to the next", "check the address")

    def _asked(self, url: str, headers: Mapping[str, str]) -> Response:
        return self._session.get(
            url, headers=dict(headers), stream=True, timeout=(CONNECT, SILENCE), allow_redirects=False
        )


def _body(response: Response, url: str, name: str, most: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _bad(name, "the answer is compressed, which was not asked for", "look at what a proxy does on the way")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large(name, f"{int(length[:20]) / 2**20:.0f} MiB", f"{most / 2**20:.0f} MiB")
    end = time.monotonic() + IN_ALL
    found = bytearray()
    # read1 gives what has come; read would wait until a block is full, however slowly the server fills it.
    while block := response.raw.read1(_BLOCK, decode_content=False):
        found += block
        if len(found) > most:
            raise too_large(name, f"more than {most / 2**20:.0f} MiB", f"{most / 2**20:.0f} MiB")
        if time.monotonic() > end:
            raise _unreachable(url, f"an answer is not complete after {IN_ALL:.0f} s")
    return bytes(found)


def _check_status(response: Response, url: str, name: str) -> None:
    status = response.status_code
    if status in (200, 204):
        return
    if status in _BUSY:
        after = response.headers.get("Retry-After", "")
        raise _Temporary(
            _unreachable(url, f"it answers with HTTP status {status}"), float(after[:9]) if after.isdecimal() else 0.0
        )
    if status in (401, 403):
        raise InputError(
            f"{name}: the server refuses access (HTTP status {status})",
            hint="set TUMORLENS_DICOMWEB_TOKEN, or add the user to ~/.netrc, and check what that user may see",
            code="no_permission",
        )
    if status in (404, 410):
        raise InputError(
            f"{name}: the server has no such thing (HTTP status {status})",
            hint=f"check the UIDs; {WHERE}",
            code="not_found",
        )
    raise _bad(name, f"the server answers with HTTP status {status}", f"its log says why; {WHERE}")


@contextlib.contextmanager
def _translated(url: str, name: str) -> Iterator[None]:
    """Errors of requests and urllib3 as ours; without a cause, because theirs hold the query."""
    import requests
    import urllib3

    error: TumorLensError | _Temporary
    _thread.asking = True
    try:
        yield
        return
    except requests.exceptions.SSLError:
        error = _unreachable(
            url,
            "its certificate cannot be verified",
            "if the hospital signs certificates itself, name its own in REQUESTS_CA_BUNDLE=/path/ca.pem",
        )
    except requests.exceptions.ProxyError:
        error = _Temporary(_unreachable(url, "the proxy does not connect"))
    except requests.exceptions.ConnectTimeout:
        error = _Temporary(_unreachable(url, f"it does not connect within {CONNECT:.0f} s"))
    except (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError):
        error = _Temporary(_unreachable(url, f"it is silent for {SILENCE:.0f} s"))
    except requests.exceptions.ConnectionError:
        error = _Temporary(_unreachable(url, "there is no connection"))
    except urllib3.exceptions.HTTPError:
        error = _Temporary(_bad(name, "the answer breaks off", "look at the server's log"))
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, UnicodeError):
        error = _bad(name, "the address is none", "check the address")
    except requests.exceptions.RequestException as failed:
        error = _bad(name, f"the request failed ({type(failed).__name__})", "check the address and the server")
    except OSError:  # requests' own word for it
        error = _unreachable(
            url, "the certificates cannot be read", "check the path in REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
        )
    finally:
        _thread.asking = False
    raise error from None


def _bearer(token: str) -> Callable[[PreparedRequest], PreparedRequest]:
    def signed(request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return signed


_thread = threading.local()


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Drop what urllib3 logs about a request made here: it holds the query, and that names a patient."""
    return not getattr(_thread, "asking", False)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        found = urlsplit(url)
        return found.scheme, found.hostname, found.port or {"http": 80, "https": 443}.get(found.scheme)
    except ValueError:
        return "", None, None


def _unreachable(url: str, found: str, hint: str = "") -> EnvironmentFailure:
    scheme, host = urlsplit(url)[:2]
    return EnvironmentFailure(
        f"{scheme}://{host} cannot be used: {found}",
        hint=hint or "check the address, the network and whether the server runs; then ask again",
        code="unreachable",
    )


def _bad(name: str, found: str, hint: str) -> InputError:
    return InputError(f"{name}: {found}", hint=hint, code="bad_answer")
