"""The soak reads of the daemon's memory what the daemon says, and tells growth from noise."""

from __future__ import annotations

import pytest

from genred.frugal import Memory
from soak import TOLD, growth


def test_what_the_daemon_says_of_its_memory_is_read():
    said = TOLD.search(str(Memory(61.66, 30.714, 222_627)))
    assert said is not None
    assert {name: float(value) for name, value in said.groupdict().items()} == {
        "own_mb": 61.7,
        "heap_mb": 30.71,
        "blocks": 222_627,
    }


def test_a_leak_is_told_from_noise():
    """A line of 2 MB an hour under a swing of 4 MB, and the swing alone."""
    hours = [n / 120 for n in range(240)]
    swing = [2.0 * (-1) ** n for n in range(240)]
    still = growth(hours, [30 + each for each in swing])
    rising = growth(hours, [30 + each + 2 * hour for hour, each in zip(hours, swing, strict=True)])
    assert still is not None
    assert rising is not None
    assert abs(still["an_hour"]) < 0.1
    assert rising["an_hour"] == pytest.approx(2.0, abs=0.1)
    assert 0.1 < still["standard_error"] < 0.4
    assert growth(hours[:3], swing[:3]) is None
