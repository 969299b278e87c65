"""The history as tables in a terminal; times are local."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from genred.dashboard.colours import BAD, FAINT, MUTED, STRONG, label_style
from genred.dashboard.words import clock_time, length
from genred.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from genred.history.reader import DeadAir, Played
    from genred.history.report import FeedReport

NEWEST: Final = 20
"""Rows of what played and of dead air, where all parts are shown; one part is shown whole."""


def tables(report: FeedReport, what: str | None) -> RenderableType:
    """The part of the report named ``what``; all of it in short where that is None."""
    head = Text.assemble(
        (clean(report.feed), STRONG),
        (f"  {_when(report.since)} to {_when(report.until)}", MUTED),
        f"  heard {length(report.heard_seconds)}",
    )
    if what is not None:
        return Group(head, _PARTS[what](report, None))
    parts: list[RenderableType] = [head]
    for title, name in (
        ("what played", "played"),
        ("share of the time heard", "shares"),
        (f"changes an hour: {report.changes_an_hour:.1f}", "changes"),
        ("dead air", "dead-air"),
    ):
        parts += [Text(), Text(title, STRONG), _PARTS[name](report, NEWEST)]
    return Group(*parts)


def _played(report: FeedReport, newest: int | None) -> RenderableType:
    table = _table("from", "to", "length>", "label", "sure>", "title")
    rows = report.played
    for each in rows if newest is None else rows[-newest:]:
        table.add_row(
            _when(each.start),
            _end(each),
            length(each.seconds),
            Text(clean(each.label), label_style(each.label)),
            f"{each.confidence:.0%}",
            Text(clean(each.title or ""), MUTED),
        )
    return _with_rest(table, len(rows), newest, "played")


def _shares(report: FeedReport, newest: int | None) -> RenderableType:
    del newest
    table = _table("label", "share>", "time>", "times>", "at a time>")
    for each in report.shares:
        table.add_row(
            Text(clean(each.label), label_style(each.label)),
            f"{each.share:.1%}",
            length(each.seconds),
            str(each.times),
            length(each.seconds / each.times),
        )
    return table if report.shares else Text("nothing was heard", FAINT)


def _changes(report: FeedReport, newest: int | None) -> RenderableType:
    most = max((number for _, number in report.changes), default=0)
    if newest is not None:
        # One line: an hour a character, the busiest as high as it gets.
        bars = "".join(_height(number, most) for _, number in report.changes[-72:])
        return Text.assemble(bars, (f"  {most} at most" if most else "  none", MUTED))
    table = _table("hour", "changes>")
    for hour, number in report.changes:
        table.add_row(_when(hour), str(number))
    return table


def _height(number: int, most: int) -> str:
    return "▁▂▃▄▅▆▇█"[min(round(7 * number / most), 7)] if most else "▁"


def _dead_air(report: FeedReport, newest: int | None) -> RenderableType:
    if not report.dead_air:
        return Text("none", MUTED)
    table = _table("from", "to", "length>")
    rows = report.dead_air
    for each in rows if newest is None else rows[-newest:]:
        table.add_row(_when(each.start), _end(each), Text(length(each.seconds), BAD))
    return _with_rest(table, len(rows), newest, "dead-air")


def _events(report: FeedReport, newest: int | None) -> RenderableType:
    del newest
    table = _table("at", "event", "label", "sure>", "title")
    for each in report.events:
        table.add_row(
            _when(each.ts),
            clean(each.event_type),
            Text(clean(each.label), label_style(each.label)),
            f"{each.confidence:.0%}",
            Text(clean(each.title or ""), MUTED),
        )
    return table


_PARTS: Final[dict[str, Callable[[FeedReport, int | None], RenderableType]]] = {
    "played": _played,
    "shares": _shares,
    "changes": _changes,
    "dead-air": _dead_air,
    "events": _events,
}


def _table(*columns: str) -> Table:
    """A table; the name of a column of numbers ends with ``>``."""
    table = Table(box=None, pad_edge=False, header_style=MUTED)
    for name in columns:
        table.add_column(name.removesuffix(">"), justify="right" if name.endswith(">") else "left")
    return table


def _with_rest(table: Table, rows: int, newest: int | None, what: str) -> RenderableType:
    if newest is None or rows <= newest:
        return table if rows else Text("nothing was heard", FAINT)
    rest = Text(f"and {rows - newest} before: --what {what}", FAINT)
    return Group(table, rest)


def _end(each: Played | DeadAir) -> Text:
    if each.on:
        return Text("still on", MUTED)
    # What a killed daemon left open lasted at least so long.
    return Text(clock_time(each.end) + ("?" if each.cut else ""))


def _when(ts: float) -> str:
    return time.strftime("%a %d %b %H:%M:%S", time.localtime(ts))
