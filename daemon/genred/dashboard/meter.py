"""The level meter with peak hold."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from rich.style import Style

from genred.dashboard.cells import Block, line
from genred.dashboard.colours import BAD, FAINT, GOOD, MUTED, WARN
from genred.dashboard.words import level as level_words

if TYPE_CHECKING:
    from genred.dashboard.cells import Part
    from genred.views import FeedView

BOTTOM_DBFS = -60.0
"""The meter's left end; quieter is an empty meter."""
WARM_DBFS = -12.0
"""From here on the meter is amber: loud."""
HOT_DBFS = -3.0
"""From here on it is red: near clipping."""
WORDS_FROM = 46
"""Cells from which on the figures stand beside the meter."""

_HOT = Style(color=BAD.color)


def meter(feed: FeedView, width: int) -> Block:
    """One line: the level (RMS, dBFS) as a bar, the held peak as a mark, both in figures."""
    left: list[Part] = [("level  ", MUTED)]
    right: list[Part] = []
    room = width - 7
    if width >= WORDS_FROM:
        right = [
            (f" {level_words(feed.state.level_dbfs)} dBFS", None),
            (f"  peak{level_words(feed.peak_dbfs)}", MUTED),
        ]
        room -= 12 + 12
    left += gauge(feed.state.level_dbfs, feed.peak_dbfs, room)
    return Block(width, [line(width, [*left, *right])])


def gauge(level_dbfs: float, peak_dbfs: float, width: int) -> list[Part]:
    """The bar alone, ``width`` cells."""
    filled = _cells(level_dbfs, width)
    mark = _cells(peak_dbfs, width) - 1
    out: list[Part] = []
    start = 0
    for at in range(1, width + 1):
        if at == width or _look(at, filled, mark, width) != _look(start, filled, mark, width):
            glyph, style = _look(start, filled, mark, width)
            out.append((glyph * (at - start), style))
            start = at
    return out


def _look(at: int, filled: int, mark: int, width: int) -> tuple[str, Style]:
    if at == mark and mark >= filled:
        return "┃", _zone(at, width)
    if at < filled:
        return "━", _zone(at, width)
    return "─", FAINT


@lru_cache(maxsize=1024)
def _zone(at: int, width: int) -> Style:
    dbfs = BOTTOM_DBFS * (1 - (at + 0.5) / width)
    if dbfs >= HOT_DBFS:
        return _HOT
    return WARN if dbfs >= WARM_DBFS else GOOD


def _cells(dbfs: float, width: int) -> int:
    """Cells filled at ``dbfs``."""
    return min(max(round(width * (1 - dbfs / BOTTOM_DBFS)), 0), width)
