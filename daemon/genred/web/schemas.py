"""What the API answers, for its description in OpenAPI; the same words as in the MQTT messages.

Times are UTC in ISO 8601 with milliseconds, capture time of the audio; lengths are seconds, levels
dBFS, confidences and shares 0 to 1.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

_STATE: Final[dict[str, Any]] = {
    "schema_version": 1,
    "feed": "radio",
    "ts": "2026-01-31T09:00:00.250Z",
    "seq": 17,
    "label": "jazz",
    "kind": "music",
    "confidence": 0.83,
    "since": "2026-01-31T08:57:12.000Z",
    "scores": {"jazz": 0.83, "blues": 0.11, "speech": 0.06},
    "level_dbfs": -18.3,
    "dead_air": False,
    "station": "Example FM",
    "title": "A Band - A Song",
}
_HEALTH: Final[dict[str, Any]] = {
    "schema_version": 1,
    "feed": "radio",
    "ts": "2026-01-31T09:00:00.250Z",
    "seq": 3,
    "status": "listening",
    "heard_seconds": 3600.0,
    "decisions": 14400,
    "overflows": 0,
    "dropped_seconds": 0.0,
    "gaps": 0,
    "reconnects": 0,
    "lag_ms": 31.2,
    "drift_ppm": 4.0,
    "level_dbfs": -18.3,
    "last_error": "",
}
_EVENT: Final[dict[str, Any]] = {
    "schema_version": 1,
    "feed": "radio",
    "ts": "2026-01-31T08:57:13.000Z",
    "seq": 5,
    "event_type": "ended",
    "label": "jazz",
    "kind": "music",
    "confidence": 0.71,
    "start": "2026-01-31T08:57:12.000Z",
    "end": "2026-01-31T08:59:20.000Z",
    "previous": "speech",
    "previous_seconds": 61.5,
    "title": "A Band - A Song",
}
_SEGMENT: Final[dict[str, Any]] = {
    "label": "jazz",
    "kind": "music",
    "start": "2026-01-31T08:57:12.000Z",
    "end": "2026-01-31T08:59:20.000Z",
    "confidence": 0.83,
}
_FEED: Final[dict[str, Any]] = {
    "id": "radio",
    "source": "stream https://radio.example.org/live.mp3",
    "synthetic": False,
    "online": True,
    "peak_dbfs": -6.1,
    "state": _STATE,
    "health": _HEALTH,
}
_PLAYED: Final[dict[str, Any]] = {
    "label": "jazz",
    "kind": "music",
    "start": "2026-01-31T08:57:12.000Z",
    "end": "2026-01-31T09:00:00.000Z",
    "seconds": 168.0,
    "confidence": 0.83,
    "title": "A Band - A Song",
    "on": False,
    "cut": False,
}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class ProblemDetails(BaseModel):
    """What is wrong (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:genred:problem:feed",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no feed 'kitchen'",
                }
            ]
        },
    )
    type: str = Field(description="`urn:genred:problem:NAME`, or `about:blank`")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(default="", description="what is wrong, and what to do")


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    each: {
        "description": words,
        "content": {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}},
    }
    for each, words in (
        ("4XX", "What was asked cannot be answered."),
        ("5XX", "It could be, but not now, or something is wrong here."),
    )
}
"""Of every operation."""


class State(BaseModel):
    """What a feed is playing, as in the MQTT topic `state`."""

    model_config = _example(_STATE)
    schema_version: int
    feed: str
    ts: str = Field(description="capture time of the newest audio")
    seq: int
    label: str
    kind: str = Field(description="music, speech, noise, silence or unknown")
    confidence: float
    since: str | None
    scores: dict[str, float] = Field(description="by label; empty before a whole window was heard")
    level_dbfs: float
    dead_air: bool
    station: str | None
    title: str | None


class FeedHealthOut(BaseModel):
    """How well a feed is heard, as in the MQTT topic `health`."""

    model_config = _example(_HEALTH)
    schema_version: int
    feed: str
    ts: str
    seq: int
    status: str = Field(description="of the source: listening, silent, stalled, reconnecting, …")
    heard_seconds: float
    decisions: int
    overflows: int
    dropped_seconds: float
    gaps: int
    reconnects: int
    lag_ms: float
    drift_ppm: float
    level_dbfs: float
    last_error: str


class Event(BaseModel):
    """Something happened on a feed, as in the MQTT topic `event`."""

    model_config = _example(_EVENT)
    schema_version: int
    feed: str
    ts: str
    seq: int
    event_type: str = Field(description="started, changed, ended, dead_air or recovered")
    label: str
    kind: str
    confidence: float
    start: str
    end: str | None
    previous: str | None
    previous_seconds: float | None
    title: str | None


class SegmentOut(BaseModel):
    """A stretch of one label; `end` is null while it is on."""

    model_config = _example(_SEGMENT)
    label: str
    kind: str
    start: str
    end: str | None
    confidence: float


class FeedOut(BaseModel):
    """One feed now."""

    model_config = _example(_FEED)
    id: str
    source: str = Field(description="the source in words, without credentials")
    synthetic: bool = Field(description="the project's own synthesised station")
    online: bool = Field(description="is audio arriving")
    peak_dbfs: float
    state: State
    health: FeedHealthOut


class FeedsOut(BaseModel):
    """All feeds."""

    model_config = _example({"ts": "2026-01-31T09:00:00.300Z", "feeds": [_FEED]})
    ts: str
    feeds: list[FeedOut]


class FeedDetail(FeedOut):
    """One feed now, with its last minutes."""

    model_config = _example(_FEED | {"segments": [_SEGMENT], "events": [_EVENT]})
    segments: list[SegmentOut] = Field(description="of the last minutes, oldest first")
    events: list[Event] = Field(description="the newest, oldest first")


class NodeOut(BaseModel):
    """What runs here."""

    model_config = _example(
        {
            "node": "studio",
            "version": "0.1.0",
            "model": "compact",
            "provider": "cpu",
            "labels": {"jazz": {"kind": "music", "colour": "#f2a33c"}},
            "started_at": "2026-01-31T06:00:00.000Z",
            "clock": "2026-01-31T09:00:00.300Z",
            "history": True,
            "publishers": ["mqtt://127.0.0.1:1883 connected"],
        }
    )
    node: str
    version: str
    model: str
    provider: str
    labels: dict[str, dict[str, str]] = Field(description="kind and colour of each label")
    started_at: str
    clock: str
    history: bool = Field(description="is a history kept")
    publishers: list[str]


class PlayedOut(BaseModel):
    """A stretch of one label of the past."""

    model_config = _example(_PLAYED)
    label: str
    kind: str
    start: str
    end: str
    seconds: float
    confidence: float
    title: str | None
    on: bool = Field(description="still on, as far as is known; `end` is when it was last heard")
    cut: bool = Field(description="nothing told its end: the daemon was killed")


class ShareOut(BaseModel):
    """What one label had of the time heard."""

    model_config = _example(
        {"label": "jazz", "kind": "music", "seconds": 1800.0, "share": 0.5, "times": 9}
    )
    label: str
    kind: str
    seconds: float
    share: float
    times: int = Field(description="in how many segments")


class HourOut(BaseModel):
    """How often the label changed in one hour of UTC."""

    model_config = _example({"hour": "2026-01-31T08:00:00.000Z", "changes": 12})
    hour: str
    changes: int


class StretchOut(BaseModel):
    """A stretch of dead air."""

    model_config = _example(
        {
            "start": "2026-01-31T07:10:00.000Z",
            "end": "2026-01-31T07:10:42.000Z",
            "seconds": 42.0,
            "on": False,
            "cut": False,
        }
    )
    start: str
    end: str
    seconds: float
    on: bool
    cut: bool


class HistoryOut(BaseModel):
    """What a feed played in a span."""

    model_config = _example(
        {
            "feed": "radio",
            "since": "2026-01-31T00:00:00.000Z",
            "until": "2026-01-31T09:00:00.000Z",
            "segments": [_PLAYED],
            "truncated": False,
            "shares": [
                {"label": "jazz", "kind": "music", "seconds": 168.0, "share": 1.0, "times": 1}
            ],
            "changes": [{"hour": "2026-01-31T08:00:00.000Z", "changes": 12}],
            "dead_air": [],
        }
    )
    feed: str
    since: str
    until: str
    segments: list[PlayedOut] = Field(description="that overlap the span, oldest first")
    truncated: bool = Field(description="there were more segments: only the newest are here")
    shares: list[ShareOut] = Field(description="of the whole span, the longest first")
    changes: list[HourOut]
    dead_air: list[StretchOut]


class Heard(BaseModel):
    """A stretch of one label in a clip, seconds from its start."""

    model_config = _example({"start": 0.0, "end": 12.25, "label": "jazz", "confidence": 0.83})
    start: float
    end: float
    label: str
    confidence: float


class Classified(BaseModel):
    """What is in a clip, as `genred tag --format jsonl` tells it."""

    model_config = _example(
        {
            "path": "clip.mp3",
            "duration": 12.25,
            "label": "jazz",
            "confidence": 0.83,
            "scores": {"jazz": 0.83, "blues": 0.17},
            "segments": [{"start": 0.0, "end": 12.25, "label": "jazz", "confidence": 0.83}],
            "model": "compact",
        }
    )
    path: str = Field(description="what the clip was called")
    duration: float = Field(description="seconds")
    label: str
    confidence: float
    scores: dict[str, float]
    segments: list[Heard]
    model: str


class Health(BaseModel):
    """All moves that should."""

    model_config = _example({"status": "pass"})
    status: str


class Readiness(BaseModel):
    """Sound is heard."""

    model_config = _example({"status": "pass", "heard": ["radio"], "unheard": {"web": "stalled"}})
    status: str
    heard: list[str]
    unheard: dict[str, str] = Field(description="feeds that are not heard, with their status")


class Login(BaseModel):
    """The token, once, for a browser's cookie."""

    model_config = _example({"token": "0123456789abcdef"})
    token: str = Field(max_length=1024)


class LoggedIn(BaseModel):
    """May this browser ask."""

    model_config = _example({"admitted": True, "open": True})
    admitted: bool
    open: bool = Field(description="no token is needed at all")
