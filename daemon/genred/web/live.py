"""Levels and log-mel pictures for pages that are looked at: four times a second, on request."""

from __future__ import annotations

import asyncio
import base64
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genred.clock import iso
from genred.messages import SourceStatus
from genred.web.hub import dumps

if TYPE_CHECKING:
    from genred.views import FeedView
    from genred.web.hub import Listener
    from genred.web.snapshot import Snapshots

PERIOD_S: Final = 0.25
"""As often as there are decisions."""

PICTURES: Final = 8
"""Pictures that one page may have at once; each costs some 6 kB a second."""

FRESH_S: Final = 2.0
"""So much log-mel is copied for pictures that are under way; all that there is for new ones."""

DARKEST: Final = -14.0
BRIGHTEST: Final = 4.0
"""Natural logarithms of power that become 0 and 255: from the front end's floor to the loudest
music. Which part of it is shown is the page's choice."""


class Page:
    """One page that is looked at, and which pictures it wants."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.pictures: dict[str, float] = {}
        """Up to which time of the audio each picture has been sent; 0: nothing yet."""

    def want(self, feeds: list[str]) -> None:
        """These pictures from now on, the first :data:`PICTURES` of them."""
        self.pictures = {feed: self.pictures.get(feed, 0.0) for feed in feeds[:PICTURES]}


class Live:
    """Looks at the engine while anybody looks at a page."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._pages: set[Page] = set()
        self._anybody = asyncio.Event()
        self._heard: set[str] = set()

    def join(self, page: Page) -> None:
        """Show it all to another page."""
        self._pages.add(page)
        self._anybody.set()

    def leave(self, page: Page) -> None:
        """And no more."""
        self._pages.discard(page)

    async def run(self) -> None:
        """Show until cancelled."""
        while True:
            await self._anybody.wait()
            if not self._pages:
                self._anybody.clear()
                continue
            self._show()
            await asyncio.sleep(PERIOD_S)

    def _show(self) -> None:
        wanted = [each for page in self._pages for each in page.pictures.items()]
        # Of a feed that is away there is nothing to begin with, and all would be copied in vain.
        whole = any(since == 0 and feed in self._heard for feed, since in wanted)
        seconds = math.inf if whole else FRESH_S
        node = self._snapshots.with_logmel(seconds) if wanted else self._snapshots.node()
        levels = dumps(
            {
                "message": "levels",
                "ts": iso(node.clock),
                "feeds": {feed.id: _levels(feed) for feed in node.feeds},
            }
        )
        feeds = {feed.id: feed for feed in node.feeds}
        self._heard = {feed.id for feed in node.feeds if SourceStatus(feed.health.status).online}
        drawn: dict[tuple[str, float], str | None] = {}
        for page in list(self._pages):
            told = page.listener.put(levels)
            for feed_id, since in page.pictures.items():
                feed = feeds.get(feed_id)
                if feed is None or not told or (since == 0 and not whole):
                    continue
                key = (feed_id, since)
                if since and not 0 <= feed.now - since <= FRESH_S:
                    page.pictures[feed_id] = 0.0  # it was away, or its clock was set: begin anew
                    continue
                if key not in drawn:
                    drawn[key] = picture(feed, since)
                text = drawn[key]
                if text is not None:
                    told = page.listener.put(text)
                    page.pictures[feed_id] = feed.now
            if not told:
                self._pages.discard(page)


def _levels(feed: FeedView) -> dict[str, Any]:
    state = feed.state
    return {
        "online": SourceStatus(feed.health.status).online,
        "status": feed.health.status,
        "label": state.label,
        "kind": state.kind,
        "confidence": state.confidence,
        "dead_air": state.dead_air,
        "level_dbfs": state.level_dbfs,
        "peak_dbfs": round(feed.peak_dbfs, 1),
        "lag_ms": feed.health.lag_ms,
    }


def picture(feed: FeedView, since: float) -> str | None:
    """The log-mel frames after ``since`` as a message; all there are where ``since`` is 0.

    ``data`` is base64 of bytes ``[frames, mels]``, low sounds first, 0 to 255 from
    :data:`DARKEST` to :data:`BRIGHTEST`; ``end`` is when the last frame ends. None where there is
    none.
    """
    if not SourceStatus(feed.health.status).online:
        return None
    frames, mels = feed.logmel.shape
    fresh = round((feed.now - since) * feed.frame_rate)
    anew = since == 0
    count = frames if anew else min(fresh, frames)
    if not count or not mels:
        return None
    scaled = (feed.logmel[frames - count :] - DARKEST) * (255 / (BRIGHTEST - DARKEST))
    data = np.clip(scaled, 0, 255).astype(np.uint8).tobytes()
    return dumps(
        {
            "message": "picture",
            "feed": feed.id,
            "end": feed.now,
            "anew": anew,
            "frames": count,
            "mels": mels,
            "frame_rate": feed.frame_rate,
            "data": base64.b64encode(data).decode(),
        }
    )
