"""What happened last, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.dashboard.cells import Block, blank, fit, line
from genred.dashboard.colours import ALARM, FAINT, GOOD, MUTED, label_style
from genred.dashboard.words import clock_time, length
from genred.messages import EventType
from genred.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.dashboard.cells import Line, Part
    from genred.messages import FeedEvent

FEED_CELLS = 12
"""Room for the feed's name where events of several feeds stand together."""


def happenings(
    events: Sequence[FeedEvent], width: int, height: int, with_feed: bool = False
) -> Block:
    """``height`` lines, one an event; ``events`` oldest first."""
    lines: list[Line] = []
    for event in reversed(events[-height:] if height else ()):
        parts: list[Part] = [(clock_time(event.ts), MUTED), ("  ", None)]
        if with_feed:
            parts += [(fit(clean(event.feed), FEED_CELLS), MUTED), ("  ", None)]
        parts += _told(event)
        if event.title:
            parts += [("   ", None), (clean(event.title), FAINT)]
        lines.append(line(width, parts))
    if not lines and height:
        lines.append(line(width, [("nothing has happened yet", FAINT)]))
    lines += [blank(width)] * (height - len(lines))
    return Block(width, lines)


def _told(event: FeedEvent) -> list[Part]:
    label: Part = (clean(event.label), label_style(event.label, bold=True))
    sure: Part = (f"  {event.confidence:.0%}", MUTED)
    kind = event.event_type
    if kind == EventType.DEAD_AIR:
        return [(" dead air ", ALARM)]
    if kind == EventType.RECOVERED:
        return [("sound again", GOOD)]
    if kind == EventType.CHANGED and event.previous is not None:
        before: list[Part] = [
            (clean(event.previous), label_style(event.previous)),
            (" → ", MUTED),
        ]
        after = ""
        if event.previous_seconds is not None:
            after = f"  after {length(event.previous_seconds)}"
        return [*before, label, sure, (after, FAINT)]
    if kind == EventType.ENDED:
        lasted = f" after {length(event.end - event.start)}" if event.end is not None else ""
        return [label, (f" ended{lasted}", MUTED)]
    return [label, (f" {clean(kind)}", MUTED), sure]
