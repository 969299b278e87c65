"""From counted samples to the time of day, for months: the audio's clock held to the system's.

Within a stretch without a gap, time is counted in samples. But the clock of a sound card or station
is not this machine's: 100 ppm apart, usual for quartz, is 9 s a day. So the time of each arrival is
compared with the count. Arrivals can only be late, never early; the least delay within a while is
therefore the truth (the minimum filter of clock synchronisation over networks: Mills, "Internet
Time Synchronization: the Network Time Protocol", IEEE Trans. Communications 1991), and the times
follow it slowly: they never run back, and no length of time is wrong by more than :data:`SLEW`.

The system clock itself may be set. A small step is followed as slowly. A large one is followed at
once, and whoever keeps times is told by how much to move them all, so that every interval keeps its
length. A machine that was suspended is another matter: no clock was set, audio is missing, and
what was heard before keeps its times (:class:`genred.intake.FeedIntake` begins a new stretch).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from genred.clock import Clock

SLEW: Final = 500e-6
"""Times run faster or slower than samples are counted by at most this share, as an NTP client slews
a clock: above the 100 to 200 ppm by which quartzes differ, below what anybody notices."""
REANCHOR_S: Final = 2.0
"""Wrong by more than this, times are set at once: following would take more than an hour."""
WINDOW_S: Final = 10.0
"""The least delay is looked for within so long: dozens of arrivals of every source."""
RATE_OVER_S: Final = 600.0
"""The rate is measured over so long: a delay that is wrong by 5 ms is 8 ppm of it."""
RATE_FROM_S: Final = 60.0
"""After so long there is a first, rougher, measurement of the rate."""
TRUSTED: Final = 0.01
"""Audio that may come at any pace (files, pipes) is held to the clock while its pace is within this
of real time; a recording that is read fast keeps its own time."""
AT_ANY_PACE: Final = 0.2
"""Where such audio differs from real time by more, that is no drift: it is read fast."""
READ_CLOCKS_S: Final = 0.01
"""Two clocks that are read this far apart (the machine was busy) are not compared."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a stretch without a gap is tied to time."""

    index: int
    """The sample's position."""
    time: float
    """Unix time at which it was captured."""
    arrived: tuple[int, float] = (0, 0.0)
    """The position after the first block, and the monotonic time at which that came."""
    offset: float = 0.0
    """The system clock less the one that counts suspensions, at that time."""


def offset(clock: Clock) -> float | None:
    """The system clock less the one that counts suspensions: changes only when the former is set.

    None where the two could not be read together.
    """
    suspended = clock.suspended()
    before = clock.monotonic()
    now = clock.now()
    after = clock.monotonic()
    return now - before - suspended if after - before <= READ_CLOCKS_S else None


class Offsets:
    """What :func:`offset` says, read once for all feeds whose audio has arrived by then.

    For one thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: float | None = None
        self._read_at = -math.inf

    def after(self, arrived: float) -> float | None:
        """As read at this monotonic time or later."""
        if self._read_at < arrived or self._told is None:
            self._read_at = self._clock.monotonic()
            self._told = offset(self._clock)
        return self._told


class Timeline:
    """Times of one feed's samples at ``rate``; used by the consumer alone."""

    def __init__(self, rate: int, offsets: Offsets) -> None:
        self._rate = rate
        self._offsets = offsets
        self._anchor = Anchor(0, 0.0)
        self._correction = 0.0
        self._step = 0.0
        self._least: float | None = None
        self._window_end = 0.0
        self._current: float | None = None
        self._minima: deque[tuple[float, float]] = deque(maxlen=round(RATE_OVER_S / WINDOW_S) + 1)
        self.drift_ppm = 0.0
        """By how much the source is faster (above 0) or slower than its nominal rate, in parts per
        million of the system's clock; 0 until it was measured."""

    def begin(self, anchor: Anchor) -> None:
        """A new stretch: nothing that was measured of the last one holds."""
        self._anchor = anchor
        self._correction = self._step = 0.0
        self._least = self._current = None
        self._window_end = WINDOW_S
        self._minima.clear()

    def time(self, position: int) -> float:
        """Unix time at which the sample at ``position`` was captured."""
        anchor = self._anchor
        return anchor.time + (position - anchor.index) / self._rate + self._correction

    def observe(self, position: int, arrived: float, seconds: float, *, realtime: bool) -> float:
        """Compare: the sample before ``position`` had ``arrived`` at this monotonic time.

        ``seconds`` of audio have passed since the last comparison; ``realtime`` says that the
        source delivers as it hears. Returns by how many seconds all times were set at once, 0 as
        a rule.
        """
        first, at = self._anchor.arrived
        passed = arrived - at
        late = passed - (position - first) / self._rate
        if self._current is None or late < self._current:
            self._current = late
        # Windows are of the system's time: a burst, however much audio it is, proves nothing.
        if passed >= self._window_end:
            self._close_window(passed, realtime=realtime)
        if not (realtime or self._trusted()):
            return 0.0
        offset_now = self._offsets.after(arrived)
        step = 0.0 if offset_now is None else offset_now - self._anchor.offset
        if offset_now is None or (self._least is None and abs(step) <= REANCHOR_S):
            return 0.0
        wrong = (self._least or 0.0) + step - self._correction
        if abs(wrong) > REANCHOR_S:
            if not realtime and abs(step - self._step) <= REANCHOR_S:
                # No clock was set: whoever may come at any pace has come at another for a while.
                return 0.0
            self._correction += wrong
            self._step = step
            return wrong
        most = SLEW * seconds
        self._correction += min(max(wrong, -most), most)
        return 0.0

    def _close_window(self, passed: float, *, realtime: bool) -> None:
        self._least, self._current = self._current, None
        self._window_end = passed + WINDOW_S
        assert self._least is not None
        self._minima.append((passed, self._least))
        (began, first), (ended, last) = self._minima[0], self._minima[-1]
        if ended - began >= RATE_FROM_S:
            drift = -(last - first) / (ended - began)
            self.drift_ppm = 1e6 * drift if realtime or abs(drift) < AT_ANY_PACE else 0.0

    def _trusted(self) -> bool:
        if len(self._minima) < 2:
            return False
        (before, first), (after, last) = self._minima[-2], self._minima[-1]
        return abs(last - first) <= TRUSTED * (after - before)
