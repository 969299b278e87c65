"""Live events: server-sent events (WHATWG HTML, 9.2) and WebSocket (RFC 6455)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Header, Query, WebSocket, WebSocketDisconnect
from starlette.requests import Request  # noqa: TC002 - FastAPI reads it off the signature
from starlette.responses import StreamingResponse

from genred.messages import FeedEvent, FeedHealth, FeedState, NodeInfo
from genred.web.hub import LISTENERS, Frame, Listener
from genred.web.live import Page
from genred.web.problem import Problem
from genred.web.protocol import ABORT
from genred.web.schemas import PROBLEMS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from genred.web.hub import Hub
    from genred.web.live import Live

KEEP_ALIVE_S: Final = 15.0
"""A comment this often where nothing happens: proxies end what is silent for a minute, and a
listener that has vanished is noticed by it."""

RETRY_MS: Final = 2000
"""A browser that has lost the stream tries again after so long."""

REQUEST_BYTES: Final = 4096
"""The longest word of a page: the names of the pictures it wants."""

TOPICS: Final = tuple(each.topic for each in (NodeInfo, FeedState, FeedEvent, FeedHealth))

_Feeds = Annotated[
    list[str] | None, Query(alias="feed", description="these feeds alone", max_length=64)
]


def _never() -> None:
    """Abort where there is no connection: in the application's own tests."""


def _abort_of(scope: Any) -> Callable[[], None]:
    found: Callable[[], None] = scope.get(ABORT, _never)
    return found


def _too_many() -> Problem:
    return Problem(
        503, "listeners", f"{LISTENERS} listen already; try again later", {"retry-after": "30"}
    )


def routes(hub: Hub, live: Live) -> APIRouter:
    """``/api/v1/events`` and ``/api/v1/live``."""
    router = APIRouter(prefix="/api/v1", tags=["live"])

    @router.get(
        "/events",
        response_class=StreamingResponse,
        responses=PROBLEMS
        | {
            200: {
                "description": "A stream without end.",
                "content": {
                    "text/event-stream": {
                        "schema": {"type": "string"},
                        "example": 'event: event\nid: 65b9-17\ndata: {"feed":"radio",…}\n\n',
                    }
                },
            }
        },
    )
    async def events(
        request: Request,
        feed: _Feeds = None,
        message: Annotated[
            list[str] | None,
            Query(description=f"these messages alone: {', '.join(TOPICS)}", max_length=8),
        ] = None,
        last_event_id: Annotated[
            str, Header(description="catch up on the events after this one", max_length=64)
        ] = "",
    ) -> StreamingResponse:
        """What happens, as it happens, as server-sent events.

        The event's name is that of the MQTT topic (`info`, `state`, `event`, `health`), its data
        the same JSON. First comes the newest `info`, `state` and `health`. A listener that does
        not keep up is cut off; a browser's EventSource comes back by itself.
        """
        listener = Listener(
            _abort_of(request.scope),
            frozenset(feed) if feed else None,
            frozenset(message) if message else None,
        )
        if not hub.join(listener, last_event_id):
            raise _too_many()
        return StreamingResponse(
            _stream(hub, listener),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    @router.websocket("/live")
    async def watch(websocket: WebSocket, feed: _Feeds = None) -> None:
        """The same messages as JSON objects, their name under ``message``; and ``levels``.

        Who sends ``{"pictures": ["radio"]}`` gets the log-mel ``picture`` of these feeds too.
        """
        listener = Listener(_abort_of(websocket.scope), frozenset(feed) if feed else None, None)
        if not hub.join(listener):
            await websocket.send_denial_response(_too_many().response())
            return
        page = Page(listener)
        try:
            await websocket.accept()
            live.join(page)
            reading = asyncio.create_task(_read(websocket, page))
            try:
                await _write(websocket, listener)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        except (WebSocketDisconnect, OSError):
            pass  # it has gone, which is its right
        finally:
            live.leave(page)
            hub.leave(listener)

    return router


async def _stream(hub: Hub, listener: Listener) -> AsyncIterator[bytes]:
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    frame = await listener.frames.get()
            except TimeoutError:
                yield b":\n\n"
                continue
            if frame is None:
                return
            parts: list[Frame | str | None] = [frame]
            while not listener.frames.empty():
                parts.append(listener.frames.get_nowait())
            yield b"".join(each.sse for each in parts if isinstance(each, Frame))
            if None in parts:
                return
    finally:
        hub.leave(listener)


async def _write(websocket: WebSocket, listener: Listener) -> None:
    while True:
        frame = await listener.frames.get()
        if frame is None:
            await websocket.close(1001)
            return
        await websocket.send_text(frame.text if isinstance(frame, Frame) else frame)


async def _read(websocket: WebSocket, page: Page) -> None:
    """Take what the page wants; when it has gone, so has its queue's end."""
    try:
        while True:
            word = await websocket.receive()
            if word["type"] == "websocket.disconnect":
                return
            text = word.get("text") or ""
            with contextlib.suppress(ValueError, RecursionError):
                wanted = json.loads(text) if len(text) <= REQUEST_BYTES else None
                pictures = wanted.get("pictures") if isinstance(wanted, dict) else None
                if isinstance(pictures, list):
                    page.want([each for each in pictures if isinstance(each, str)])
    finally:
        page.listener.put(None)
