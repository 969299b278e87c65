"""uvicorn's protocols, bounded: how many connect, how long a head takes, how much waits unread."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from genred.web.hub import dumps
from genred.web.problem import MEDIA_TYPE

if TYPE_CHECKING:
    import asyncio

CONNECTIONS: Final = 500
"""Connections at once; the service may have 1,024 descriptors open, and needs some for itself."""

HEAD_S: Final = 10.0
"""A request's head arrives at once, or is sent by somebody who wants to hold a connection."""

LINGER_S: Final = 3.0
"""Who is refused in the middle of an upload may go on sending for so long, and is then dropped:
closed at once, the connection would be reset, and the refusal with it."""

UNREAD_BYTES: Final = 64 * 1024
"""What waits in this process for a client that does not read, before its queue fills."""

SOCKET_BYTES: Final = 64 * 1024
"""And in the kernel, which would take megabytes. It doubles the number."""

ABORT: Final = "genred.abort"
"""Where in a request's scope the function lies that drops its connection without waiting."""


class BoundedHttp(H11Protocol):
    """One connection that speaks HTTP/1.1."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        app = self.app

        async def with_abort(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, ABORT: transport.abort}, receive, send)

        self.app = with_abort
        self._head_timer = self.loop.call_later(HEAD_S, self._no_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tidy up."""
        super().connection_lost(exc)
        if self._head_timer is not None:
            self._head_timer.cancel()

    def on_response_complete(self) -> None:
        """See that an upload that was answered before its end has one."""
        cycle = self.cycle
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(LINGER_S, self._no_end, cycle)

    def _no_end(self, cycle: object) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def _no_head(self) -> None:
        if self.scope is None:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is answered like everything else that is wrong."""
        body = dumps({"type": "about:blank", "title": "Bad Request", "status": 400, "detail": msg})
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        self.transport.close()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection that speaks WebSocket."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from HTTP."""
        super().connection_made(transport)
        app = self.config.loaded_app

        async def with_abort(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, ABORT: self.transport.abort}, receive, send)

        self.app = with_abort
