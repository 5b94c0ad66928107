"""GET from a server that is not trusted: bounded in bytes and time, tried again where that may help, never logged."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tumorlens.errors import EnvironmentFailure, InputError, TumorLensError
from tumorlens.io.guard import extra
from tumorlens.io.limits import too_large

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

#: Seconds before another try; a server may ask for up to ``LONGEST_PAUSE`` (Retry-After).
PAUSES: tuple[float, ...] = (0.5, 2, 8)
LONGEST_PAUSE = 30.0
#: Seconds to connect, of silence, and of one request in all.
CONNECT, SILENCE, IN_ALL = 10.0, 60.0, 900.0
#: What to check first when a server does not answer as expected.
WHERE = "is this the address of its DICOMweb service, which is often below /dicom-web, /rs or /dicomWeb?"
_BUSY = frozenset({429, 502, 503, 504})
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

    @property
    def media_type(self) -> str:
        """Its Content-Type without parameters, in lower case."""
        return self.kind.partition(";")[0].strip().lower()


class _Temporary(Exception):
    """Another try may help; ``error`` is what to say when none does."""

    def __init__(self, error: TumorLensError, after: float = 0.0) -> None:
        super().__init__()
        self.error, self.after = error, after


class Site:
    """One server; its connections are kept until it is closed, and may be used by several threads.

    Certificates are verified; ``REQUESTS_CA_BUNDLE``, ``~/.netrc`` and ``HTTPS_PROXY`` are heeded by requests itself.
    Redirects are not followed, cookies not kept, and no compression is asked for, so that none can explode.

    Args:
        token: sent as ``Authorization: Bearer``, or empty.
        direct: no proxy is asked, whatever the environment says.

    Raises:
        MissingExtraError: without requests.
    """

    def __init__(self, token: str = "", *, direct: bool = False) -> None:
        with extra("requests", "dicom"):
            import requests  # noqa: F401 - whether it is there
        for name in ("urllib3.connection", "urllib3.connectionpool"):
            logging.getLogger(name).addFilter(_is_not_ours)
        self._over = threading.Event()
        self._sockets: dict[int, Any] = {}  # what each thread has asked through last
        self._direct = direct
        self._session = _session(self._asking)
        if token:
            self._session.auth = _bearer(token)  # as auth, not as a header: ~/.netrc would replace the header

    def __enter__(self) -> Site:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections; a thread that waits for an answer or for another try goes on at once."""
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """Break off whatever is being asked, and ask nothing more."""
        self._over.set()
        for one in list(self._sockets.values()):
            with contextlib.suppress(OSError, AttributeError):
                one.shutdown(socket.SHUT_RDWR)

    def get(self, url: str, name: str, *, accept: str, most: int) -> Reply:
        """The answer to a GET.

        Args:
            url: with its query.
            name: what to call it in messages.
            accept: of the header of that name.
            most: bytes of the answer.

        Raises:
            EnvironmentFailure: after several tries ``unreachable``: no connection, silence; ``busy``: HTTP status 429,
                502, 503, 504. At once ``no_permission``: HTTP status 401; ``unreachable``, and nothing more is asked:
                an answer that takes longer than ``IN_ALL``.
            InputError: ``not_found``, ``no_permission``, ``too_large``; ``bad_answer`` for any other status, and for an
                answer that breaks off at each try.
        """
        for pause in (*PAUSES, None):
            self._check_time(url)
            try:
                return self._get(url, name, accept, most)
            except _Temporary as failed:
                if pause is None or self._over.wait(min(failed.after or pause, LONGEST_PAUSE)):
                    raise failed.error from None
        raise AssertionError  # the last pause is None

    def _get(self, url: str, name: str, accept: str, most: int) -> Reply:
        # A time-out of the socket begins again with every byte: with headers, chunks and trailers there is no end.
        late = threading.Timer(IN_ALL, self.stop)
        late.daemon = True
        late.start()
        try:
            with _translated(url, name), self._asked(url, accept) as response:
                _check_status(response, name)
                return Reply(response.headers.get("Content-Type", ""), _body(response, name, most))
        finally:
            late.cancel()
            self._check_time(url)

    def _check_time(self, url: str) -> None:
        if self._over.is_set():
            raise _unreachable(url, f"an answer is not complete after {IN_ALL:.0f} s") from None

    def _asked(self, url: str, accept: str) -> Response:
        return self._session.get(
            url,
            headers={"Accept": accept},
            stream=True,
            timeout=(CONNECT, SILENCE),
            allow_redirects=False,
            proxies={"no_proxy": str(urlsplit(url).hostname)} if self._direct else None,
        )

    def _asking(self, through: Any) -> None:
        self._sockets[threading.get_ident()] = getattr(through, "socket", through)  # TLS inside that to a proxy
        if self._over.is_set():
            self.stop()


def _session(asking: Callable[[Any], None]) -> Session:
    """A session of requests without what it does unasked; ``asking`` is told the socket of every request."""
    import requests

    def told(kind: Any) -> Any:
        class Told(kind):  # type: ignore[misc]
            def request(self, *args: Any, **given: Any) -> None:
                try:
                    super().request(*args, **given)
                finally:
                    asking(self.sock)

        return Told

    class Adapter(requests.adapters.HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **given: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **given)
            if "ConnectionCls" not in vars(pool):
                pool.ConnectionCls = told(pool.ConnectionCls)
            return pool

    class Plain(requests.Session):
        def get_redirect_target(self, resp: Response) -> None:
            """None: requests would read all of the body before it says where to go."""

    session = Plain()
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter())
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "identity"
    return session


def _body(response: Response, name: str, most: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _bad(name, "the answer is compressed, which was not asked for", "look at what a proxy does on the way")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large(name, f"{int(length[:20]) / 2**20:.0f} MiB", f"{most / 2**20:.0f} MiB")
    found = bytearray()
    # read1 gives what has come, so that the limit is seen in time.
    while block := response.raw.read1(_BLOCK, decode_content=False):
        found += block
        if len(found) > most:
            raise too_large(name, f"more than {most / 2**20:.0f} MiB", f"{most / 2**20:.0f} MiB")
    return bytes(found)


def _check_status(response: Response, name: str) -> None:
    status = response.status_code
    if status in (200, 204):
        return
    if status in _BUSY:
        after = response.headers.get("Retry-After", "")
        said = f"{name}: the server answers with HTTP status {status}, again and again"
        error = EnvironmentFailure(said, hint="ask again later", code="busy")
        raise _Temporary(error, float(after[:9]) if after.isdecimal() else 0.0)
    if status in (401, 403):
        # 401 is about who asks, and so about all that follows: tokens live for minutes.
        raise (EnvironmentFailure if status == 401 else InputError)(
            f"{name}: the server refuses access (HTTP status {status})",
            hint="set TUMORLENS_DICOMWEB_TOKEN, or add the user to ~/.netrc, and check what that user may see",
            code="no_permission",
        )
    if 300 <= status < 400:
        raise _bad(
            name,
            f"the server points to another address (HTTP status {status}), which is not followed",
            "look in a browser where it leads, and name that: it is often https:// instead of http://",
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
    except (TumorLensError, _Temporary):
        raise
    except requests.exceptions.SSLError:
        error = _unreachable(
            url,
            "there is no encrypted connection, as a rule because its certificate cannot be verified",
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
    except Exception as failed:  # noqa: BLE001 - on hostile bytes anything at all may be raised
        error = _bad(name, f"the request failed ({type(failed).__name__})", "check the address and the server")
        if isinstance(failed, OSError) and not isinstance(failed, requests.exceptions.RequestException):
            # requests' own word for it
            hint = "check the path in REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
            error = _unreachable(url, "the certificates cannot be read", hint)
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


def _unreachable(url: str, found: str, hint: str = "") -> EnvironmentFailure:
    scheme, host = urlsplit(url)[:2]
    return EnvironmentFailure(
        f"{scheme}://{host} cannot be used: {found}",
        hint=hint or "check the address, the network and whether the server runs; then ask again",
        code="unreachable",
    )


def _bad(name: str, found: str, hint: str) -> InputError:
    return InputError(f"{name}: {found}", hint=hint, code="bad_answer")
