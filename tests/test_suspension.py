"""A machine that sleeps: what was on has ended when it fell asleep, and its clock was not set."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import pytest

from genred.clock import SUSPENDED_S, FakeClock, SystemClock
from genred.engine import Engine
from genred.feed import FeedSetup
from genred.intake import FeedIntake
from genred.messages import FeedEvent, FeedState
from genred.model.session import load_model
from genred.publishers.fake import FakePublisher
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from rigs import tiny_model
from rigs.ports import wait_until

RATE = 100
HOP = 100
NIGHT_S = 8 * 3600.0


class Listening:
    """An intake whose audio comes in time."""

    def __init__(self):
        self.clock = FakeClock()
        self.intake = FeedIntake("fm", RATE, HOP, 10, threading.Event(), self.clock)
        self._out = np.empty(HOP, np.float32)

    def write(self):
        self.clock.advance(HOP / RATE)
        self.intake.write(np.zeros(HOP, np.float32))

    def take(self):
        return self.intake.take(self._out)


def test_audio_after_a_suspension_is_another_stretch():
    """It begins anew at the time that it is now; no time before is moved."""
    at = Listening()
    for _ in range(30):
        at.write()
        before = at.take()
    at.clock.suspend(NIGHT_S)
    at.write()
    after = at.take()
    assert after.fresh
    assert after.shifted == 0
    assert after.start == pytest.approx(before.end + NIGHT_S)
    assert after.end == pytest.approx(at.clock.now())
    assert at.intake.gaps == 1
    for _ in range(30):
        at.write()
        chunk = at.take()
        assert not chunk.fresh
        assert chunk.shifted == 0
    assert chunk.end == pytest.approx(at.clock.now(), abs=0.01)


def test_what_waited_through_the_night_keeps_its_time():
    """Heard before, judged after: that the clocks have gone apart is no step of one of them."""
    at = Listening()
    for _ in range(30):
        at.write()
        at.take()
    at.write()
    evening = at.clock.now()
    at.clock.suspend(NIGHT_S)
    chunk = at.take()
    assert not chunk.fresh
    assert chunk.shifted == 0
    assert chunk.end == pytest.approx(evening, abs=0.01)


def test_a_clock_that_was_set_is_none():
    """The same hours on the system's clock alone: times move, and nothing ends."""
    at = Listening()
    for _ in range(30):
        at.write()
        at.take()
    at.clock.jump(NIGHT_S)
    at.write()
    chunk = at.take()
    assert not chunk.fresh
    assert chunk.shifted == pytest.approx(NIGHT_S, abs=0.01)
    assert at.intake.gaps == 0


def test_this_machine_has_such_a_clock():
    """It goes forward only, and two looks at it on a busy machine are never taken for a sleep."""
    clock = SystemClock()
    looks = [clock.suspended() for _ in range(10_000)]
    assert min(looks) > -SUSPENDED_S
    assert max(looks) - min(looks) < SUSPENDED_S
    assert max(looks) <= time.clock_gettime(time.CLOCK_BOOTTIME)


class Sleeper(SystemClock):
    """The machine's clock, with nights in between."""

    slept = 0.0

    def now(self):
        return super().now() + self.slept

    def suspended(self):
        return self.slept


class Tap:
    """A source that plays while it is open."""

    live, synthetic, description = True, False, "a tap"

    def __init__(self):
        self.open = threading.Event()

    def run(self, intake):
        intake.listening()
        flutter = np.tile([0.6, 0.4], tiny_model.HOP // 2).astype(np.float32)
        while not intake.stopping.wait(tiny_model.HOP / tiny_model.RATE):
            if self.open.is_set():
                intake.write(flutter)


def test_the_engine_says_so_once_and_begins_anew(tmp_path, caplog):
    """Unknown at once, before any audio has come; the length of what was on holds no night."""
    caplog.set_level(logging.INFO, "genred")
    model = load_model(tiny_model.write(tmp_path / "model.onnx"))
    clock, taps, told = Sleeper(), [Tap(), Tap()], FakePublisher()
    setups = [
        FeedSetup(FeedSettings(id=f"feed{n}", source="-"), JudgementSettings(), tap)
        for n, tap in enumerate(taps)
    ]
    engine = Engine(model, setups, [told], clock, node="test", heartbeat_s=600)
    stop = threading.Event()
    thread = threading.Thread(target=engine.run, args=(stop,))
    thread.start()

    def heard(kind, feed="feed0"):
        return [each for each in told.messages if isinstance(each, kind) and each.feed == feed]

    try:
        for tap in taps:
            tap.open.set()
        wait_until(lambda: all(heard(FeedEvent, feed) for feed in ("feed0", "feed1")))
        for tap in taps:
            tap.open.clear()
        time.sleep(0.5)  # what was under way is judged
        evening = clock.now()
        clock.slept += NIGHT_S
        wait_until(lambda: len(heard(FeedEvent)) == 2 and len(heard(FeedEvent, "feed1")) == 2, 2)
        wait_until(lambda: heard(FeedState)[-1].label == "unknown", 2)
        for tap in taps:
            tap.open.set()
        wait_until(lambda: len(heard(FeedEvent)) == 3)
    finally:
        stop.set()
        thread.join(10)
    started, ended, again = heard(FeedEvent)[:3]
    assert [each.event_type for each in (started, ended, again)] == ["started", "ended", "started"]
    assert ended.start == started.start
    assert ended.ts == ended.end == pytest.approx(evening, abs=2)
    assert again.start == pytest.approx(evening + NIGHT_S, abs=5)
    lines = [each.getMessage() for each in caplog.records if each.name == "genred.engine"]
    assert lines == ["this machine was suspended for 28800 s: all feeds begin anew"]
