"""Many feeds, a line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.dashboard.cells import Block, Ink, fit, line
from genred.dashboard.colours import ALARM, FAINT, GOOD, MUTED, STRONG, WARN
from genred.dashboard.heard import agrees, headline
from genred.dashboard.meter import gauge
from genred.dashboard.strip import strip
from genred.dashboard.words import length, share
from genred.messages import SourceStatus
from genred.text import clean

if TYPE_CHECKING:
    from genred.dashboard.cells import Line, Part
    from genred.views import FeedView

METER_FROM = 58
STRIP_FROM = 74
TITLE_FROM = 120
METER_CELLS = 10
TITLE_CELLS = 36


def roster(
    feeds: tuple[FeedView, ...], width: int, height: int, focus: int, seconds: float, ink: Ink
) -> Block:
    """``height`` lines; where the feeds are more, those around the one in focus."""
    if height <= 0:
        return Block(width, [])
    more = len(feeds) > height
    shown = height - 1 if more and height > 1 else height
    first = min(max(focus - shown // 2, 0), max(len(feeds) - shown, 0))
    lines: list[Line] = [
        _row(feeds[at], width, at == focus, seconds, ink)
        for at in range(first, min(first + shown, len(feeds)))
    ]
    if more and height > 1:
        hidden = len(feeds) - shown
        lines.append(line(width, [(f"  and {hidden} more of {len(feeds)} feeds", FAINT)]))
    return Block(width, lines)


def _row(feed: FeedView, width: int, focused: bool, seconds: float, ink: Ink) -> Line:
    word, style = headline(feed)
    name = min(max(8, width // 6), 18)
    listening = feed.health.status == SourceStatus.LISTENING and not feed.state.dead_air
    since = feed.state.since
    label = f" {word} " if style is ALARM else word
    parts: list[Part] = [
        ("▸ " if focused else "  ", STRONG),
        (fit(clean(feed.id), name), STRONG if focused else None),
        ("  ", None),
        (fit(label, 12), style) if style is not ALARM else (fit(label.strip(), 12), ALARM),
        (share(feed.state.confidence) if listening else "    ", None),
        (f"{length(feed.now - since) if since is not None else '':>9}  ", MUTED),
    ]
    used = 2 + name + 2 + 12 + 4 + 11
    if feed.truth is not None and width >= METER_FROM:
        parts.append(("✓ " if agrees(feed) else "✗ ", GOOD if agrees(feed) else WARN))
        used += 2
    if width >= METER_FROM:
        parts += gauge(feed.state.level_dbfs, feed.peak_dbfs, METER_CELLS)
        used += METER_CELLS
    if width >= STRIP_FROM:
        title = TITLE_CELLS if width >= TITLE_FROM else 0
        room = width - used - 2 - (title + 2 if title else 0)
        parts.append(("  ", None))
        (cells,) = strip(feed, room, seconds, ink).lines
        parts += [(text, each) for text, each, _ in cells]
        if title:
            told = feed.state.title or feed.state.station or feed.source
            parts += [("  ", None), (fit(clean(told), title), MUTED)]
    return line(width, parts)
