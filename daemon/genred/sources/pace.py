"""Real time for what could be read faster: files, bursts of a stream, the synthesised station."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.clock import Clock
    from genred.sources.base import Intake

BLOCK_S = 0.1
"""Audio is handed on in pieces of this length: well below a hop, and ten wake-ups a second."""
LATE_S = 2.0
"""Up to this much lateness (a busy machine, a network hiccup) is caught up with. Beyond it time has
been lost (a suspended machine, a stalled stream): a gap, and the clock starts anew."""


class Pacer:
    """Writes samples to an intake so that each block arrives when its last sample would be heard.

    Each due time is counted in samples from one starting moment of the monotonic clock, so that
    errors of single waits do not add up.
    """

    def __init__(self, intake: Intake, clock: Clock) -> None:
        self._intake = intake
        self._clock = clock
        self._block = max(1, round(BLOCK_S * intake.rate))
        self._started: float | None = None
        self._done = 0
        self._held: list[NDArray[np.float32]] = []
        self._held_samples = 0

    def put(self, samples: NDArray[np.float32]) -> bool:
        """Play ``samples`` ``[n]``; returns when they are due. False when told to stop."""
        if self._started is None:
            self._started = self._clock.monotonic()
        self._held.append(samples)
        self._held_samples += len(samples)
        if self._held_samples < self._block:
            return not self._intake.stopping.is_set()
        ready = np.concatenate(self._held)
        whole = len(ready) - len(ready) % self._block
        self._held = [ready[whole:]]
        self._held_samples = len(ready) - whole
        return all(self._play(ready[at : at + self._block]) for at in range(0, whole, self._block))

    def finish(self) -> bool:
        """Play what is held back because it is less than a block."""
        held, self._held, self._held_samples = self._held, [], 0
        rest = np.concatenate(held) if held else np.empty(0, np.float32)
        return self._play(rest) if len(rest) else not self._intake.stopping.is_set()

    def _play(self, block: NDArray[np.float32]) -> bool:
        assert self._started is not None
        self._done += len(block)
        wait = self._started + self._done / self._intake.rate - self._clock.monotonic()
        if wait < -LATE_S:
            self._intake.gap(f"{-wait:.1f} s behind")
            self._started = self._clock.monotonic()
            self._done = 0
        elif wait > 0 and self._clock.wait(self._intake.stopping, wait):
            return False
        if self._intake.stopping.is_set():
            return False
        self._intake.write(block)
        return True
