"""An engine to look at, whose views the test makes."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from genred.messages import FeedHealth, FeedState, SourceStatus
from genred.service.pulse import FeedPulse, Pulse
from genred.views import FeedView, NodeView

RATE = 50.0


def feed_view(name: str = "fm", status: str = "listening", **what) -> FeedView:
    """A feed that has been heard until now."""
    now = what.pop("now", None) or time.time()
    heard = what.pop("decisions", 40)
    frames = what.pop("frames", 200)
    state = FeedState(feed=name, ts=now, seq=1, label="jazz", kind="music", confidence=0.8)
    return FeedView(
        id=name,
        source="the receiver",
        synthetic=False,
        state=replace(state, **what),
        health=FeedHealth(feed=name, ts=now, seq=1, status=status, decisions=heard, lag_ms=30.0),
        now=now,
        peak_dbfs=-6.0,
        logmel=np.zeros((frames, 8), np.float32),
        frame_rate=RATE,
        segments=(),
        events=(),
    )


class Heart:
    """An engine that is what the test says it is."""

    def __init__(self, *feeds: FeedView) -> None:
        self.publishers = ()
        self.feeds = feeds or (feed_view(),)
        self.still = False
        self.turns = 0
        self.looks = 0

    def view(self, logmel_s: float = 0.0) -> NodeView:
        self.looks += 1
        return NodeView(
            node="studio",
            version="0.1.0",
            model="tiny",
            provider="cpu",
            labels=("jazz", "speech"),
            kinds={"jazz": "music", "speech": "speech"},
            started_at=1_000_000_000.0,
            clock=time.time(),
            publishers=("mqtt://127.0.0.1:1883 connected",),
            feeds=self.feeds,
        )

    def pulse(self) -> Pulse:
        self.turns += not self.still
        status = SourceStatus.LISTENING
        return Pulse(
            self.turns,
            tuple(FeedPulse(each.id, status, False, self.turns, 1, False) for each in self.feeds),
        )
