"""Tells people of a connection in the log: each change once, and never a flood."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from genred.errors import GenredError

REMIND_S: Final = 600.0
"""A broker that stays away is complained of again this often, and one whose connection comes and
goes is spoken of at most :data:`LINES_MAX` times in so long."""

LINES_MAX: Final = 8
"""Three restarts of a broker may be told in full; what comes and goes oftener is summed up."""


class Reporter:
    """Writes to one logger; may be used from any thread."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._lines: deque[float] = deque(maxlen=LINES_MAX)
        self._held_back = 0
        self._complaint = ""
        self._complained = 0.0

    def say(self, level: int, line: str) -> None:
        """Log a line, unless a connection that comes and goes has filled the log already."""
        now = time.monotonic()
        with self._lock:
            if self._full(now):
                self._held_back += 1
                return
            self._lines.append(now)
            if self._full(now):
                line += " (the connection comes and goes: is another client of the same id about?)"
        self._log.log(level, "%s", line)

    def complain(self, failure: GenredError) -> None:
        """A connection failed: said when it is news, and again after a while."""
        now = time.monotonic()
        with self._lock:
            if failure.message == self._complaint and now < self._complained + REMIND_S:
                return
            self._complaint, self._complained = failure.message, now
        self.say(logging.WARNING, f"{failure}; listening goes on, trying again")

    def praise(self, line: str) -> None:
        """It works: whatever fails next is news."""
        with self._lock:
            self._complaint = ""
        self.say(logging.INFO, line)

    def sum_up(self, status: Callable[[], str]) -> None:
        """After lines were held back, and some time: how things stand now."""
        with self._lock:
            held_back = self._held_back
            if not held_back or self._full(time.monotonic()):
                return
            self._held_back = 0
            self._lines.clear()
        self._log.warning("%s (%d lines held back)", status(), held_back)

    def _full(self, now: float) -> bool:
        return len(self._lines) == self._lines.maxlen and now < self._lines[0] + REMIND_S
