"""``/api/v1/feeds/{id}/history``: what was on."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query

from genred.clock import iso
from genred.errors import GenredError
from genred.history.reader import shares
from genred.web.feeds import FeedId  # noqa: TC001 - FastAPI reads it off the signature
from genred.web.problem import Problem
from genred.web.schemas import PROBLEMS, HistoryOut

if TYPE_CHECKING:
    from genred.history.reader import DeadAir, Played, Reader
    from genred.web.snapshot import Snapshots

DAY_S: Final = 86_400.0

LONGEST_SPAN_S: Final = 92 * DAY_S
"""The longest span of one question: a quarter of a year. Whoever wants more asks several times."""

LAST_MOMENT: Final = 2.5e11
"""In the year 9892: beyond 9999 there is no ISO 8601 for it."""

SEGMENTS: Final = 5000
"""Segments in one answer at most: about a day of a restless station."""

Since = Annotated[
    datetime | None, Query(description="from here on; a day before `until` if not given")
]
Until = Annotated[datetime | None, Query(description="up to here; now if not given")]
Limit = Annotated[int, Query(ge=1, le=SEGMENTS, description="segments at most, the newest")]


def routes(snapshots: Snapshots, history: Reader | None) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/api/v1", tags=["feeds"], responses=PROBLEMS)

    @router.get("/feeds/{feed_id}/history")
    async def past(
        feed_id: FeedId,
        since: Since = None,
        until: Until = None,
        limit: Limit = 1000,
    ) -> HistoryOut:
        """What a feed played: segments, shares of air time, changes an hour and dead air.

        A time without a zone is UTC. Also of feeds that are configured no more. 404 where no
        history is kept, or nothing is known of the feed.
        """
        if history is None:
            raise Problem(404, "history", "no history is kept; see [history] in the configuration")
        to = _moment(until) if until is not None else time.time()
        start = _moment(since) if since is not None else to - DAY_S
        if not 0 <= start < to <= min(start + LONGEST_SPAN_S, LAST_MOMENT):
            raise Problem(
                422,
                "span",
                f"`since` lies before `until`, by {LONGEST_SPAN_S / DAY_S:.0f} days at most",
            )
        known = snapshots.feed(feed_id) is not None
        try:
            told = await asyncio.to_thread(_past, history, feed_id, start, to, limit)
        except GenredError as error:
            raise Problem(503, "history", error.message, {"retry-after": "10"}) from None
        if told is None and not known:
            raise Problem(404, "feed", f"nothing is known of a feed {feed_id!r}")
        span = {"feed": feed_id, "since": iso(start), "until": iso(to)}
        nothing = {"segments": [], "truncated": False, "shares": [], "changes": [], "dead_air": []}
        return HistoryOut.model_validate(span | (told or nothing))

    return router


def _moment(when: datetime) -> float:
    try:
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return math.nan


def _past(
    history: Reader, feed: str, since: float, until: float, limit: int
) -> dict[str, Any] | None:
    """Runs on a thread of its own: reading waits for a disk. None where the feed is not known."""
    if feed not in history.feeds():
        return None
    segments = history.segments(feed, since, until)
    return {
        "segments": [_played(each) for each in segments[-limit:]],
        "truncated": len(segments) > limit,
        "shares": [
            {
                "label": each.label,
                "kind": each.kind,
                "seconds": round(each.seconds, 3),
                "share": round(each.share, 4),
                "times": each.times,
            }
            for each in shares(segments, since, until)
        ],
        "changes": [
            {"hour": iso(hour), "changes": changes}
            for hour, changes in history.changes_per_hour(feed, since, until)
        ],
        "dead_air": [_stretch(each) for each in history.dead_air(feed, since, until)],
    }


def _stretch(each: Played | DeadAir) -> dict[str, Any]:
    return {
        "start": iso(each.start),
        "end": iso(each.end),
        "seconds": round(each.seconds, 3),
        "on": each.on,
        "cut": each.cut,
    }


def _played(each: Played) -> dict[str, Any]:
    return _stretch(each) | {
        "label": each.label,
        "kind": each.kind,
        "confidence": round(each.confidence, 4),
        "title": each.title,
    }
