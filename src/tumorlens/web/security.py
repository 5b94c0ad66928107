"""Who may ask, and what a browser may do with the answer."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tumorlens.web.refusals import Refusal

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
# What anybody may see where a key is wanted: pages without answers, and what watches the server.
_PUBLIC = frozenset(
    {"/", "/model", "/docs", "/status", "/openapi.json", "/healthz", "/readyz", "/metrics", "/api/v1/status"}
)
_PUBLIC_FOLDERS = ("/static/", "/assets/")


class Security:
    """ASGI middleware: headers of every answer; the Host header, the origin and the key of every request.

    A page of another site can make a browser send requests here (cross-site request forgery), or give its own name this
    server's address (DNS rebinding). The first is known by ``Sec-Fetch-Site``, the second by the Host header.

    Args:
        app: the next.
        hosts: allowed in the Host header, without port.
        api_key: what ``X-API-Key`` or ``Authorization: Bearer`` must hold; empty for none.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], api_key: str) -> None:
        self._app = app
        self._hosts = frozenset(_name(host) for host in hosts)
        self._key = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or turn the request away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            self._check(path, scope["method"], Headers(scope=scope))
        except Refusal as refusal:
            await refusal.response()(scope, receive, secured)
            return
        await self._app(scope, receive, secured)

    def _check(self, path: str, method: str, headers: Headers) -> None:
        host = _name(headers.get("host", ""))
        if "*" not in self._hosts and host not in self._hosts:
            raise Refusal(
                400,
                "host",
                "this server does not go by the name in the Host header",
                "start it with --allow-host NAME, or ask it by the address that it was started with",
            )
        if method not in ("GET", "HEAD", "OPTIONS") and headers.get("sec-fetch-site") == "cross-site":
            raise Refusal(403, "cross_site", "a page of another site sent this request", "ask from this server's page")
        public = path in _PUBLIC or path.startswith(_PUBLIC_FOLDERS)
        if self._key and not public and not hmac.compare_digest(_given(headers), self._key):
            raise Refusal(
                401,
                "api_key",
                "this server wants an API key",
                "send it in the header X-API-Key",
                {"WWW-Authenticate": "Bearer"},
            )


def _given(headers: Headers) -> bytes:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key", token.strip() if kind.lower() == "bearer" else "").encode("latin-1", "replace")


def _name(host: str) -> str:
    """A Host header without its port."""
    name, bracket, _ = host.lower().partition("]")
    return name + bracket if bracket else name.partition(":")[0]
