"""All of one feed, in the room there is."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from genred.dashboard.cells import Block, Ink, beside, blank
from genred.dashboard.happenings import happenings
from genred.dashboard.heard import heard
from genred.dashboard.identity import identity
from genred.dashboard.meter import meter
from genred.dashboard.picture import picture
from genred.dashboard.scores import scores
from genred.dashboard.strip import legend, strip

if TYPE_CHECKING:
    from genred.dashboard.cells import Line
    from genred.views import FeedView

SIDE_BY_SIDE = 62
"""Cells from which on the scores stand beside what is heard, not below."""

_WISHES: tuple[tuple[str, int], ...] = (
    ("heard", 1),
    ("identity", 1),
    ("level", 1),
    ("strip", 1),
    ("picture", 2),
    ("heard", 2),
    ("heard", 3),
    ("picture", 3),
    ("events", 1),
    ("legend", 1),
    ("heard", 5),
    ("gap below identity", 1),
    ("gap above picture", 1),
    ("gap below picture", 1),
    ("picture", 4),
    ("gap above level", 1),
    ("gap above events", 1),
    ("events", 2),
    ("picture", 6),
    ("events", 4),
    ("heard", 7),
    ("picture", 10),
    ("events", 7),
    ("heard", 9),
    ("picture", 16),
    ("events", 12),
)
"""What a panel grows by, the most important first: section and its lines. Each wish is granted
while there is room; what is left at the end goes to the picture, then to the events."""

MAX_PICTURE = 24
"""Lines of the picture at most: 48 dots, near the number of mel bands there are."""


@lru_cache(maxsize=256)
def room_for(height: int) -> dict[str, int]:
    """Lines of each section of a panel of ``height`` lines; they add up to ``height``."""
    granted: dict[str, int] = {}
    left = height
    for section, lines in _WISHES:
        more = lines - granted.get(section, 0)
        if 0 < more <= left:
            granted[section] = lines
            left -= more
    extra = min(left, MAX_PICTURE - granted.get("picture", 0))
    granted["picture"] = granted.get("picture", 0) + extra
    granted["events"] = granted.get("events", 0) + left - extra
    return granted


def panel(
    feed: FeedView, width: int, height: int, seconds: float, ink: Ink, marker: str = ""
) -> Block:
    """``height`` lines on ``feed``; its strip shows the last ``seconds``."""
    room = room_for(height)
    lines: list[Line] = []

    def gap(where: str) -> None:
        lines.extend([blank(width)] * room.get(f"gap {where}", 0))

    if room.get("identity"):
        lines += identity(feed, width, marker).lines
    gap("below identity")
    lines += _now(feed, width, room.get("heard", 0), ink).lines
    gap("above level")
    if room.get("level"):
        lines += meter(feed, width).lines
    gap("above picture")
    if room.get("picture"):
        lines += picture(feed, width, room["picture"], ink).lines
    gap("below picture")
    if room.get("strip"):
        lines += strip(feed, width, seconds, ink).lines
    if room.get("legend"):
        lines += legend(feed, width, seconds).lines
    gap("above events")
    lines += happenings(feed.events, width, room.get("events", 0)).lines
    return Block(width, lines)


def _now(feed: FeedView, width: int, height: int, ink: Ink) -> Block:
    """What is heard and the scores: side by side where it is wide."""
    if width >= SIDE_BY_SIDE and height > 1:
        left = min(max(width * 45 // 100, 34), 48)
        gap = 3
        return beside(heard(feed, left, height, ink), scores(feed, width - left - gap, height), gap)
    if height < 3:
        return heard(feed, width, height, ink)
    top = 2 if feed.truth is not None else 1
    upper = heard(feed, width, top, ink)
    return Block(width, upper.lines + scores(feed, width, height - top).lines)
