"""Days of a sound card whose quartz is not the system's: times stay right, and never run back."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from genred.clock import FakeClock
from genred.intake import FeedIntake
from genred.timeline import REANCHOR_S, SLEW, WINDOW_S, Anchor, Offsets, Timeline

RATE = 100
"""Few samples a second, so that three days take seconds."""
HOP_S = 2
HOP = HOP_S * RATE
DAY_S = 86_400
ERROR_S = 0.05
"""What is promised of times, late arrivals of up to 30 ms included."""
JITTER_S = 0.03


class Card:
    """A sound card that is faster than the system clock by ``ppm``, behind a busy machine."""

    def __init__(self, ppm, *, lossless=False):
        self.clock = FakeClock()
        self.intake = FeedIntake("card", RATE, HOP, 10, threading.Event(), self.clock)
        self._began = self.clock.now()
        self._ppm = ppm
        self._random = random.Random(1)
        self._jitter = 0.0
        self._played = 0
        self._out = np.empty(HOP, np.float32)
        self._write = self.intake.write_all if lossless else self.intake.write
        self._block = np.zeros(HOP, np.float32)

    def hop(self):
        """Some of its audio; the chunk and its true end."""
        self._played += HOP_S
        true_s = self._played / (1 + self._ppm * 1e-6)
        late = self._random.uniform(0, JITTER_S)
        self.clock.advance(self._began + true_s + late - self.clock.now())
        self._write(self._block)
        chunk = self.intake.take(self._out)
        assert chunk is not None
        return chunk, self._began + true_s


@pytest.mark.parametrize("ppm", [-100.0, 100.0])
def test_three_days_of_drift(ppm):
    """Uncorrected it would be 26 s; it stays below 50 ms, in steps that nobody notices."""
    card = Card(ppm)
    worst, last = 0.0, 0.0
    for number in range(3 * DAY_S // HOP_S):
        chunk, true_end = card.hop()
        assert not chunk.shifted
        assert chunk.fresh == (number == 0)
        assert chunk.end > last
        assert abs(chunk.end - chunk.start - HOP_S) <= HOP_S * SLEW * 1.01
        last = chunk.end
        worst = max(worst, abs(chunk.end - true_end))
    assert worst < ERROR_S
    assert card.intake.drift_ppm == pytest.approx(ppm, abs=20)


def test_a_rate_that_is_wrong_is_measured_and_times_are_set():
    """2 % are no quartz: they cannot be followed slowly, but never grow beyond the limit."""
    card = Card(-20_000.0)
    worst, shifts = 0.0, 0
    for _ in range(3600 // HOP_S):
        chunk, true_end = card.hop()
        shifts += bool(chunk.shifted)
        worst = max(worst, abs(chunk.end - true_end))
    # Twice a window passes before what is measured is used.
    assert worst < REANCHOR_S + 2 * WINDOW_S * 0.02 + ERROR_S
    assert 20 < shifts < 40
    assert card.intake.drift_ppm == pytest.approx(-20_000, rel=0.02)


def test_a_pipe_is_held_to_the_clock_too():
    """A receiver that writes as it hears may wait for room; its days are as long."""
    card = Card(100.0, lossless=True)
    for _ in range(DAY_S // 4 // HOP_S):
        chunk, true_end = card.hop()
    assert abs(chunk.end - true_end) < ERROR_S


@pytest.mark.parametrize("speed", [0.5, 20.0])
def test_a_recording_that_is_read_at_another_pace_keeps_its_own_time(speed):
    """An hour of a file lasts an hour, in however many minutes it is read."""
    card = Card((speed - 1) * 1e6, lossless=True)
    first, _ = card.hop()
    for _ in range(3600 // HOP_S):
        chunk, _ = card.hop()
        assert not chunk.shifted
    assert chunk.start - first.start == pytest.approx(3600)
    assert card.intake.drift_ppm == 0


def test_clocks_that_were_not_read_together_are_not_compared():
    """The machine stood still between two looks at two clocks: that is no step of either."""

    class Busy(FakeClock):
        halts = 0.0

        def now(self):
            self.advance(self.halts)
            return super().now()

    clock = Busy()
    timeline = Timeline(RATE, Offsets(clock))
    timeline.begin(Anchor(0, clock.now(), (RATE, clock.monotonic()), clock.now()))
    clock.advance(1)
    clock.halts = 60.0
    assert timeline.observe(2 * RATE, clock.monotonic(), 1.0, realtime=True) == 0.0
