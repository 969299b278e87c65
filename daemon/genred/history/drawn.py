"""The history drawn in a terminal: a day as a strip, a week as a map of hours, shares as bars."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text

from genred.dashboard.colours import ALARM, BAD, FAINT, MUTED, STRONG, label_fill, label_style
from genred.dashboard.scores import bar
from genred.dashboard.words import length
from genred.history.report import day_of, strongest, touched
from genred.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from genred.history.reader import Share
    from genred.history.report import FeedReport

DAYS: Final = 7
HOURS: Final = 24
HOUR_CELLS: Final = 3
"""Cells of an hour in the week's map."""

DAY_CELLS: Final = 7
"""And of a day's name: the map fits into 80."""

BAR_CELLS: Final = 40
NAME_CELLS: Final = 12


def day(report: FeedReport, width: int) -> RenderableType:
    """The report's span as one strip, ``width`` cells wide, with its hours and its shares."""
    lines = [
        _title(report.feed, f"{_date(report.since)}, heard {length(report.heard_seconds)}"),
        _strip(report, width),
        _hours(report.since, report.until, width),
    ]
    if report.dead_air:
        dead = touched(report.dead_air, report.since, report.until, width)
        marks = Text("".join("▲" if each else " " for each in dead), BAD)
        told = f"dead air {len(report.dead_air)} times, {length(report.dead_air_seconds)}"
        lines += [marks, Text(told, BAD)]
    return Group(*lines, _legend(report.shares, width))


def week(report: FeedReport) -> RenderableType:
    """Seven days ending with the report's span: what each hour was most, dead air marked."""
    lines = [_title(report.feed, f"week to {_date(report.until - 1)}")]
    axis = Text(" " * DAY_CELLS, MUTED)
    for hour in range(HOURS):
        axis.append(f"{hour:02}".ljust(HOUR_CELLS) if hour % 3 == 0 else " " * HOUR_CELLS)
    lines.append(axis)
    for start, end in days_until(report.until):
        hours = strongest(report.played, start, end, HOURS)
        dead = touched(report.dead_air, start, end, HOURS)
        row = Text(time.strftime("%a %d ", time.localtime(start)), MUTED)
        for cell, silent in zip(hours, dead, strict=True):
            if cell is None:
                row.append("·".center(HOUR_CELLS), FAINT)
                continue
            word = clean(cell[0])[: HOUR_CELLS - 1]
            row.append(word.ljust(HOUR_CELLS - 1), label_fill(cell[0]))
            row.append("!" if silent else " ", ALARM if silent else label_fill(cell[0]))
        lines.append(row)
    return Group(*lines, _legend(report.shares, DAY_CELLS + HOURS * HOUR_CELLS))


def share(report: FeedReport) -> RenderableType:
    """A bar for each label: its share of the time that was heard."""
    lines = [_title(report.feed, f"heard {length(report.heard_seconds)}")]
    for each in report.shares:
        row = Text(clean(each.label)[:NAME_CELLS].ljust(NAME_CELLS))
        for text, style in bar(each.share, BAR_CELLS, each.label):
            row.append(text, style)
        row.append(f" {each.share:6.1%} ")
        row.append(f"{length(each.seconds):>12}", MUTED)
        lines.append(row)
    if not report.shares:
        lines.append(Text("nothing was heard", FAINT))
    return Group(*lines)


def days_until(until: float) -> list[tuple[float, float]]:
    """The seven local days that end with the one before ``until``, oldest first."""
    return [day_of(until - 1, later) for later in range(1 - DAYS, 1)]


def _title(feed: str, told: str) -> Text:
    return Text.assemble((clean(feed), STRONG), ("  ", ""), (told, MUTED))


def _strip(report: FeedReport, width: int) -> Text:
    cells = strongest(report.played, report.since, report.until, width)
    row = Text()
    start = 0
    for at in range(1, width + 1):
        here, begun = (cells[at] if at < width else None), cells[start]
        if at < width and (here and here[0]) == (begun and begun[0]):
            continue
        room = at - start
        if begun is None:
            row.append("·" * room, FAINT)
        else:
            word = clean(begun[0])
            text = f" {word}" if len(word) + 2 <= room else word[:1] if room > 1 else ""
            row.append(text.ljust(room), label_fill(begun[0]))
        start = at
    return row


def _hours(since: float, until: float, width: int) -> Text:
    """The axis: times at a sixth of the span."""
    axis = [" "] * width
    for part in range(7):
        told = time.strftime("%H:%M", time.localtime(since + part * (until - since) / 6))
        at = min(round(part * width / 6), width - len(told))
        axis[at : at + len(told)] = told
    return Text("".join(axis), MUTED)


def _legend(shares: Sequence[Share], width: int) -> Text:
    row = Text()
    for each in shares:
        words = f"{clean(each.label)} {each.share:.0%}"
        if len(row.plain) + len(words) + 5 > width:
            break
        row.append("   " if row.plain else "")
        row.append("■ ", label_style(each.label))
        row.append(words)
    return row


def _date(ts: float) -> str:
    return time.strftime("%a %d %b", time.localtime(ts))
