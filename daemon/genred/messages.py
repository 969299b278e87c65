"""The messages genred sends: one typed class for each, to JSON and back.

Every message knows its feed (``""`` for the node's own), the capture time ``ts`` of the audio it
speaks of (Unix seconds here, UTC ISO 8601 with milliseconds on the wire) and a sequence number
that rises by one from message to message of the same feed and class, so that a reader can tell a
lost message from a silent feed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self

from genred.clock import iso
from genred.labels import UNKNOWN, Kind

SCHEMA_VERSION = 1


class EventType(StrEnum):
    """What can happen on a feed."""

    STARTED = "started"
    """The first label of a feed, or the first after its audio was away."""
    CHANGED = "changed"
    """Another label than before."""
    ENDED = "ended"
    """The last label is over and none follows, nor dead air: the audio has gone away."""
    DEAD_AIR = "dead_air"
    """Silence has lasted for longer than a radio station's should."""
    RECOVERED = "recovered"
    """Sound again after dead air."""


class SourceStatus(StrEnum):
    """What a feed's source is doing."""

    STARTING = "starting"
    """Not open yet."""
    LISTENING = "listening"
    """Open, and audio arrives."""
    SILENT = "silent"
    """So it does, but every sample of it is zero."""
    STALLED = "stalled"
    """Open, but no audio arrives."""
    RECONNECTING = "reconnecting"
    """It broke or ended, and is opened again."""
    RETRYING = "retrying"
    """The same, after it has failed for so long that somebody should look."""
    ENDED = "ended"
    """Its audio is over, and there is nothing to open again."""
    FAILED = "failed"
    """What was named on the command line could not be opened: for good."""

    @property
    def open(self) -> bool:
        """Does the source believe that all is well."""
        return self in {SourceStatus.LISTENING, SourceStatus.SILENT, SourceStatus.STALLED}

    @property
    def online(self) -> bool:
        """Is audio arriving."""
        return self in {SourceStatus.LISTENING, SourceStatus.SILENT}

    @property
    def trouble(self) -> bool:
        """Is this worth somebody's look."""
        return self in {
            SourceStatus.SILENT,
            SourceStatus.STALLED,
            SourceStatus.RECONNECTING,
            SourceStatus.RETRYING,
            SourceStatus.FAILED,
        }

    @property
    def final(self) -> bool:
        """Will no audio come any more?"""
        return self in {SourceStatus.ENDED, SourceStatus.FAILED}


_TIMES = {"ts", "since", "start", "end", "started_at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all messages share."""

    topic: ClassVar[str]
    """The last part of the MQTT topic, and the message's name in JSON lines."""

    feed: str
    """The feed's id; empty for the node's own."""
    ts: float
    """Capture time of the newest audio that it speaks of; where none is heard, the time."""
    seq: int
    """Rises by one from message to message of the same feed and topic."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values; times as ISO 8601."""
        out: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _TIMES and value is not None:
                value = iso(value)
            out[each.name] = value
        return out

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        Raises ``ValueError`` for another schema version, ``KeyError`` for a missing field.
        """
        if data.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"schema_version {data.get('schema_version')!r} is not readable here")
        values: dict[str, Any] = {}
        for each in fields(cls):
            value = data[each.name]
            if each.name in _TIMES and value is not None:
                value = datetime.fromisoformat(value).timestamp()
            values[each.name] = value
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo(Message):
    """What runs on this node; retained."""

    topic: ClassVar[str] = "info"

    version: str
    """Of genred."""
    model: dict[str, Any]
    """Name, rate and timing of the model."""
    labels: list[str]
    """What it can say, beside ``silence`` and ``unknown``."""
    provider: str
    """What it runs on: ``cpu`` or ``cuda``."""
    started_at: float
    """When the daemon was started."""
    lost_messages: int = 0
    """Events and scores since the start that this reader was never sent, because the broker was
    away or slow for too long; each publisher fills in its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState(Message):
    """What a feed is playing now; retained, sent on every change and as a heartbeat."""

    topic: ClassVar[str] = "state"

    label: str = UNKNOWN
    """What is on: a label of the model, ``silence`` or ``unknown``."""
    kind: str = Kind.UNKNOWN.value
    """Its kind: ``music``, ``speech``, ``noise``, ``silence`` or ``unknown``."""
    confidence: float = 0.0
    """Its smoothed probability, 0 to 1."""
    since: float | None = None
    """When it began; null before anything was said."""
    scores: dict[str, float] = field(default_factory=dict)
    """Smoothed probabilities by label, they sum to 1; empty until a whole window was heard."""
    level_dbfs: float = -120.0
    """Level of the newest audio (RMS of one hop, dB relative to full scale)."""
    dead_air: bool = False
    """Has it been silent for longer than ``judgement.dead_air_after_s``."""
    station: str | None = None
    """The station's name, if it tells one."""
    title: str | None = None
    """What it says is on, or the file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEvent(Message):
    """Something happened on a feed; never retained.

    ``label``, ``confidence`` and ``start`` are those of the segment that begins (``started``,
    ``changed``) or is over (``ended``); ``previous`` and ``previous_seconds`` are label and length
    of the one before. ``end`` is set by ``ended`` alone.
    """

    topic: ClassVar[str] = "event"

    event_type: str
    """What has happened, see there."""
    label: str
    """Of the segment that begins or is over."""
    kind: str
    """The label's kind."""
    confidence: float
    """At its beginning; of one that is over, the mean."""
    start: float
    """When the segment began: before the event, by as long as it took to be sure."""
    end: float | None = None
    """When it was over; with ``ended`` alone."""
    previous: str | None = None
    """The label before; with ``changed`` alone."""
    previous_seconds: float | None = None
    """For how long that was on."""
    title: str | None = None
    """What the station says is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedScores(Message):
    """One decision in full; opt-in, never retained."""

    topic: ClassVar[str] = "scores"

    raw: dict[str, float]
    """Calibrated probabilities of the newest window by label."""
    smoothed: dict[str, float]
    """The same after smoothing over time; they sum to 1."""
    label: str
    """What is said to be on."""
    level_dbfs: float
    """Level of the newest audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHealth(Message):
    """How well a feed is being heard; retained."""

    topic: ClassVar[str] = "health"

    status: str = SourceStatus.STARTING.value
    """What its source is doing, see there."""
    heard_seconds: float = 0.0
    """Audio that was analysed since the start."""
    decisions: int = 0
    """Windows that were judged."""
    overflows: int = 0
    """Times the sound card or the ring was overrun."""
    dropped_seconds: float = 0.0
    """Audio lost by those."""
    gaps: int = 0
    """Times audio was missing, for whatever reason."""
    reconnects: int = 0
    """Times the source was opened again."""
    lag_ms: float = 0.0
    """From the end of the newest window's audio to its decision."""
    drift_ppm: float = 0.0
    """By how much the source is faster (above 0) or slower than its nominal rate."""
    level_dbfs: float = -120.0
    """Level of the newest audio."""
    last_error: str = ""
    """What ails it, or has last ailed it."""


FEED_MESSAGES: tuple[type[Message], ...] = (FeedState, FeedEvent, FeedScores, FeedHealth)
MESSAGES: tuple[type[Message], ...] = (NodeInfo, *FEED_MESSAGES)
