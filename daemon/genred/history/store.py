"""The writing side of the file: messages become rows, old rows go.

Used from one thread at a time. Nothing here is caught but what is told by name: a failed write
leaves the file as it was before, and the caller comes again with the same messages.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from genred.errors import TemporaryError
from genred.history.schema import MIGRATIONS, PAGE_BYTES, open_for_writing, transaction
from genred.labels import Kind
from genred.messages import EventType, FeedEvent, FeedState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genred.messages import NodeInfo

DAY_S: Final = 86400.0

PRUNED_AT_ONCE: Final = 2000
"""Rows of each table deleted in one transaction: milliseconds, and a short log."""

LOW_WATER: Final = 0.9
"""Of the size allowed, what is left after the oldest were deleted for it."""

HEADROOM_PAGES: Final = 64
"""The writer makes room before so few pages are left: a batch must still fit."""

SAME_S: Final = 0.002
"""Times of one segment that differ by less are equal: messages carry milliseconds."""


class Store:
    """The file at ``path``, written by this process alone. ``max_bytes`` bounds it."""

    def __init__(
        self,
        path: Path,
        keep_s: float,
        max_bytes: int,
        migrations: Sequence[str] = MIGRATIONS,
    ) -> None:
        self.path = path
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._migrations = migrations
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._run: tuple[int, float] | None = None

    @property
    def is_open(self) -> bool:
        """Can it be written to, as far as is known."""
        return self._connection is not None

    @property
    def _db(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def open(self) -> None:
        """Open it; the first time, what a killed daemon left open is closed where it was last seen.

        Raises :class:`ConfigError` for what never passes, :class:`TemporaryError` while another
        daemon writes it, ``sqlite3.Error`` and ``OSError``.
        """
        first = self._lock is None
        self._take_lock()
        self._connection = open_for_writing(self.path, self._max_bytes, self._migrations)
        found = self.path.stat()
        self._file = (found.st_dev, found.st_ino)
        if first:
            self._close_what_is_open()

    def _take_lock(self) -> None:
        """Be the only writer, for life: the kernel takes the lock back from whoever is killed."""
        if self._lock is not None:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self.path.with_name(self.path.name + ".lock")
        lock = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise TemporaryError(
                f"another genred writes {self.path}", "give each its own history.path"
            ) from None
        self._lock = lock

    def _close_what_is_open(self) -> None:
        with transaction(self._db):
            for table in ("segments", "dead_air"):
                self._db.execute(
                    f"UPDATE {table} SET until = max(seen, start), cut = 1 WHERE until IS NULL"  # noqa: S608 - a name of ours
                )

    def replaced(self) -> bool:
        """Has the file been taken away or exchanged while it was open."""
        try:
            found = self.path.stat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._file

    def close(self) -> None:
        """Let go of the file, whatever state it is in; the lock stays."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def put_aside(self) -> Path:
        """Rename a damaged file, for whoever wants to save what is left; an older one goes."""
        self.close()
        aside = self.path.with_name(f"{self.path.name}.damaged")
        self.path.replace(aside)
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        return aside

    def end(self) -> None:
        """Close it for good."""
        try:
            self.close()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def write(
        self,
        node: NodeInfo,
        name: str,
        events: Sequence[FeedEvent],
        states: Sequence[FeedState],
        *,
        now: float,
        ended: bool = False,
    ) -> None:
        """Keep all this, in one transaction that is on the disk when this returns.

        The same messages written twice are kept once. ``states`` are newer than ``events``.
        """
        with transaction(self._db):
            run = self._of_run(node, name)
            for event in events:
                self._keep_event(run, event)
            for state in states:
                self._keep_state(state)
            self._db.execute(
                "UPDATE runs SET seen = ?, ended = ? WHERE id = ?",
                (now, now if ended else None, run),
            )

    def _of_run(self, node: NodeInfo, name: str) -> int:
        """The row of this run; made anew where the file is another one than before."""
        start = node.started_at
        if self._run is not None and self._run[1] == start:
            found = self._db.execute(
                "SELECT 1 FROM runs WHERE id = ? AND started = ?", self._run
            ).fetchone()
            if found:
                return self._run[0]
        made = self._db.execute(
            "INSERT INTO runs (node, version, model, started, seen) VALUES (?, ?, ?, ?, ?)",
            (name, node.version, str(node.model.get("name", "")), start, start),
        )
        assert made.lastrowid is not None
        self._run = (made.lastrowid, start)
        return made.lastrowid

    def _keep_event(self, run: int, event: FeedEvent) -> None:
        kept = self._db.execute(
            "INSERT OR IGNORE INTO events (run, feed, seq, ts, event_type, label, kind, confidence,"
            " start, until, previous, previous_seconds, title)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run,
                event.feed,
                event.seq,
                event.ts,
                event.event_type,
                event.label,
                event.kind,
                event.confidence,
                event.start,
                event.end,
                event.previous,
                event.previous_seconds,
                event.title,
            ),
        )
        if not kept.rowcount:
            return
        match event.event_type:
            case EventType.STARTED:
                self._cut(event.feed, event.start)
                self._begin(event)
            case EventType.CHANGED:
                self._end_previous(event)
                self._begin(event)
            case EventType.ENDED:
                self._end(event)
            case EventType.DEAD_AIR:
                self._db.execute(
                    "INSERT INTO dead_air (feed, start, seen) VALUES (?, ?, ?)",
                    (event.feed, event.start, event.ts),
                )
            case EventType.RECOVERED:
                self._sound_again(event.feed, event.start)

    def _begin(self, event: FeedEvent) -> None:
        self._db.execute(
            "INSERT INTO segments (feed, label, kind, start, seen, confidence, told, title)"
            " VALUES (?, ?, ?, ?, ?, ?, 1, ?)",
            (
                event.feed,
                event.label,
                event.kind,
                event.start,
                max(event.ts, event.start),
                event.confidence,
                event.title,
            ),
        )

    def _end_previous(self, event: FeedEvent) -> None:
        """A change tells label and length of what is over: true even if its beginning was lost."""
        if event.previous is None or event.previous_seconds is None:
            self._cut(event.feed, event.start)
            return
        start = event.start - event.previous_seconds
        on = self._on(event.feed)
        if on is not None and on["label"] == event.previous:
            self._db.execute(
                "UPDATE segments SET start = ?, until = ? WHERE id = ?",
                (start, event.start, on["id"]),
            )
            return
        self._cut(event.feed, start)
        known = self._db.execute(
            "SELECT kind FROM segments WHERE label = ? LIMIT 1", (event.previous,)
        ).fetchone()
        self._db.execute(
            "INSERT INTO segments (feed, label, kind, start, until, seen, confidence, told)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
            (
                event.feed,
                event.previous,
                known[0] if known else Kind.UNKNOWN.value,
                start,
                event.start,
                event.start,
            ),
        )

    def _end(self, event: FeedEvent) -> None:
        end = event.end if event.end is not None else event.ts
        on = self._on(event.feed)
        if on is None or on["label"] != event.label:
            self._cut(event.feed, event.start)
            self._begin(event)
            on = self._on(event.feed)
            assert on is not None
        self._db.execute(
            "UPDATE segments SET start = ?, until = ?, confidence = ? WHERE id = ?",
            (event.start, max(end, event.start), event.confidence, on["id"]),
        )
        self._sound_again(event.feed, end)  # the audio is away: it is not dead air any more

    def _sound_again(self, feed: str, at: float) -> None:
        self._db.execute(
            "UPDATE dead_air SET until = max(?, start) WHERE feed = ? AND until IS NULL", (at, feed)
        )

    def _on(self, feed: str) -> sqlite3.Row | None:
        cursor = self._db.execute(
            "SELECT id, label, start, seen FROM segments"
            " WHERE feed = ? AND until IS NULL ORDER BY id DESC",
            (feed,),
        )
        cursor.row_factory = sqlite3.Row
        found: sqlite3.Row | None = cursor.fetchone()
        return found

    def _cut(self, feed: str, before: float) -> None:
        """End what is on though nothing said so: where it was last seen, at most at ``before``."""
        self._db.execute(
            "UPDATE segments SET until = max(start, min(seen, ?)), cut = 1"
            " WHERE feed = ? AND until IS NULL",
            (before, feed),
        )

    def _keep_state(self, state: FeedState) -> None:
        """What is on has been heard up to now; a clock that was set has moved its beginning."""
        on = self._on(state.feed)
        if state.since is None or on is None or on["label"] != state.label:
            return
        moved = state.since - on["start"]
        if abs(moved) > SAME_S:
            self._db.execute(
                "UPDATE dead_air SET start = start + ?1, seen = seen + ?1"
                " WHERE feed = ?2 AND until IS NULL",
                (moved, state.feed),
            )
        self._db.execute(
            "UPDATE segments SET start = ?, seen = ?, told = told + 1,"
            " confidence = (confidence * told + ?) / (told + 1), title = coalesce(title, ?)"
            " WHERE id = ?",
            (state.since, state.ts, state.confidence, state.title, on["id"]),
        )
        if state.dead_air:
            self._db.execute(
                "UPDATE dead_air SET seen = ? WHERE feed = ? AND until IS NULL",
                (state.ts, state.feed),
            )

    def prune(self, now: float) -> int:
        """Delete what is too old, and the oldest beyond the size; returns how many rows went."""
        gone = self._delete_before(now - self._keep_s)
        while self._crowded():
            (rows,) = self._db.execute("SELECT count(*) FROM events").fetchone()
            (before,) = self._db.execute(
                "SELECT ts FROM events ORDER BY ts LIMIT 1 OFFSET ?",
                (min(PRUNED_AT_ONCE, rows // 10 + 1),),
            ).fetchone() or (None,)
            if before is None:
                break
            deleted = self._delete_before(before)
            if not deleted:
                break
            gone += deleted
        if gone:
            # A page goes with each step, and a cursor takes but one: a script takes them all.
            self._db.executescript("PRAGMA incremental_vacuum")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone

    def _crowded(self) -> bool:
        used = self._pages("page_count") - self._pages("freelist_count")
        most = max(self._max_bytes // PAGE_BYTES, HEADROOM_PAGES)
        return used > min(LOW_WATER * most, most - HEADROOM_PAGES)

    def full(self) -> bool:
        """Must the oldest make room before more is written."""
        most = max(self._max_bytes // PAGE_BYTES, HEADROOM_PAGES)
        free = most - self._pages("page_count") + self._pages("freelist_count")
        return free <= HEADROOM_PAGES

    def _pages(self, what: str) -> int:
        (value,) = self._db.execute(f"PRAGMA {what}").fetchone()
        return int(value)

    def _delete_before(self, moment: float) -> int:
        gone = 0
        for table, when in (
            ("events", "ts"),
            ("segments", "until"),
            ("dead_air", "until"),
            ("runs", "seen"),
        ):
            while True:
                with transaction(self._db):
                    done = self._db.execute(
                        f"DELETE FROM {table} WHERE id IN"  # noqa: S608 - names of ours
                        f" (SELECT id FROM {table} WHERE {when} < ? LIMIT ?)",
                        (moment, PRUNED_AT_ONCE),
                    ).rowcount
                gone += done
                if done < PRUNED_AT_ONCE:
                    break
        return gone
