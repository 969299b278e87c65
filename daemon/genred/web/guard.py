"""What every request passes before anything is done for it, and what every answer carries.

The dangers are of three kinds. A page of a stranger's, open in a browser on this machine, can
send requests to it: by the name of its own that it has pointed here (DNS rebinding), which the
Host header shows, or across origins, which the Origin header shows. And who may ask at all is
for :class:`genred.web.auth.Gate` to say.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from genred.web.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from genred.settings.web import WebSettings
    from genred.web.auth import Gate

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""

PUBLIC: Final = ("/", "/healthz", "/readyz", "/api/v1/session", "/api/v1/openapi.json")
"""What is answered without the token: the page, which holds nothing before somebody has logged
in, the login, whether all is well, and what the API looks like."""

PUBLIC_FOLDER: Final = "/page/"

HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Nothing of the page comes from elsewhere, nobody frames it, no other origin reads an answer."""


def hostname(netloc: str) -> str:
    """The host of ``host:port``, without brackets, in lower case; empty where there is none."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Guard:
    """Middleware around the whole app.

    ``count`` is told of each answer: method, route, status and seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        settings: WebSettings,
        count: Callable[[str, str, int, float], None],
    ) -> None:
        self._app = app
        self._gate = gate
        self._count = count
        # With a token a strange name does no harm: the browser has no cookie for it.
        any_name = not (gate.open or settings.here_alone)
        names = {"localhost", "127.0.0.1", "::1", settings.host.lower()}
        names |= {settings.name.lower()} if settings.name else set()
        self._names = None if any_name else names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # The page's files are asked for anew each time, and sent anew when they changed.
                static = scope["path"].startswith(PUBLIC_FOLDER)
                headers.setdefault("cache-control", "no-cache" if static else "no-store")
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            self._check(scope)
        except Problem as refusal:
            await refusal.response()(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)
        finally:
            method = scope.get("method", "GET")
            route = getattr(scope.get("route"), "path", "")
            self._count(method, route, status, time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._names is not None and hostname(host) not in self._names:
            raise Problem(
                421, "host", "this name is not answered; set web.name to it if it should be"
            )
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            self._same_origin(headers, host)
        path = scope["path"]
        if path in PUBLIC or path.startswith(PUBLIC_FOLDER):
            return
        if not self._gate.admits(headers.get("authorization", ""), headers.get("cookie", "")):
            raise Problem(
                401,
                "token",
                "show the token: Authorization: Bearer TOKEN",
                {"www-authenticate": 'Bearer realm="genred"'},
            )

    def _same_origin(self, headers: Headers, host: str) -> None:
        origin = headers.get("origin")
        if origin is None:
            foreign = headers.get("sec-fetch-site", "") in {"cross-site", "same-site"}
        else:
            foreign = urlsplit(origin).netloc.lower() != host.lower() or not host
        if foreign:
            raise Problem(403, "origin", "pages of other origins may not do this")
