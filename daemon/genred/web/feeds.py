"""``/api/v1/node`` and ``/api/v1/feeds``: what is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path

from genred.clock import iso
from genred.dashboard.colours import label_colour
from genred.labels import SILENCE, UNKNOWN, Kind
from genred.messages import SourceStatus
from genred.web.problem import Problem
from genred.web.schemas import (
    PROBLEMS,
    FeedDetail,
    FeedsOut,
    NodeOut,
)

if TYPE_CHECKING:
    from genred.views import FeedView, NodeView, Segment
    from genred.web.snapshot import Snapshots

FeedId = Annotated[
    str, Path(description="the feed's id", pattern="^[a-zA-Z0-9_-]+$", max_length=64)
]


def routes(snapshots: Snapshots, *, kept: bool) -> APIRouter:
    """What is now; ``kept`` says whether there is a history."""
    router = APIRouter(prefix="/api/v1", tags=["feeds"], responses=PROBLEMS)

    def find(feed_id: str) -> FeedView:
        feed = snapshots.feed(feed_id)
        if feed is None:
            raise Problem(404, "feed", f"there is no feed {feed_id!r}; see /api/v1/feeds")
        return feed

    @router.get("/node")
    async def node() -> NodeOut:
        """What runs here."""
        return NodeOut.model_validate(_node(snapshots.node(), kept=kept))

    @router.get("/feeds")
    async def feeds() -> FeedsOut:
        """All feeds, as they are now."""
        node = snapshots.node()
        return FeedsOut.model_validate(
            {"ts": iso(node.clock), "feeds": [_feed(feed) for feed in node.feeds]}
        )

    @router.get("/feeds/{feed_id}")
    async def feed(feed_id: FeedId) -> FeedDetail:
        """One feed as it is now, with its last minutes."""
        found = find(feed_id)
        return FeedDetail.model_validate(
            _feed(found)
            | {
                "segments": [_segment(each) for each in found.segments],
                "events": [each.to_dict() for each in found.events],
            }
        )

    return router


def _node(node: NodeView, *, kept: bool) -> dict[str, Any]:
    kinds = node.kinds | {SILENCE: Kind.SILENCE.value, UNKNOWN: Kind.UNKNOWN.value}
    return {
        "node": node.node,
        "version": node.version,
        "model": node.model,
        "provider": node.provider,
        "labels": {
            label: {"kind": kind, "colour": label_colour(label).get_truecolor().hex}
            for label, kind in kinds.items()
        },
        "started_at": iso(node.started_at),
        "clock": iso(node.clock),
        "history": kept,
        "publishers": list(node.publishers),
    }


def _feed(feed: FeedView) -> dict[str, Any]:
    return {
        "id": feed.id,
        "source": feed.source,
        "synthetic": feed.synthetic,
        "online": SourceStatus(feed.health.status).online,
        "peak_dbfs": round(feed.peak_dbfs, 1),
        "state": feed.state.to_dict(),
        "health": feed.health.to_dict(),
    }


def _segment(each: Segment) -> dict[str, Any]:
    return {
        "label": each.label,
        "kind": each.kind,
        "start": iso(each.start),
        "end": iso(each.end) if each.end is not None else None,
        "confidence": round(each.confidence, 4),
    }
