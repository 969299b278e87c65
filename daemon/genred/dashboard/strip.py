"""The last minutes as a strip coloured by label, and its legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len

from genred.dashboard.cells import Block, Ink, line
from genred.dashboard.colours import ALARM, BAD, FAINT, MUTED, label_fill, label_style
from genred.dashboard.words import length, minutes
from genred.labels import SILENCE
from genred.messages import EventType
from genred.text import clean

if TYPE_CHECKING:
    from rich.style import Style

    from genred.dashboard.cells import Part
    from genred.views import FeedView

DEAD_AIR = "dead air"


def strip(feed: FeedView, width: int, seconds: float, ink: Ink) -> Block:
    """One line that ends now and shows ``seconds``; a stretch carries its label where it fits.

    Cells are cut at fixed moments, so that the strip moves a whole cell at a time.
    """
    step = seconds / width
    first = math.ceil(feed.now / step) - width
    cells: list[str | None] = [None] * width
    for label, start, end in stretches(feed):
        begin = max(math.floor(start / step + 0.5) - first, 0)
        stop = width if end is None else min(math.floor(end / step + 0.5) - first, width)
        if end is None:
            begin = min(begin, width - 1)
        for at in range(begin, stop):
            cells[at] = label
    parts: list[Part] = []
    start_at = 0
    for at in range(1, width + 1):
        if at == width or cells[at] != cells[start_at]:
            parts.append(_stretch(cells[start_at], at - start_at, ink))
            start_at = at
    return Block(width, [line(width, parts)])


def legend(feed: FeedView, width: int, seconds: float) -> Block:
    """One line: each label of the strip with the time it had there, the longest first.

    Dead air stands for itself and is part of the silence too.
    """
    since = feed.now - seconds
    totals: dict[str, float] = {}
    for label, start, end in stretches(feed):
        overlap = (feed.now if end is None else end) - max(start, since)
        if overlap > 0:
            totals[label] = totals.get(label, 0.0) + overlap
    right: list[Part] = [(f"last {minutes(seconds / 60)}", FAINT)]
    room = width - cell_len(right[0][0]) - 2
    left: list[Part] = []
    for label, total in sorted(totals.items(), key=lambda one: (-one[1], one[0])):
        words: list[Part] = [
            ("   " if left else "", None),
            ("■ ", BAD if label == DEAD_AIR else label_style(label)),
            (f"{clean(label)} ", None),
            (length(total), MUTED),
        ]
        room -= sum(cell_len(text) for text, _ in words)
        if room < 0:
            break
        left += words
    return Block(width, [line(width, left, right)])


def stretches(feed: FeedView) -> list[tuple[str, float, float | None]]:
    """Label, start and end of all that the strip shows, dead air last so that it lies on top."""
    out: list[tuple[str, float, float | None]] = [
        (each.label, each.start, each.end) for each in feed.segments
    ]
    began: float | None = None
    for event in feed.events:
        if event.event_type == EventType.DEAD_AIR:
            began = event.ts
        elif event.event_type == EventType.RECOVERED and began is not None:
            out.append((DEAD_AIR, began, event.ts))
            began = None
    if feed.state.dead_air:
        silent = [each.start for each in feed.segments if each.label == SILENCE]
        started = began if began is not None else (silent[-1] if silent else feed.now)
        out.append((DEAD_AIR, started, None))
    return out


def _stretch(label: str | None, width: int, ink: Ink) -> tuple[str, Style]:
    if label is None:
        return "·" * width, FAINT
    word = clean(label)
    room = width - 2
    text = f" {word} " if cell_len(word) <= room else ""
    if ink in (Ink.COLOUR, Ink.FEW):
        style = ALARM if label == DEAD_AIR else label_fill(label)
        return text + " " * (width - cell_len(text)), style
    if not text:
        text = word[: width - 1] if word.isascii() else ""
    return "│" + text.strip() + "─" * (width - 1 - cell_len(text.strip())), label_style(label)
