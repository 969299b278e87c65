"""Views as lines of JSON, and back: what goes over the local socket.

The first line of a connection says everything, the following ones what has changed since: keys of
a feed that are missing stand as before. Log-mel frames are added to those that were sent; they go
as 16-bit floats in base64.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genred.messages import FeedEvent, FeedHealth, FeedState, Message
from genred.views import FeedView, NodeView, Segment
from genred.watch.sight import NO_LOGMEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION: Final = 1

FIRST_FRAMES: Final = 4000
"""Log-mel frames in the first line, of all feeds together: the picture of one feed on a wide
terminal, about 0.7 MB; with many feeds a list is shown, and pictures fill as time goes."""

KEPT_FRAMES: Final = 2000
"""Frames of a feed that a watcher keeps: half a minute."""

_MESSAGES: Final[dict[str, type[Message]]] = {"state": FeedState, "health": FeedHealth}
_PLAIN: Final = ("source", "synthetic", "now", "peak_dbfs", "frame_rate", "truth")
_NODE: Final = ("node", "version", "model", "provider", "started_at", "clock")


class WireError(Exception):
    """A line that cannot be understood."""


def encode(view: NodeView, before: NodeView | None) -> bytes:
    """``view`` as a line, for whoever has seen ``before``; None for one who has seen nothing."""
    out: dict[str, Any] = {"genred": VERSION}
    out |= {name: getattr(view, name) for name in _NODE}
    if before is None or view.labels != before.labels:
        out |= {"labels": view.labels, "kinds": view.kinds}
    if before is None or view.publishers != before.publishers:
        out["publishers"] = view.publishers
    known = {} if before is None else {feed.id: feed for feed in before.feeds}
    room = FIRST_FRAMES // max(len(view.feeds), 1)
    out["feeds"] = [_feed(feed, known.get(feed.id), room) for feed in view.feeds]
    return json.dumps(out, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _feed(feed: FeedView, before: FeedView | None, room: int) -> dict[str, Any]:
    def news(name: str) -> bool:
        return before is None or getattr(feed, name) != getattr(before, name)

    out: dict[str, Any] = {"id": feed.id}
    out |= {name: getattr(feed, name) for name in _PLAIN if news(name)}
    out |= {name: getattr(feed, name).to_dict() for name in _MESSAGES if news(name)}
    if news("events"):
        out["events"] = [event.to_dict() for event in feed.events]
    if news("segments"):
        out["segments"] = [
            [each.label, each.kind, each.start, each.end, each.confidence] for each in feed.segments
        ]
    frames, anew = _new_frames(feed, before, room)
    if len(frames) or anew:
        data = base64.b64encode(frames.astype("<f2").tobytes()).decode()
        out["logmel"] = {"mels": frames.shape[1], "data": data, "anew": anew}
    return out


def _new_frames(
    feed: FeedView, before: FeedView | None, room: int
) -> tuple[NDArray[np.float32], bool]:
    """Frames that were not there ``before``, and whether what was sent is to be forgotten."""
    if before is None or not len(before.logmel):
        return feed.logmel[max(len(feed.logmel) - room, 0) :], True
    added = round((feed.now - before.now) * feed.frame_rate)
    if not len(feed.logmel) or not 0 <= added <= len(feed.logmel):
        return feed.logmel[max(len(feed.logmel) - room, 0) :], True  # a gap, or the clock was set
    return feed.logmel[len(feed.logmel) - added :], False


@dataclass(slots=True)
class Decoder:
    """Puts a view together from the lines of one connection."""

    view: NodeView | None = None

    def take(self, line: bytes) -> NodeView:
        """The view after ``line``. Raises :class:`WireError`."""
        try:
            told = json.loads(line)
            version = told.get("genred")
            view = self._node(told) if version == VERSION else None
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
            raise WireError(f"what it says is not understood: {error!r}") from None
        if view is None:
            raise WireError("it speaks another version: update the older one")
        self.view = view
        return view

    def _node(self, told: dict[str, Any]) -> NodeView:
        before = self.view
        known = {} if before is None else {feed.id: feed for feed in before.feeds}
        kept = (
            {}
            if before is None
            else {name: getattr(before, name) for name in ("labels", "kinds", "publishers")}
        )
        for name in ("labels", "publishers"):
            if name in told:
                kept[name] = tuple(told[name])
        if "kinds" in told:
            kept["kinds"] = dict(told["kinds"])
        return NodeView(
            **{name: told[name] for name in _NODE},
            **kept,
            feeds=tuple(self._feed(each, known.get(each["id"])) for each in told["feeds"]),
        )

    def _feed(self, told: dict[str, Any], before: FeedView | None) -> FeedView:
        values: dict[str, Any] = {}
        if before is not None:
            values = {each.name: getattr(before, each.name) for each in fields(FeedView)}
        values |= {name: told[name] for name in ("id", *_PLAIN) if name in told}
        values |= {name: of.from_dict(told[name]) for name, of in _MESSAGES.items() if name in told}
        if "events" in told:
            values["events"] = tuple(FeedEvent.from_dict(each) for each in told["events"])
        if "segments" in told:
            values["segments"] = tuple(Segment(*each) for each in told["segments"])
        values.setdefault("logmel", NO_LOGMEL)
        if "logmel" in told:
            values["logmel"] = _joined(values["logmel"], told["logmel"])
        return FeedView(**values)


def _joined(before: NDArray[np.float32], told: dict[str, Any]) -> NDArray[np.float32]:
    raw = np.frombuffer(base64.b64decode(told["data"]), "<f2").astype(np.float32)
    frames = raw.reshape(-1, told["mels"])
    if told["anew"] or before.shape[1] != frames.shape[1]:
        return frames
    return np.concatenate((before, frames))[-KEPT_FRAMES:]
