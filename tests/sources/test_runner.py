"""The runner: reopening, pauses, failing fast, and what is said about it."""

from __future__ import annotations

import logging
import re
import threading
import time

import numpy as np
import pytest

from genred.clock import FakeClock
from genred.errors import InputError, UnavailableError
from genred.intake import FeedIntake
from genred.messages import SourceStatus
from genred.sources.base import StreamInfo
from genred.sources.fake import End, Fail, FakeSource, Gap, Overflow, Play, Tell, Wait
from genred.sources.runner import FAILING_S, FIRST_RETRY_S, JITTER, LONGEST_RETRY_S, FeedRunner
from rigs.ports import wait_until

RATE, HOP = 1000, 100


class Recorder(FakeClock):
    """A fake clock that remembers what was waited for."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, event, seconds):
        self.waits.append(seconds)
        return super().wait(event, seconds)


def run(script, *, retry=True, live=True, until=None, buffer_s=100.0):
    """Run a scripted source to its end; runner, intake, source, clock."""
    clock = Recorder()
    wake = threading.Event()
    intake = FeedIntake("kitchen", RATE, HOP, buffer_s, wake, clock)
    source = FakeSource(script, clock, live=live)
    runner = FeedRunner(source, intake, clock, retry=retry)
    runner.start()
    wait_until(until(intake) if until else lambda: not runner.running, 10)
    assert runner.stop(5)
    return runner, intake, source, clock


def audio(seconds):
    return np.ones(round(seconds * RATE), np.float32)


def away(times):
    return [Fail(UnavailableError("nobody is there", "look"))] * times


def test_a_file_ends():
    runner, intake, _, _ = run([Play(audio(1))], live=False)
    assert intake.status is SourceStatus.ENDED
    assert runner.error is None
    assert intake.available() == RATE


def test_a_file_fails():
    """Its error is kept for the exit code, even where a live source would be tried again."""
    runner, intake, source, _ = run([Fail(InputError("bad file"))], live=False, retry=True)
    assert intake.status is SourceStatus.FAILED
    assert (runner.error.exit_code, intake.last_error, source.runs) == (66, "bad file", 1)


def test_what_was_typed_fails_fast():
    """A live source that never brought audio is not tried again."""
    runner, intake, source, _ = run(away(1), retry=False)
    assert intake.status is SourceStatus.FAILED
    assert source.runs == 1
    assert str(runner.error) == "nobody is there (look)"


def test_what_was_typed_is_kept_once_it_has_played():
    """After the first audio, it is retried for ever like any other."""
    _, intake, source, _ = run(
        [Play(audio(1)), *away(5), Play(audio(1))],
        retry=False,
        until=lambda intake: lambda: intake.written_samples == 2 * RATE,
    )
    assert intake.status is SourceStatus.LISTENING
    assert source.runs == 6
    assert (intake.reconnects, intake.gaps) == (1, 1)


def test_pauses_grow_up_to_a_limit_and_vary():
    """1, 2, 4 … 60 s, each a quarter more or less."""
    _, _, _, clock = run(
        [*away(10), Play(audio(1))], until=lambda intake: lambda: intake.written_samples == RATE
    )
    pauses = clock.waits[:10]
    ideal = [min(FIRST_RETRY_S * 2**n, LONGEST_RETRY_S) for n in range(10)]
    for pause, middle in zip(pauses, ideal, strict=True):
        assert middle * (1 - JITTER) <= pause <= middle * (1 + JITTER)
    assert len({pause / middle for pause, middle in zip(pauses, ideal, strict=True)}) > 5


def test_pauses_begin_anew_after_stable_audio():
    """An hour of music forgives; a source that breaks again at once does not."""
    script = [*away(6), Play(audio(60)), *away(1), Play(audio(1)), *away(1), Play(audio(1))]
    _, _, _, clock = run(
        script, until=lambda intake: lambda: intake.written_samples == 62 * RATE, buffer_s=100
    )
    playing = {1.6, 0.8, 1.0}  # the lengths of the fake's blocks
    pauses = [wait for wait in clock.waits if wait not in playing]
    assert len(pauses) == 8
    assert pauses[5] > 20  # after six vain tries
    assert pauses[6] < 1.3  # a minute of audio in between
    assert 1.4 < pauses[7] < 2.6  # only a second


def test_one_line_for_each_change_of_state(caplog):
    """A thousand vain tries are said twice, when it is lost and when it stays so; then its return.

    Each loss anew.
    """
    caplog.set_level(logging.INFO, logger="genred.sources")
    script = [*away(200), Play(audio(1)), *away(300), Play(audio(1))]
    run(script, until=lambda intake: lambda: intake.written_samples == 2 * RATE)
    lines = [re.sub(r"\d+", "N", record.message) for record in caplog.records]
    assert lines == 2 * [
        "feed kitchen: nobody is there; trying again",
        "feed kitchen: nobody is there; for N s already, going on trying",
        "feed kitchen: listening",
    ]


def test_a_source_that_stays_away_is_retrying():
    """Reconnecting at first; after half a minute it is no hiccup any more."""
    seen = []

    class Seen(FakeSource):
        def run(self, intake):
            seen.append((round(clock.monotonic()), intake.status))
            super().run(intake)

    clock = FakeClock()
    intake = FeedIntake("kitchen", RATE, HOP, 10, threading.Event(), clock)
    runner = FeedRunner(
        Seen([Play(audio(1)), *away(9), Play(audio(1))], clock), intake, clock, retry=True
    )
    runner.start()
    wait_until(lambda: intake.written_samples == 2 * RATE)
    runner.stop(5)
    assert {status for at, status in seen[1:] if at < FAILING_S} == {SourceStatus.RECONNECTING}
    assert seen[-1][1] is SourceStatus.RETRYING
    assert (intake.status, intake.reconnects) == (SourceStatus.LISTENING, 1)


def test_a_fault_of_our_own_is_told_with_its_place_but_does_not_end_the_feed(caplog):
    """An unforeseen exception is logged once with a traceback, and retried like any loss."""

    class Broken(FakeSource):
        def run(self, intake):
            self.runs += 1
            if self.runs < 5:
                raise ZeroDivisionError("http://anna:geheim@host/")
            super().run(intake)

    clock = FakeClock()
    intake = FeedIntake("kitchen", RATE, HOP, 10, threading.Event(), clock)
    source = Broken([Play(audio(1))], clock)
    runner = FeedRunner(source, intake, clock, retry=True)
    runner.start()
    wait_until(lambda: intake.written_samples == RATE)
    runner.stop(5)
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert "geheim" not in intake.last_error


def test_the_script_of_the_fake():
    """Gaps, overruns, titles and waits arrive as the engine will see them."""
    _, intake, _, _ = run(
        [
            Tell(StreamInfo(title="one")),
            Play(audio(0.2)),
            Gap(5),
            Tell(StreamInfo(title="two")),
            Play(audio(0.1)),
            Wait(3),
            Overflow(7),
            Play(audio(0.1)),
            End(),
        ],
        live=False,
    )
    out = np.empty(HOP, np.float32)
    chunks = [intake.take(out) for _ in range(4)]
    assert [chunk.fresh for chunk in chunks] == [True, False, True, True]
    assert [chunk.info.title for chunk in chunks] == ["one", "one", "two", "two"]
    starts = [chunk.start - chunks[0].start for chunk in chunks]
    assert starts == pytest.approx([0, 0.1, 5.2, 8.3])
    assert (intake.gaps, intake.overflows, intake.dropped_samples) == (2, 1, 7)


def test_stopping_a_source_that_never_started():
    clock = FakeClock()
    intake = FeedIntake("kitchen", RATE, HOP, 10, threading.Event(), clock)
    assert FeedRunner(FakeSource([], clock), intake, clock, retry=True).stop(1)


def test_stopping_in_a_pause():
    """Nobody waits for a minute's backoff."""
    from genred.clock import SystemClock

    clock = SystemClock()
    intake = FeedIntake("kitchen", RATE, HOP, 10, threading.Event(), clock)
    runner = FeedRunner(FakeSource(away(9), clock), intake, clock, retry=True)
    runner.start()
    wait_until(lambda: intake.status is SourceStatus.RECONNECTING)
    began = time.monotonic()
    assert runner.stop(5)
    assert time.monotonic() - began < 0.3
