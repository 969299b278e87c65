"""From the engine's thread to everybody who listens over HTTP, and never back.

A message is written out once, however many listen. Each listener has a bounded queue; one that
does not keep up is cut off rather than waited for, and may come back: it is then told the state
of things anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from genred.messages import FeedEvent, FeedHealth, FeedScores, FeedState, NodeInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from genred.messages import Message

log = logging.getLogger("genred.web")

QUEUE: Final = 256
"""Messages that wait for one listener: minutes of a busy node, some 100 kB."""

LISTENERS: Final = 400
"""Listeners at once, of both kinds; the service may have 1,024 descriptors open."""

WAITING: Final = 5000
"""Messages on their way from the engine: the loop takes them within milliseconds, or hangs."""

RECENT: Final = 500
"""Events that a listener who comes back can catch up on."""

RETAINED: Final = (NodeInfo, FeedState, FeedHealth)
"""Of these the newest word counts; a new listener hears it first."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message as it is sent."""

    topic: str
    feed: str
    id: str
    sse: bytes
    """As a server-sent event."""
    text: str
    """As a JSON object with the topic under ``message``, for WebSocket."""


class Listener:
    """One who listens, to ``feeds`` and ``topics`` or, where they are None, to all."""

    def __init__(
        self, abort: Callable[[], None], feeds: frozenset[str] | None, topics: frozenset[str] | None
    ) -> None:
        self.frames: asyncio.Queue[Frame | str | None] = asyncio.Queue(QUEUE)
        """What to send; text goes as it is, None is the end."""
        self._abort = abort
        self._feeds = feeds
        self._topics = topics

    def wants(self, frame: Frame) -> bool:
        """Is this one of those that it has asked for."""
        return (self._topics is None or frame.topic in self._topics) and (
            self._feeds is None or not frame.feed or frame.feed in self._feeds
        )

    def put(self, frame: Frame | str | None) -> bool:
        """Hand it over; False where the listener does not keep up, and is cut off by that."""
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            self._abort()
            return False
        return True


class Hub:
    """Hands messages on. :meth:`offer` is for any thread, all else for the loop's."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Message] = deque(maxlen=WAITING)
        self._woken = False
        self._retained: dict[tuple[str, str], Frame] = {}
        self._recent: deque[Frame] = deque(maxlen=RECENT)
        self._listeners: set[Listener] = set()
        self._number = 0
        self._run = ""
        self._closed = False
        self.cut_off = 0
        """Listeners that did not keep up."""
        self.events: Counter[tuple[str, str]] = Counter()
        """Events so far, by feed and type."""

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def open(self, loop: asyncio.AbstractEventLoop, run: str) -> None:
        """Hand on to ``loop`` from now on; ``run`` tells this start of the daemon from others."""
        self._loop, self._run = loop, run
        self._deliver()

    def close(self) -> None:
        """No more of it: all listeners are told of the end."""
        self._closed = True
        for listener in self._listeners:
            listener.put(None)

    def offer(self, message: Message) -> None:
        """Take a message from any thread; never waits."""
        if isinstance(message, FeedScores):
            return
        self._waiting.append(message)
        loop = self._loop
        if loop is not None and not self._woken:
            self._woken = True
            try:
                loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                self._woken = False  # the loop has ended, or the process is about to

    def keep_only(self, feeds: Iterable[str]) -> None:
        """Forget what was said of other feeds than these; from any thread."""
        kept = {"", *feeds}
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._forget, kept)

    def _forget(self, kept: set[str]) -> None:
        self._retained = {key: each for key, each in self._retained.items() if key[0] in kept}
        for key in [each for each in self.events if each[0] not in kept]:
            del self.events[key]

    def join(self, listener: Listener, last: str = "") -> bool:
        """Begin to listen; False where there are too many already.

        First come the newest word on everything and, where it is known, the events after the one
        with the id ``last``.
        """
        if self._closed or len(self._listeners) >= LISTENERS:
            return False
        for frame in self._catching_up(last):
            if listener.wants(frame) and not listener.put(frame):
                self.cut_off += 1
                return False
        self._listeners.add(listener)
        return True

    def leave(self, listener: Listener) -> None:
        """Listen no more."""
        self._listeners.discard(listener)

    def _catching_up(self, last: str) -> Iterator[Frame]:
        yield from list(self._retained.values())
        missed: list[Frame] = []
        for frame in reversed(self._recent):
            if frame.id == last:
                # More than fit into the queue beside all else would cut the listener off.
                yield from reversed(missed[: QUEUE // 2])
                return
            missed.append(frame)

    def _deliver(self) -> None:
        self._woken = False
        while self._waiting:
            frame = self._written(self._waiting.popleft())
            for listener in list(self._listeners):
                if listener.wants(frame) and not listener.put(frame):
                    self.cut_off += 1
                    self._listeners.discard(listener)

    def _written(self, message: Message) -> Frame:
        self._number += 1
        body = message.to_dict()
        text = dumps(body)
        number = f"{self._run}-{self._number}"
        sse = f"event: {message.topic}\nid: {number}\ndata: {text}\n\n".encode()
        told = dumps({"message": message.topic, **body})
        frame = Frame(message.topic, message.feed, number, sse, told)
        if isinstance(message, RETAINED):
            self._retained[message.feed, message.topic] = frame
        else:
            self._recent.append(frame)
        if isinstance(message, FeedEvent):
            self.events[message.feed, message.event_type] += 1
        return frame


def dumps(value: Any) -> str:
    """Compact JSON in one line, of ASCII: some clients take U+2028 in a title for a line's end."""
    return json.dumps(value, separators=(",", ":"))
