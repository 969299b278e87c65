"""What waits to be sent, within bounds: retained topics, events, and a stream of scores.

Of a retained topic only the newest word counts, so a topic waits once however often it is told.
Events all count and keep their order; when there are too many the oldest goes and is counted.
Scores are worth least and are the first to go. Not locked: its owner does that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genred.messages import Message


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message on its way. ``body`` is written out as late as possible."""

    topic: str
    body: Message | bytes
    qos: int
    retain: bool


class Lanes:
    """Everything that waits. ``limit`` is the most events, and the most scores, that are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._retained: dict[str, Message | bytes] = {}
        self._due: dict[str, None] = {}
        self._empty: deque[str] = deque()
        self._events: deque[Parcel] = deque()
        self._scores: deque[Parcel] = deque()
        self.dropped = 0
        """Events and scores that found no place."""

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._due) + len(self._empty) + len(self._events) + len(self._scores)

    def retain(self, topic: str, body: Message | bytes) -> None:
        """The newest word on a retained topic; sent once, however often it is told before that."""
        self._retained[topic] = body
        self._due[topic] = None

    def retained(self, topic: str) -> Message | bytes | None:
        """The newest word on a topic."""
        return self._retained.get(topic)

    def tell_again(self, topics: Sequence[str]) -> None:
        """These retained topics, in this order, before all others that are due."""
        self._due = dict.fromkeys([*topics, *self._due])

    def empty(self, topics: Iterable[str]) -> None:
        """Empty what the broker retains on these topics, before all else that waits."""
        self._empty.extend(topics)

    def forget(self, topics: Iterable[str]) -> None:
        """Nothing more is to be said on these retained topics, and nothing to be left there."""
        for topic in topics:
            self._due.pop(topic, None)
            if self._retained.pop(topic, None) is not None:
                self._empty.append(topic)

    def append(self, parcel: Parcel) -> None:
        """An event, in its order."""
        if len(self._events) >= self._limit:
            self._events.popleft()
            self.dropped += 1
        self._events.append(parcel)

    def give_back(self, parcels: Sequence[Parcel]) -> None:
        """Events that were taken but did not arrive: they go first again."""
        self._events.extendleft(reversed(parcels))
        while len(self._events) > self._limit:
            self._events.popleft()
            self.dropped += 1

    def stream(self, parcel: Parcel) -> None:
        """One of a stream of scores."""
        if len(self._scores) >= self._limit:
            self._scores.popleft()
            self.dropped += 1
        self._scores.append(parcel)

    def take(self) -> Parcel | None:
        """The next message to send; None if none waits."""
        if self._empty:
            return Parcel(self._empty.popleft(), b"", qos=1, retain=True)
        if self._due:
            topic = next(iter(self._due))
            del self._due[topic]
            return Parcel(topic, self._retained[topic], qos=1, retain=True)
        if self._events:
            return self._events.popleft()
        return self._scores.popleft() if self._scores else None
