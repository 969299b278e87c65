"""The synthesised station as a source."""

from __future__ import annotations

import threading

import numpy as np

from genred.clock import FakeClock, SystemClock
from genred.intake import FeedIntake
from genred.sources.runner import FeedRunner
from genred.sources.station import StationSource
from genred.station import NAME, Station
from rigs.ports import wait_until
from sources.listener import HOP, RATE, Ear


def test_in_real_time():
    """It comes as a radio does, and says what it is."""
    with Ear(StationSource(SystemClock(), seed=3)) as ear:
        ear.hear(6)
    expected = Station(3, RATE).read(6 * HOP)
    np.testing.assert_array_equal(ear.samples[: 6 * HOP], expected)
    assert ear.chunks[0].info.station == NAME
    assert ear.intake.overflows == 0


def test_the_truth_changes_at_the_boundary():
    """Each chunk carries the label of its last sample."""
    clock = FakeClock()
    wake = threading.Event()
    intake = FeedIntake("x", RATE, HOP, 120, wake, clock)
    runner = FeedRunner(StationSource(clock, seed=5), intake, clock, retry=True)
    station = Station(5, RATE)
    passage = station.passage_at(0)
    wanted = passage.end + 4 * RATE
    runner.start()
    wait_until(lambda: intake.written_samples >= wanted, 60)
    runner.stop(5)
    out = np.empty(HOP, np.float32)
    boundary = passage.end // HOP
    for number in range(boundary + 4):
        chunk = intake.take(out)
        truth = station.passage_at((number + 1) * HOP - 1)
        assert chunk.info.truth == truth.label
        assert chunk.info.title == truth.title
