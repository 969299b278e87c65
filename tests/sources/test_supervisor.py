"""What is said of a source, against what comes of it."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from genred.clock import FakeClock
from genred.intake import FeedIntake
from genred.messages import SourceStatus
from genred.sources.supervisor import DRIFT_PPM, SILENT_S, STALLED_S, Supervisor

RATE, HOP = 1000, 250
LISTENING, SILENT, STALLED = SourceStatus.LISTENING, SourceStatus.SILENT, SourceStatus.STALLED


class Rig:
    """An intake and its supervisor, on a clock that moves when told."""

    def __init__(self):
        self.clock = FakeClock()
        self.intake = FeedIntake("mic", RATE, HOP, 10, threading.Event(), self.clock)
        self.supervisor = Supervisor(self.intake, self.clock)
        self.out = np.empty(HOP, np.float32)

    def hear(self, seconds, value=0.1, *, write=None, speed=1.0):
        """Audio comes, and is taken; the states that were seen meanwhile."""
        seen = []
        write = write or self.intake.write
        for _ in range(round(seconds * RATE / HOP)):
            self.clock.advance(HOP / RATE / speed)
            write(np.full(HOP, value, np.float32))
            while self.intake.take(self.out):
                peak = float(np.abs(self.out).max())
                self.supervisor.heard(20 * np.log10(peak) if peak else -120.0, HOP / RATE)
            seen.append(self.supervisor.look())
        return seen

    def wait(self, seconds):
        self.clock.advance(seconds)
        return self.supervisor.look()


def messages(caplog):
    return [record.message for record in caplog.records]


def test_a_source_that_hangs_is_stalled_and_comes_back(caplog):
    """Open and quiet for three seconds; the first audio ends it. One line for each change."""
    caplog.set_level(logging.INFO, "genred.sources")
    rig = Rig()
    assert rig.supervisor.look() is SourceStatus.STARTING
    rig.intake.listening()
    assert set(rig.hear(5)) == {LISTENING}
    assert rig.wait(STALLED_S - 0.1) is LISTENING
    assert rig.wait(0.2) is STALLED
    assert rig.supervisor.reason == "open, but no audio for 3 s"
    assert [rig.wait(10) for _ in range(5)] == [STALLED] * 5
    assert set(rig.hear(1)) == {LISTENING}
    assert rig.supervisor.reason == ""
    assert rig.intake.gaps == 1
    assert messages(caplog) == [
        "feed mic: listening",
        "feed mic: stalled: open, but no audio for 3 s",
        "feed mic: no longer stalled",
    ]


def test_a_source_that_opens_and_never_delivers_is_stalled():
    rig = Rig()
    rig.intake.listening()
    assert rig.wait(STALLED_S - 0.1) is LISTENING
    assert rig.wait(0.2) is STALLED


def test_the_source_s_own_word_comes_first():
    """What is being opened again has not stalled."""
    rig = Rig()
    rig.intake.listening()
    rig.hear(1)
    rig.wait(60)
    rig.intake.set_status(SourceStatus.RECONNECTING, "gone")
    assert rig.supervisor.look() is SourceStatus.RECONNECTING
    rig.intake.listening()
    assert rig.supervisor.look() is LISTENING


def test_a_writer_that_pauses_and_a_reader_that_waits():
    """A squelched receiver is stalled as soon as it says so; who waits for room is not."""
    rig = Rig()
    rig.intake.listening()
    rig.hear(1, write=rig.intake.write_all)
    assert rig.wait(60) is LISTENING
    rig.intake.gap("no samples are coming in")
    assert rig.supervisor.look() is STALLED
    assert set(rig.hear(1, write=rig.intake.write_all)) == {LISTENING}


def test_audio_that_waits_to_be_judged_is_no_stall():
    """The analysis is behind: the source has nothing to do with it."""
    rig = Rig()
    rig.intake.listening()
    rig.intake.write(np.ones(HOP, np.float32))
    assert rig.wait(60) is LISTENING


def test_zeros_for_long_are_silent(caplog):
    """Ten seconds of them, however they come; a single bit of noise is none."""
    caplog.set_level(logging.INFO, "genred.sources")
    rig = Rig()
    rig.intake.listening()
    rig.hear(5)
    assert set(rig.hear(SILENT_S - 0.5, value=0.0)) == {LISTENING}
    assert rig.hear(2, value=0.0)[-1] is SILENT
    assert SILENT.online
    assert rig.supervisor.reason == "nothing but zeros for 10 s"
    assert rig.hear(0.25, value=1 / 32768) == [LISTENING]
    assert set(rig.hear(60, value=1 / 32768)) == {LISTENING}
    assert messages(caplog)[1:] == [
        "feed mic: silent: nothing but zeros for 10 s",
        "feed mic: no longer silent",
    ]


def test_zeros_before_a_stall_do_not_count_after_it():
    rig = Rig()
    rig.intake.listening()
    rig.hear(SILENT_S - 1, value=0.0)
    assert rig.wait(STALLED_S + 1) is STALLED
    assert set(rig.hear(SILENT_S - 1, value=0.0)) == {LISTENING}


@pytest.mark.parametrize("speed", [0.97, 1.03])
def test_a_wrong_rate_is_told_of_once(speed, caplog):
    """Not what quartzes differ by; and once, not at every look."""
    caplog.set_level(logging.WARNING, "genred.sources")
    rig = Rig()
    rig.intake.listening()
    rig.hear(120, speed=1 + 0.3 * DRIFT_PPM * 1e-6)
    assert messages(caplog) == []
    rig.hear(600, speed=speed)
    (line,) = messages(caplog)
    assert "against what its rate promises" in line
    assert ("+" in line) == (speed > 1)
