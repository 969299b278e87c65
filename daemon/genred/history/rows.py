"""A report as flat rows, for CSV, JSON and whoever else reads tables; times are ISO 8601 in UTC."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from genred.clock import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genred.history.report import FeedReport

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a report: its columns, and its rows in that order."""

    columns: tuple[str, ...]
    rows: Callable[[FeedReport], Iterator[Row]]


def _played(report: FeedReport) -> Iterator[Row]:
    for each in report.played:
        yield {
            "feed": each.feed,
            "start": iso(each.start),
            "end": iso(each.end),
            "seconds": round(each.seconds, 3),
            "label": each.label,
            "kind": each.kind,
            "confidence": round(each.confidence, 4),
            "title": each.title,
            "on": each.on,
            "cut": each.cut,
        }


def _shares(report: FeedReport) -> Iterator[Row]:
    for each in report.shares:
        yield {
            "feed": report.feed,
            "label": each.label,
            "kind": each.kind,
            "seconds": round(each.seconds, 3),
            "share": round(each.share, 6),
            "times": each.times,
        }


def _changes(report: FeedReport) -> Iterator[Row]:
    for hour, number in report.changes:
        yield {"feed": report.feed, "hour": iso(hour), "changes": number}


def _dead_air(report: FeedReport) -> Iterator[Row]:
    for each in report.dead_air:
        yield {
            "feed": each.feed,
            "start": iso(each.start),
            "end": iso(each.end),
            "seconds": round(each.seconds, 3),
            "on": each.on,
            "cut": each.cut,
        }


def _events(report: FeedReport) -> Iterator[Row]:
    for each in report.events:
        row = asdict(each)
        for key in ("ts", "start", "end"):
            row[key] = None if row[key] is None else iso(row[key])
        yield row


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


PARTS: Final = {
    "played": Part(_columns("feed start end seconds label kind confidence title on cut"), _played),
    "shares": Part(_columns("feed label kind seconds share times"), _shares),
    "changes": Part(_columns("feed hour changes"), _changes),
    "dead-air": Part(_columns("feed start end seconds on cut"), _dead_air),
    "events": Part(
        _columns(
            "feed ts event_type label kind confidence start end previous previous_seconds title"
        ),
        _events,
    ),
}
"""The parts by name."""
