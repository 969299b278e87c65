"""Hand-made views: what the dashboard is drawn from in its tests."""

from __future__ import annotations

import math

import numpy as np

from genred.messages import EventType, FeedEvent, FeedHealth, FeedState
from genred.views import FeedView, NodeView, Segment

LABELS = [
    *("blues", "classical", "country", "disco", "electronic", "hiphop", "jazz", "metal"),
    *("pop", "reggae", "rock", "speech", "noise"),
]
KINDS = dict.fromkeys(LABELS, "music") | {"speech": "speech", "noise": "noise"}
NOON = 1_769_860_800.0  # 2026-01-31T12:00:00Z
RATE = 62.5


def logmel(seconds=30.0, until=NOON, mels=64):
    """Something like music: a beat, a moving tune and a falling spectrum, natural log."""
    frames = int(seconds * RATE)
    t = until + (np.arange(frames) - frames) / RATE
    band = np.arange(mels)[None, :]
    beat = np.exp(-((t * 2) % 1) * 6)[:, None]
    tune = 18 + 9 * np.sin(t * 0.9) + 4 * np.sin(t * 3.1)
    out = -3.5 - band * 0.07 + 4.5 * beat * np.exp(-band / 9)
    for overtone, strength in ((1, 5.0), (1.7, 4.0), (2.3, 3.0)):
        out += strength * np.exp(-((band - (tune * overtone)[:, None]) ** 2) / 5)
    ripple = np.sin(band * 12.9898 + np.arange(frames)[:, None] * 78.233)
    return (out + 0.8 * ripple).astype(np.float32)


def scores(**few):
    rest = (1 - sum(few.values())) / (len(LABELS) - len(few))
    return {label: few.get(label, rest) for label in LABELS}


def event(kind, label, ago, confidence=0.8, now=NOON, **more):
    return FeedEvent(
        feed=more.pop("feed", "kitchen"),
        ts=now - ago,
        seq=0,
        event_type=kind.value,
        label=label,
        kind=KINDS.get(label, label),
        confidence=confidence,
        start=now - ago,
        **more,
    )


def feed(
    name="kitchen",
    now=NOON,
    label="jazz",
    truth=None,
    synthetic=False,
    status="listening",
    dead_air=False,
    station="Radio Nova",
    title="Bill Evans Trio - Gloria's Step",
    **state,
):
    said = scores(**{label: 0.83, "blues": 0.09}) if label in LABELS else scores()
    return FeedView(
        id=name,
        source="http://stream.example/nova.mp3",
        synthetic=synthetic,
        state=FeedState(
            feed=name,
            ts=now,
            seq=1,
            label=label,
            kind=KINDS.get(label, label),
            confidence=state.pop("confidence", 0.83),
            since=now - 47,
            scores=state.pop("scores", said),
            level_dbfs=-18.3 + 6 * math.sin(now * 5),
            dead_air=dead_air,
            station=station,
            title=title,
        ),
        health=FeedHealth(
            feed=name,
            ts=now,
            seq=1,
            status=status,
            heard_seconds=321.0,
            decisions=1200,
            lag_ms=38.0,
            last_error=state.pop("last_error", ""),
        ),
        now=now,
        peak_dbfs=-9.1,
        logmel=state.pop("logmel", logmel(until=now)),
        frame_rate=RATE,
        segments=(
            Segment("rock", "music", NOON - 290, NOON - 190, 0.8),
            Segment("silence", "silence", NOON - 190, NOON - 160, 1.0),
            Segment("speech", "speech", NOON - 160, NOON - 120, 0.9),
            Segment("electronic", "music", NOON - 120, NOON - 50, 0.7),
            Segment("unknown", "unknown", NOON - 50, NOON - 47, 0.3),
            Segment(label, KINDS.get(label, label), NOON - 47, None, 0.83),
        ),
        events=(
            event(EventType.STARTED, "rock", 290, feed=name),
            event(EventType.DEAD_AIR, "silence", 180, feed=name),
            event(EventType.RECOVERED, "silence", 160, feed=name),
            event(
                EventType.CHANGED,
                "speech",
                159,
                0.91,
                feed=name,
                previous="silence",
                previous_seconds=30.0,
            ),
            event(
                EventType.CHANGED,
                "electronic",
                120,
                0.74,
                feed=name,
                previous="speech",
                previous_seconds=40.0,
            ),
            event(
                EventType.CHANGED,
                label,
                47,
                0.83,
                feed=name,
                previous="electronic",
                previous_seconds=70.0,
                title=title,
            ),
        ),
        truth=truth,
    )


def node(*feeds, now=NOON, publishers=("mqtt://127.0.0.1:18830 connected",)):
    return NodeView(
        node="kitchen-pi",
        version="0.1.0",
        model="compact",
        provider="CPUExecutionProvider",
        labels=tuple(LABELS),
        kinds=KINDS,
        started_at=now - 3725,
        clock=now,
        publishers=publishers,
        feeds=feeds,
    )
