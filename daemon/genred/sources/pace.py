"""Real time for what could be read faster: files, bursts of a stream, the synthesised station."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.clock import Clock
    from genred.sources.base import Intake

BLOCK_S = 0.25
"""Audio is handed on in pieces of at most this length, and with the end of each hop: what is
analysed at once may come at once, and then waits for nothing more."""
SLIDE = 1e-3
"""While blocks come late, the due times follow by this share: a station whose clock is slower than
this machine's would else seem to be ever later, and in the end a gap."""
AHEAD = 3e-4
"""A station is played faster by this share than its nominal rate, so that it is the network that
sets the pace: if its clock is the faster one, as quartzes are by 200 ppm at most, what has not been
played yet would else pile up at the server for ever, and be heard ever later."""
LATE_S = 2.0
"""Up to this much lateness (a busy machine, a network hiccup) is caught up with. Beyond it time has
been lost (a suspended machine, a stalled stream): a gap, and the clock starts anew."""


class Pacer:
    """Writes samples to an intake so that each block arrives when its last sample would be heard.

    Each due time is counted in samples from one starting moment of the monotonic clock, so that
    errors of single waits do not add up. ``ahead`` is the share by which it is faster than the
    nominal rate, for sources that have a pace of their own.
    """

    def __init__(self, intake: Intake, clock: Clock, *, ahead: float = 0.0) -> None:
        self._intake = intake
        self._rate = intake.rate * (1 + ahead)
        self._clock = clock
        self._block = max(1, round(BLOCK_S * intake.rate))
        self._started: float | None = None
        self._done = 0
        self._held: list[NDArray[np.float32]] = []
        self._held_samples = 0
        self._wanted = 1

    def put(self, samples: NDArray[np.float32]) -> bool:
        """Play ``samples`` ``[n]``; returns when they are due. False when told to stop."""
        if len(samples) == 0:
            return not self._intake.stopping.is_set()
        if self._started is None:
            self._started = self._clock.monotonic()
        self._held.append(samples)
        self._held_samples += len(samples)
        if self._held_samples < self._wanted:
            return not self._intake.stopping.is_set()
        ready = np.concatenate(self._held)
        size = self._piece()
        while size <= len(ready):
            piece, ready = ready[:size], ready[size:]
            if not self._play(piece):
                return False
            size = self._piece()
        self._held, self._held_samples, self._wanted = [ready], len(ready), size
        return True

    def _piece(self) -> int:
        """Samples of the next piece: to the end of the hop, or as many as are handed on at most."""
        return min(max(1, round(self._intake.due() * self._intake.rate)), self._block)

    def finish(self) -> bool:
        """Play what is held back because it is less than a block."""
        held, self._held, self._held_samples = self._held, [], 0
        rest = np.concatenate(held) if held else np.empty(0, np.float32)
        return self._play(rest) if len(rest) else not self._intake.stopping.is_set()

    def _play(self, block: NDArray[np.float32]) -> bool:
        assert self._started is not None
        self._done += len(block)
        wait = self._started + self._done / self._rate - self._clock.monotonic()
        if wait < -LATE_S:
            self._intake.gap(f"{-wait:.1f} s behind")
            self._started = self._clock.monotonic()
            self._done = 0
        elif wait < 0:
            self._started += min(-wait, SLIDE * len(block) / self._rate)
        elif wait > 0 and self._clock.wait(self._intake.stopping, wait):
            return False
        if self._intake.stopping.is_set():
            return False
        self._intake.write(block)
        return True
