"""Messages for tests, with as much or as little as one wants to say."""

from __future__ import annotations

from typing import Any

from genred.messages import FeedEvent, FeedHealth, FeedScores, FeedState, NodeInfo
from genred.publishers.base import FeedInfo

FEED = FeedInfo(id="fm", source="the receiver")


def info(**what: Any) -> NodeInfo:
    defaults = {
        "feed": "",
        "ts": 1_000_000_000.0,
        "seq": 1,
        "version": "0.1.0",
        "model": {"name": "compact"},
        "labels": ["jazz", "rock", "speech"],
        "provider": "CPUExecutionProvider",
        "started_at": 1_000_000_000.0,
    }
    return NodeInfo(**{**defaults, **what})


def state(seq: int = 1, label: str = "jazz", **what: Any) -> FeedState:
    defaults = {"feed": "fm", "ts": 1_000_000_000.25, "confidence": 0.875, "kind": "music"}
    return FeedState(**{**defaults, "seq": seq, "label": label, **what})


def health(seq: int = 1, status: str = "listening", **what: Any) -> FeedHealth:
    return FeedHealth(**{"feed": "fm", "ts": 1_000_000_000.25, "seq": seq, "status": status} | what)


def event(seq: int = 1, event_type: str = "changed", **what: Any) -> FeedEvent:
    defaults = {
        "feed": "fm",
        "ts": 1_000_000_000.25,
        "label": "jazz",
        "kind": "music",
        "confidence": 0.875,
        "start": 1_000_000_000.0,
    }
    return FeedEvent(**{**defaults, "seq": seq, "event_type": event_type, **what})


def scores(seq: int = 1) -> FeedScores:
    shares = {"jazz": 0.7, "rock": 0.2, "speech": 0.1}
    return FeedScores(
        feed="fm",
        ts=1_000_000_000.25,
        seq=seq,
        raw=shares,
        smoothed=shares,
        label="jazz",
        level_dbfs=-20.0,
    )
