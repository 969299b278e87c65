"""Real time against a station whose clock is another: what waits at the server."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from genred.clock import FakeClock
from genred.sources.pace import AHEAD, BLOCK_S, LATE_S, Pacer

RATE = 100
HOURS = 12
BURST_S = 4.0
"""What a station sends at once: 64 KiB at 128 kbit/s."""


class Counter:
    """An intake that counts."""

    rate = RATE

    def __init__(self):
        self.stopping = threading.Event()
        self.samples = 0
        self.gaps = 0

    def write(self, samples, captured_at=None):
        del captured_at
        self.samples += len(samples)

    def due(self):
        return BLOCK_S

    def gap(self, reason):
        del reason
        self.gaps += 1


def listen(ppm, *, ahead):
    """Half a day of a station that is faster by ``ppm``; gaps, and seconds that wait there."""
    clock, intake = FakeClock(), Counter()
    pacer = Pacer(intake, clock, ahead=ahead)
    block = np.zeros(round(BLOCK_S * RATE), np.float32)
    pace = 1 + ppm * 1e-6
    waiting = []
    for number in range(round(HOURS * 3600 / BLOCK_S)):
        sent_at = ((number + 1) * BLOCK_S - BURST_S) / pace
        if sent_at > clock.monotonic():
            clock.advance(sent_at - clock.monotonic())
        assert pacer.put(block)
        if number % 1000 == 0:
            waiting.append(BURST_S + clock.monotonic() * pace - intake.samples / RATE)
    return intake.gaps, waiting


@pytest.mark.parametrize("ppm", [-200, -100, 0, 100, 200])
def test_nothing_piles_up_and_nothing_is_lost(ppm):
    """The burst is played down to nothing over hours; whoever is faster, no gap comes of it."""
    gaps, waiting = listen(ppm, ahead=AHEAD)
    assert gaps == 0
    assert max(waiting) <= BURST_S + 0.2
    expected = max(0.0, BURST_S - (AHEAD * 1e6 - ppm) * 1e-6 * HOURS * 3600)
    assert waiting[-1] == pytest.approx(expected, abs=0.3)


def test_without_being_ahead_a_fast_station_would_pile_up():
    """What the constant is for: 200 ppm are 8.6 s in half a day."""
    _, waiting = listen(200, ahead=0.0)
    assert waiting[-1] == pytest.approx(BURST_S + 200e-6 * HOURS * 3600, abs=0.3)


def test_a_hiccup_is_caught_up_with():
    """Late by less than the limit, then all at once: nothing is missing, and time is as before."""
    clock, intake = FakeClock(), Counter()
    pacer = Pacer(intake, clock)
    block = np.zeros(round(BLOCK_S * RATE), np.float32)
    for _ in range(100):
        pacer.put(block)
    clock.advance(LATE_S - 0.2)
    for _ in range(100):
        pacer.put(block)
    assert intake.gaps == 0
    assert clock.monotonic() == pytest.approx(200 * BLOCK_S, abs=0.01)
