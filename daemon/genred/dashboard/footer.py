"""The last line: the health of the pipeline, and where it is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from genred.dashboard.cells import Block, cut, line
from genred.dashboard.colours import FAINT, MUTED, WARN
from genred.dashboard.words import length, provider
from genred.text import clean

if TYPE_CHECKING:
    from genred.dashboard.cells import Part
    from genred.views import NodeView

BETWEEN: Part = ("  ·  ", FAINT)
SLOW_MS = 1000.0
"""Decisions later than this after their audio are shown as a warning."""


def health(view: NodeView) -> list[Part]:
    """Provider, lag, losses and time running, the most important first."""
    feeds = [feed.health for feed in view.feeds]
    lag = max((each.lag_ms for each in feeds), default=0.0)
    lost = sum(each.dropped_seconds for each in feeds)
    overruns = sum(each.overflows for each in feeds)
    reconnects = sum(each.reconnects for each in feeds)
    out: list[Part] = [
        (provider(clean(view.provider)), MUTED),
        (f"lag {lag:.{1 if lag < 10 else 0}f} ms", WARN if lag > SLOW_MS else MUTED),
    ]
    if overruns or lost:
        out.append((f"lost {lost:.1f} s in {overruns} overruns", WARN))
    else:
        out.append(("nothing lost", MUTED))
    if reconnects:
        out.append((f"{reconnects} reconnects", MUTED))
    out.append((f"up {length(view.clock - view.started_at)}", MUTED))
    return out


def footer(view: NodeView, width: int) -> Block:
    """One line: health at the left, publishers at the right, less of both where it is narrow."""
    published = "  ·  ".join(clean(each) for each in view.publishers) or "published nowhere"
    pieces = health(view)
    room = width - min(cell_len(published), max(width // 2, width - 32)) - 2
    left: list[Part] = []
    used = 0
    for at, piece in enumerate(pieces):
        between = [BETWEEN] if at else []
        size = sum(cell_len(text) for text, _ in [*between, piece])
        if used + size > room:
            break
        left += [*between, piece]
        used += size
    right = cut(published, width - used - (2 if used else 0))
    return Block(width, [line(width, left, [(right, MUTED)])])


def notice_line(notice: str, width: int) -> Block:
    """One line that tells the last warning."""
    return Block(width, [line(width, [("! ", WARN), (clean(notice), WARN)])])
