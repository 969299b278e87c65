"""What is known of nodes and feeds by what they publish: messages in, views out.

What is published may come from anybody: it is bounded, and what is no message is passed over.
"""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from genred.messages import (
    MESSAGES,
    EventType,
    FeedEvent,
    FeedHealth,
    FeedScores,
    FeedState,
    Message,
    NodeInfo,
    SourceStatus,
)
from genred.views import FeedView, NodeView, Segment
from genred.watch.sight import NO_LOGMEL, nobody

log = logging.getLogger("genred.watch")

FEEDS: Final = 500
"""Of a node so many are kept: whoever may publish could make up more."""

EVENTS: Final = 50
"""Of a feed, as a daemon's own dashboard has them."""

SEGMENTS_S: Final = 3600.0
"""The longest strip that can be asked for."""

SKEW_S: Final = 2.0
"""A message this much off its time tells of a clock that differs, not of a slow way."""

_TOPICS: Final = frozenset({"status", "state", "health", "event", "scores"})
_ONLINE: Final = frozenset(status.value for status in SourceStatus if status.online)

_ADAPTERS: Final[dict[type[Message], TypeAdapter[Any]]] = {
    kind: TypeAdapter(kind) for kind in MESSAGES
}
"""What checks the types of a message's fields, by its class."""

_DEFAULTS: Final = {
    kind: {each.name: each.default for each in fields(kind) if each.default is not MISSING}
    for kind in MESSAGES
}
"""What an older daemon does not say yet."""

M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class PublishedFeed:
    """A feed as its topics tell of it."""

    status: str = ""
    state: FeedState | None = None
    health: FeedHealth | None = None
    events: deque[FeedEvent] = field(default_factory=lambda: deque(maxlen=EVENTS))
    segments: deque[Segment] = field(default_factory=deque)

    def take(self, what: str, payload: bytes) -> float | None:
        """Take a message of the topic ``what``; the audio's time in it where that is now."""
        match what:
            case "status":
                self.status = payload.decode(errors="replace")
            case "state":
                state = read(FeedState, payload)
                if state is not None:
                    self._take_state(state)
                    return state.ts
            case "health":
                self.health = read(FeedHealth, payload) or self.health
            case "event":
                event = read(FeedEvent, payload)
                if event is not None:
                    self._take_event(event)
            case _:
                scores = read(FeedScores, payload)
                if scores is not None and self.state is not None:
                    self.state = replace(
                        self.state,
                        scores=scores.smoothed,
                        level_dbfs=scores.level_dbfs,
                        ts=scores.ts,
                    )
        return None

    def _take_state(self, state: FeedState) -> None:
        self.state = state
        last = self.segments[-1] if self.segments else None
        if state.since is None:
            self._end(state.ts)
        elif (
            last is None
            or last.end is not None
            or (last.label, last.start) != (state.label, state.since)
        ):
            self._begin(Segment(state.label, state.kind, state.since, None, state.confidence))

    def _take_event(self, event: FeedEvent) -> None:
        self.events.append(event)
        if event.event_type in (EventType.STARTED, EventType.CHANGED):
            self._begin(Segment(event.label, event.kind, event.start, None, event.confidence))
        elif event.event_type == EventType.ENDED:
            self._end(event.end if event.end is not None else event.ts)

    def _begin(self, segment: Segment) -> None:
        self._end(segment.start)
        self.segments.append(segment)
        while (self.segments[0].end or segment.start) < segment.start - SEGMENTS_S:
            self.segments.popleft()

    def _end(self, at: float) -> None:
        if self.segments and self.segments[-1].end is None:
            last = self.segments.pop()
            if at > last.start:
                self.segments.append(replace(last, end=at))

    def view(self, name: str, now: float) -> FeedView:
        """As it is at ``now``, by the node's clock."""
        state = self.state or FeedState(feed=name, ts=now, seq=0)
        health = self.health or FeedHealth(feed=name, ts=now, seq=0)
        if self.status == "offline" and health.status in _ONLINE:
            # Why comes with the next health; that no audio comes is known.
            health = replace(health, status=SourceStatus.STALLED.value)
        return FeedView(
            id=name,
            source="",
            synthetic=False,
            state=state,
            health=health,
            now=max(now, state.ts) if health.status in _ONLINE else state.ts,
            peak_dbfs=state.level_dbfs,
            logmel=NO_LOGMEL,
            frame_rate=0.0,
            segments=tuple(self.segments),
            events=tuple(self.events),
        )


@dataclass(slots=True)
class PublishedNode:
    """A node as its topics tell of it."""

    status: str = ""
    info: NodeInfo | None = None
    skew: float = 0.0
    """By how much this machine's clock is ahead of the node's, seconds."""
    feeds: dict[str, PublishedFeed] = field(default_factory=dict)
    _late: float = 0.0

    def take(self, what: str, payload: bytes) -> None:
        """Take a message of the node's own topic ``what``."""
        if what == "status":
            self.status = payload.decode(errors="replace")
        elif what == "info":
            self.info = read(NodeInfo, payload) or self.info

    def take_of_feed(self, name: str, what: str, payload: bytes) -> float | None:
        """Take a message of the topic ``what`` of a feed; an empty one takes the feed away.

        Returns the time of the audio that it tells of, if it does.
        """
        if what not in _TOPICS:
            return None
        if not payload:
            self.feeds.pop(name, None)
            return None
        feed = self.feeds.get(name)
        if feed is None:
            if len(self.feeds) >= FEEDS:
                return None
            feed = self.feeds[name] = PublishedFeed()
        return feed.take(what, payload)

    def compare(self, late: float) -> None:
        """Learn of the node's clock: a message may be late once, a wrong clock is so always."""
        skew = min(late, self._late, key=abs)
        self._late = late
        self.skew = skew if abs(skew) > SKEW_S else 0.0

    def view(self, name: str, clock: float) -> NodeView:
        """As it is at ``clock``, by this machine's."""
        feeds = tuple(self.feeds[each].view(each, clock - self.skew) for each in sorted(self.feeds))
        view = replace(nobody(name, clock), feeds=feeds)
        if self.info is None:
            return view
        return replace(
            view,
            version=self.info.version,
            model=str(self.info.model.get("name", "")),
            provider=self.info.provider,
            labels=tuple(self.info.labels),
            started_at=self.info.started_at + self.skew,
        )


def read(kind: type[M], payload: bytes) -> M | None:
    """The message in ``payload``; None for what is none, or holds what no message does."""
    try:
        data = json.loads(payload)
        if not _finite(data):
            return None
        message = kind.from_dict({**_DEFAULTS[kind], **data})
        checked: M = _ADAPTERS[kind].validate_python(asdict(message))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ValidationError):
        log.debug("no %s: %r", kind.topic, payload[:200])
        return None
    return checked


def _finite(data: object) -> bool:
    """JSON has no such numbers, Python's reader does."""
    match data:
        case float():
            return math.isfinite(data)
        case dict():
            return all(_finite(each) for each in data.values())
        case list():
            return all(_finite(each) for each in data)
        case int():
            return abs(data) < 1 << 62
    return True
