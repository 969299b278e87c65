"""What feeds the watchdog, and what must not."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from genred.clock import FakeClock, SystemClock
from genred.messages import SourceStatus
from genred.service.fake import FakeManager
from genred.service.pulse import SOUNDLESS_S, UNJUDGED_S, FeedPulse, Progress, Pulse, Reporter


def feed(**what):
    values = {
        "id": "radio",
        "status": SourceStatus.LISTENING,
        "interrupted": False,
        "written": 0,
        "judged": 0,
        "waiting": False,
    }
    return FeedPulse(**(values | what))


def watch(states, seconds=1.0):
    """What is said of a feed that goes through ``states``, a look a ``seconds``."""
    progress = Progress()
    return [
        progress.stuck(Pulse(turn, (feed(**state),)), turn * seconds)
        for turn, state in enumerate(states)
    ]


def test_a_feed_that_is_heard_is_progress():
    states = [{"written": 16000 * n, "judged": 4 * n, "waiting": n % 2 == 0} for n in range(100)]
    assert set(watch(states)) == {""}


def test_a_loop_that_stands_still_is_none():
    progress = Progress()
    assert progress.stuck(Pulse(7, ()), 0) == ""
    assert "stands still" in progress.stuck(Pulse(7, ()), 1)
    assert progress.stuck(Pulse(8, ()), 2) == ""


def test_audio_that_is_not_judged_is_none():
    said = watch([{"written": 4000 * n, "judged": 3, "waiting": True} for n in range(20)])
    assert said[: int(UNJUDGED_S) + 1] == [""] * (int(UNJUDGED_S) + 1)
    assert "radio is not judged" in said[-1]


def test_listening_without_audio_is_none():
    said = watch([{"written": 16000, "judged": 4}] * 70)
    assert said[int(SOUNDLESS_S)] == ""
    assert "radio is listening but gets no audio" in said[-1]


@pytest.mark.parametrize(
    "known",
    [
        {"interrupted": True},
        {"status": SourceStatus.RECONNECTING},
        {"status": SourceStatus.STARTING},
        {"status": SourceStatus.ENDED},
        {"status": SourceStatus.FAILED},
    ],
)
def test_what_the_source_itself_says_is_known(known):
    assert set(watch([{"written": 16000, "judged": 4, **known}] * 100)) == {""}


def test_patience_begins_anew_when_a_feed_comes_back():
    away = [{"status": SourceStatus.RECONNECTING}] * 60
    assert set(watch([*away, *([{}] * int(SOUNDLESS_S))])) == {""}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"label": "jazz", "confidence": 0.83}, "radio: jazz 0.8"),
        ({"label": "silence", "dead_air": True}, "radio: dead air"),
        ({}, "radio: unknown"),
        ({"label": "jazz", "status": SourceStatus.RECONNECTING}, "radio: reconnecting"),
    ],
)
def test_what_is_heard_in_words(what, words):
    assert feed(**what).words() == words


def reporter(pulses, watchdog_s=30.0):
    manager, clock = FakeManager(watchdog_s), FakeClock()
    looks = iter(pulses)
    return Reporter(manager, lambda: next(looks), clock), manager, clock


def test_the_status_is_told_on_change_alone():
    labels = ["jazz", "jazz", "rock", "rock", "jazz"]
    pulses = [Pulse(n, (feed(label=label, written=n),)) for n, label in enumerate(labels)]
    report, manager, _ = reporter(pulses)
    for _ in labels:
        report.report()
    assert manager.values("STATUS") == ["radio: jazz 0.0", "radio: rock 0.0", "radio: jazz 0.0"]
    assert len(manager.values("WATCHDOG")) == len(labels)


def test_no_progress_is_no_ping_and_one_line(caplog):
    caplog.set_level(logging.ERROR)
    report, manager, _ = reporter([Pulse(1, ())] * 5)
    for _ in range(5):
        report.report()
    assert len(manager.values("WATCHDOG")) == 1
    assert manager.values("STATUS")[-1].startswith("no progress: the engine's loop")
    assert len(caplog.records) == 1


def test_an_engine_that_hangs_in_the_look_starves_the_watchdog():
    held = threading.Lock()
    turn = iter(range(1000))

    def look():
        with held:
            return Pulse(next(turn), ())

    manager = FakeManager(watchdog_s=0.15)
    report = Reporter(manager, look, SystemClock())
    report.start()
    time.sleep(0.5)
    with held:
        time.sleep(0.1)
        before = len(manager.values("WATCHDOG"))
        time.sleep(0.4)
        assert len(manager.values("WATCHDOG")) == before >= 5
    report.stop()
