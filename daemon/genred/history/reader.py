"""The reading side: what played when, how the air time was shared, how often it changed.

Each call opens a read-only connection of its own and sees one state of the file, so that a reader
may be used from any thread and never holds the writer up. All times are Unix seconds of the audio,
``since`` is within a span and ``until`` beyond it. A segment that is still on reaches to where it
was last told of (a heartbeat ago at most).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from genred.history.schema import reading
from genred.messages import EventType

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

T = TypeVar("T", bound="Stretch")

HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time on one feed. ``end`` is where it ended, or was last heard while ``on``."""

    feed: str
    start: float
    end: float
    on: bool
    """Still on, as far as the file knows."""
    cut: bool
    """Nothing told its end (the daemon was killed): it was heard at least until ``end``."""

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Played(Stretch):
    """A stretch of one label."""

    label: str
    kind: str
    confidence: float
    """Mean of what was told of it while it was on."""
    title: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadAir(Stretch):
    """A stretch of silence that was told as dead air."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """An event as it was told."""

    feed: str
    ts: float
    event_type: str
    label: str
    kind: str
    confidence: float
    start: float
    end: float | None
    previous: str | None
    previous_seconds: float | None
    title: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one label had of the time that was heard."""

    label: str
    kind: str
    seconds: float
    share: float
    """Of all that was heard in the span, 0 to 1."""
    times: int
    """In how many segments."""


class Reader:
    """Reads the history at ``path``.

    Every method raises :class:`genred.errors.InputError` where there is no file or it cannot be
    read, :class:`genred.errors.AccessError` where it may not be, and
    :class:`genred.errors.ConfigError` for a file that is no history or a newer one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def feeds(self) -> tuple[str, ...]:
        """All feeds that anything is kept of, by name."""
        with reading(self.path) as db:
            return tuple(sorted({*_feeds(db, "segments"), *_feeds(db, "events")}))

    def span(self) -> tuple[float, float] | None:
        """From when to when anything is kept; None if nothing is."""
        with reading(self.path) as db:
            row = db.execute("SELECT min(start) a, max(coalesce(until, seen)) b FROM segments")
            first, last = row.fetchone()
        return None if first is None else (first, last)

    def segments(self, feed: str | None, since: float, until: float) -> list[Played]:
        """All that overlaps the span, whole, by start; of all feeds where ``feed`` is None."""
        with reading(self.path) as db:
            return [
                Played(
                    feed=row["feed"],
                    label=row["label"],
                    kind=row["kind"],
                    start=row["start"],
                    end=row["last"],
                    confidence=row["confidence"],
                    title=row["title"],
                    on=row["until"] is None,
                    cut=bool(row["cut"]),
                )
                for row in _overlapping(db, "segments", feed, since, until)
            ]

    def dead_air(self, feed: str | None, since: float, until: float) -> list[DeadAir]:
        """All dead air that overlaps the span, whole, by start."""
        with reading(self.path) as db:
            return [
                DeadAir(
                    feed=row["feed"],
                    start=row["start"],
                    end=row["last"],
                    on=row["until"] is None,
                    cut=bool(row["cut"]),
                )
                for row in _overlapping(db, "dead_air", feed, since, until)
            ]

    def events(
        self, feed: str | None, since: float, until: float, limit: int | None = None
    ) -> list[Happened]:
        """What was told in the span, oldest first; with ``limit`` the newest so many of it."""
        with reading(self.path) as db:
            rows = db.execute(
                "SELECT feed, ts, event_type, label, kind, confidence, start, until, previous,"
                " previous_seconds, title FROM events"
                " WHERE (?1 IS NULL OR feed = ?1) AND ts >= ?2 AND ts < ?3"
                " ORDER BY ts DESC, id DESC LIMIT ?4",
                (feed, since, until, -1 if limit is None else limit),
            ).fetchall()
        return [
            Happened(**{("end" if key == "until" else key): row[key] for key in row.keys()})  # noqa: SIM118 - a Row's keys
            for row in reversed(rows)
        ]

    def shares(self, feed: str | None, since: float, until: float) -> list[Share]:
        """How the time heard in the span was shared among labels, the longest first.

        Shares add up to 1. Of several feeds their times add up.
        """
        return shares(self.segments(feed, since, until), since, until)

    def changes_per_hour(
        self, feed: str | None, since: float, until: float
    ) -> list[tuple[float, int]]:
        """Start of each hour (of UTC) that overlaps the span, and how many changes it had."""
        with reading(self.path) as db:
            rows = db.execute(
                "SELECT CAST(ts / 3600 AS INTEGER) AS hour, count(*) AS changes FROM events"
                " WHERE (?1 IS NULL OR feed = ?1) AND ts >= ?2 AND ts < ?3 AND event_type = ?4"
                " GROUP BY hour",
                (feed, since, until, EventType.CHANGED.value),
            ).fetchall()
        counted = {row["hour"]: row["changes"] for row in rows}
        first, last = math.floor(since / HOUR_S), math.ceil(until / HOUR_S)
        return [(hour * HOUR_S, counted.get(hour, 0)) for hour in range(first, last)]

    def strip(self, feed: str, since: float, until: float) -> list[Played]:
        """The segments of one feed cut to the span: what a strip of a day is drawn from."""
        return list(clipped(self.segments(feed, since, until), since, until))


def clipped(played: Iterable[T], since: float, until: float) -> Iterator[T]:
    """Each stretch as far as it lies within the span."""
    for each in played:
        start, end = max(each.start, since), min(each.end, until)
        if end > start:
            yield replace(each, start=start, end=end)


def shares(played: list[Played], since: float, until: float) -> list[Share]:
    """As :meth:`Reader.shares`, of segments that were read already."""
    totals: dict[str, tuple[str, float, int]] = {}
    for each in clipped(played, since, until):
        kind, seconds, times = totals.get(each.label, (each.kind, 0.0, 0))
        totals[each.label] = (kind, seconds + each.seconds, times + 1)
    heard = sum(seconds for _, seconds, _ in totals.values())
    found = [
        Share(label=label, kind=kind, seconds=seconds, share=seconds / heard, times=times)
        for label, (kind, seconds, times) in totals.items()
    ]
    return sorted(found, key=lambda share: (-share.seconds, share.label))


def _overlapping(
    db: sqlite3.Connection, table: str, feed: str | None, since: float, until: float
) -> list[sqlite3.Row]:
    """Rows of ``table`` that overlap the span, by start; found by the index, however old the file.

    What is on at ``since`` is the stretch that began last before it. A clock that was set back may
    have put others there: those of a day before are looked at too.
    """
    rows: list[sqlite3.Row] = []
    for each in _feeds(db, table) if feed is None else (feed,):
        (last,) = db.execute(
            f"SELECT max(start) FROM {table} WHERE feed = ? AND start <= ?",  # noqa: S608 - a name of ours
            (each, since),
        ).fetchone()
        rows += db.execute(
            f"SELECT *, coalesce(until, max(seen, start)) AS last FROM {table}"  # noqa: S608 - a name of ours
            " WHERE feed = ? AND start >= ? AND start < ? AND coalesce(until, seen) > ?",
            (each, (since if last is None else last) - DAY_S, until, since),
        ).fetchall()
    return sorted(rows, key=lambda row: (row["start"], row["id"]))


def _feeds(db: sqlite3.Connection, table: str) -> list[str]:
    """The feeds in ``table``, by name: one look into the index for each."""
    found: list[str] = []
    while True:
        (following,) = db.execute(
            f"SELECT min(feed) FROM {table} WHERE feed > ?",  # noqa: S608 - a name of ours
            (found[-1] if found else "",),
        ).fetchone()
        if following is None:
            return found
        found.append(following)
