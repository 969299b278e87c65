"""The clock seam: wall time for what people read, monotonic time for intervals, and a fake."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import threading

SUSPENDED_S: Final = 0.5
"""The machine was suspended if it was for longer than this since the last look: a suspension takes
seconds, and reading two clocks milliseconds even on a busy machine."""

_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """Where genred takes the time from."""

    def now(self) -> float:
        """Unix time in seconds; may jump when the system clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean something."""
        ...

    def suspended(self) -> float:
        """Seconds for which the machine has been suspended since it was started.

        :meth:`monotonic` does not count them, :meth:`now` does.
        """
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for ``event`` at most ``seconds``; tells whether it is set."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic()

    def suspended(self) -> float:
        """By how much Linux' clock that counts suspensions is ahead of the one that does not.

        Never too much, whatever happens between the two looks; 0 where there is no such clock.
        """
        return time.clock_gettime(_BOOTTIME) - time.monotonic() if _BOOTTIME is not None else 0.0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for ``event`` at most ``seconds``."""
        return event.wait(seconds)


class FakeClock:
    """A clock that moves only when told; ``wait`` moves it instead of sleeping."""

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0
        self._suspended = 0.0

    def now(self) -> float:
        """Unix time in seconds, as set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    def suspended(self) -> float:
        """Seconds suspended so far."""
        return self._suspended

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Advance by ``seconds`` unless ``event`` is set already."""
        if not event.is_set():
            self.advance(seconds)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self._now += seconds
        self._monotonic += seconds

    def suspend(self, seconds: float) -> None:
        """Suspend the machine: its monotonic clock stands still meanwhile."""
        self._now += seconds
        self._suspended += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic one does not notice."""
        self._now += seconds


def iso(timestamp: float) -> str:
    """Unix time as UTC in ISO 8601 with milliseconds: ``2026-01-31T09:00:00.250Z``."""
    moment = datetime.fromtimestamp(timestamp, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
