"""Writes the history on a thread of its own: whoever hears never waits for a disk.

Messages wait in a bounded queue and go to the disk in batches. A disk that is full, read-only or
gone is told once and tried again for ever; meanwhile the queue holds the newest events.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from genred.clock import SystemClock
from genred.errors import ConfigError, GenredError
from genred.messages import FeedEvent, FeedState

if TYPE_CHECKING:
    from genred.clock import Clock
    from genred.history.store import Store
    from genred.messages import Message, NodeInfo

log = logging.getLogger("genred.history")

QUEUE: Final = 20_000
"""Events kept while the disk takes none, about 10 MB: a busy feed's for two weeks, fifty feeds'
for a few hours. Beyond them the oldest go and are counted."""

BATCH: Final = 500
"""Events in one transaction at most: few milliseconds, little lost work when it fails."""

LINGER_S: Final = 0.5
"""So long the first message of a batch waits for others: one sync of the disk for all feeds that
speak at once. The most that a kill can take."""

RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""The pause before the file is tried again is doubled between these two."""

PRUNE_S: Final = 3600.0
"""How often old rows are deleted; age is counted in days."""

STOP_S: Final = 1.0
"""For what waits at the end: the stop of the daemon waits no longer for its disk."""


class Recorder:
    """Keeps what it is told in ``store``; ``name`` is the node's."""

    def __init__(self, store: Store, name: str, clock: Clock | None = None) -> None:
        self._store = store
        self._name = name
        self._clock = clock or SystemClock()
        self._node: NodeInfo | None = None
        self._events: deque[FeedEvent] = deque()
        self._states: dict[str, FeedState] = {}
        self._news = threading.Condition()
        self._offered = 0
        self._kept = 0
        self._hurried = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._fault = ""
        self._given_up = False
        self._pause = RETRY_MIN_S
        self._next_prune = 0.0
        self.lost = 0
        """Events that found no place while the disk took none."""

    def start(self, node: NodeInfo) -> None:
        """Begin; the file is opened by the thread, so that a slow disk holds nobody up."""
        self._node = node
        self._thread = threading.Thread(target=self._run, name="genred-history", daemon=True)
        self._thread.start()

    def offer(self, message: Message) -> None:
        """Take an event or a state; never waits, never raises. Other messages are not kept."""
        if self._given_up:
            return
        if isinstance(message, FeedEvent):
            with self._news:
                self._events.append(message)
                self._states.pop(message.feed, None)  # states that wait are newer than events
                self._offered += 1
                if len(self._events) > QUEUE:
                    self._events.popleft()
                    self.lost += 1
                    self._kept += 1  # nobody need wait for it
                self._news.notify_all()
        elif isinstance(message, FeedState):
            with self._news:
                self._states[message.feed] = message
                self._news.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all events offered so far are on the disk; False if they are not."""
        with self._news:
            wanted = self._hurried = self._offered
            self._news.notify_all()
            return (
                self._news.wait_for(lambda: self._kept >= wanted or self._given_up, seconds)
                and not self._given_up
            )

    def status(self) -> str:
        """How it is doing, in one line."""
        if self._fault:
            return f"history: {self._fault}"
        return f"history {self._store.path.name}" + (f", {self.lost} lost" if self.lost else "")

    def stop(self) -> None:
        """Keep what waits, within :data:`STOP_S`, and close the file."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_S)
            self._thread = None

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception:
            log.exception("the history has ended, listening goes on: a fault in genred")
            self._keep_no_more("a fault in genred")
        finally:
            try:
                self._store.end()
            except sqlite3.Error:
                log.debug("closing the history", exc_info=True)

    def _turn(self) -> bool:
        """Wait for a batch and write it; False at the end."""
        with self._news:
            self._news.wait_for(self._is_news, self._patience())
            if not (self._stopping or self._fault or self._in_a_hurry()):
                self._news.wait_for(lambda: self._stopping or self._in_a_hurry(), LINGER_S)
            stopping = self._stopping
            events = [self._events[at] for at in range(min(BATCH, len(self._events)))]
            last = len(events) == len(self._events)
            states = list(self._states.values()) if last else []
            if states:
                self._states = {}
        try:
            self._write(events, states, ended=stopping and last)
        except ConfigError as error:
            self._give_up(error)
            return False
        except (sqlite3.Error, OSError, GenredError) as error:
            self._fail(error)
            return self._wait_before_retry()
        with self._news:
            for event in events:
                # By identity: meanwhile the oldest may have made room for newer ones.
                if self._events and self._events[0] is event:
                    self._events.popleft()
                    self._kept += 1
            self._news.notify_all()
            return not (stopping and not self._events)

    def _is_news(self) -> bool:
        return bool(self._stopping or self._events or self._states)

    def _in_a_hurry(self) -> bool:
        return self._kept < self._hurried or len(self._events) >= BATCH

    def _patience(self) -> float:
        return 0.0 if not self._store.is_open else max(self._next_prune - time.monotonic(), 0.0)

    def _write(self, events: list[FeedEvent], states: list[FeedState], *, ended: bool) -> None:
        assert self._node is not None
        store = self._store
        if store.is_open and store.replaced():
            store.close()
        if not store.is_open:
            store.open()
        now = self._clock.now()
        if time.monotonic() >= self._next_prune or store.full():
            store.prune(now)
            self._next_prune = time.monotonic() + PRUNE_S
        store.write(self._node, self._name, events, states, now=now, ended=ended)
        if self._fault:
            log.info("history: written again, %d events lost", self.lost)
            self._fault, self._pause = "", RETRY_MIN_S

    def _fail(self, error: Exception) -> None:
        try:
            self._store.close()
        except sqlite3.Error:
            log.debug("closing the history", exc_info=True)
        if _damaged(error) and self._put_aside(error):
            pass
        elif not self._fault:
            told = str(error) if isinstance(error, GenredError) else f"{self._store.path}: {error}"
            log.warning("history: %s; listening goes on, trying again", told)
        self._fault = getattr(error, "message", None) or _short(error)

    def _put_aside(self, error: Exception) -> bool:
        try:
            aside = self._store.put_aside()
        except OSError:
            return False
        log.error("history: %s; put aside as %s, begun anew", error, aside)
        return True

    def _give_up(self, error: ConfigError) -> None:
        log.error("history: nothing is kept: %s", error)
        self._keep_no_more(error.message)

    def _keep_no_more(self, why: str) -> None:
        with self._news:
            self._fault, self._given_up = f"nothing is kept: {why}", True
            self._events.clear()
            self._states.clear()
            self._news.notify_all()

    def _wait_before_retry(self) -> bool:
        with self._news:
            if self._stopping:
                return False
            self._news.wait_for(lambda: self._stopping, self._pause)
        self._pause = min(2 * self._pause, RETRY_MAX_S)
        return True


def _short(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "not writable"


def _damaged(error: Exception) -> bool:
    # The low byte is the code, the others tell more of it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT
