"""The intake: chunks in order, gaps where they belong, the audio's own time."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genred.clock import FakeClock, SystemClock
from genred.intake import FeedIntake
from genred.messages import SourceStatus
from genred.sources.base import StreamInfo
from genred.sources.supervisor import STALLED_S
from genred.timeline import SLEW

RATE, HOP = 1000, 100


class Rig:
    """An intake on a fake clock, and a ramp of samples that know their number."""

    def __init__(self, buffer_s: float = 2.0, now: float = 5000.0):
        self.clock = FakeClock(now)
        self.wake = threading.Event()
        self.intake = FeedIntake("test", RATE, HOP, buffer_s, self.wake, self.clock)
        self.sent = 0
        self.out = np.full(HOP, np.nan, np.float32)

    def send(self, count, captured_at=None, *, passes=True):
        if passes:
            self.clock.advance(count / RATE)
        block = np.arange(self.sent, self.sent + count, dtype=np.float32)
        self.sent += count
        self.intake.write(block, captured_at)

    def take(self):
        return self.intake.take(self.out)


def test_chunks_follow_each_other_in_audio_time():
    """Whole hops in order, times counted in samples from the first one's capture."""
    rig = Rig()
    for _ in range(5):
        rig.send(50)
    first, second = rig.take(), rig.take()
    assert rig.take() is None
    assert (first.start, first.end, first.fresh) == (5000.0, 5000.1, True)
    assert (second.start, second.end, second.fresh) == (5000.1, 5000.2, False)
    assert rig.out.tolist() == list(range(100, 200))
    assert rig.intake.heard_samples == 200
    assert rig.intake.available() == 50


def test_arrival_is_that_of_the_last_sample():
    """Lag is counted from the moment the hop was complete."""
    rig = Rig()
    rig.send(60)
    rig.send(60)  # completes the hop, 0.12 s after the start
    rig.clock.advance(3)
    assert rig.take().arrived == pytest.approx(0.12)


@pytest.mark.parametrize("seconds", [-3600.0, 86_400.0])
def test_the_system_clock_may_be_set(seconds):
    """No gap: the chunk that notices says by how much all times before it were wrong."""
    rig = Rig()
    rig.send(100)
    before = rig.take()
    rig.clock.jump(seconds)
    rig.send(200)
    chunks = [rig.take(), rig.take()]
    assert (before.start, before.end) == pytest.approx((5000.0, 5000.1))
    assert [chunk.start - seconds for chunk in chunks] == pytest.approx([5000.1, 5000.2])
    assert [chunk.shifted for chunk in chunks] == pytest.approx([seconds, 0])
    assert [chunk.fresh for chunk in chunks] == [False, False]


def test_a_small_step_of_the_system_clock_leaves_no_trace_at_once():
    """It is followed by 500 ppm: what lasted a second lasts a second."""
    rig = Rig()
    rig.send(100)
    rig.clock.jump(1.5)
    chunks = []
    for _ in range(200):
        rig.send(100)
        chunks.append(rig.take())
    assert not any(chunk.shifted for chunk in chunks)
    lengths = [chunk.end - chunk.start for chunk in chunks]
    assert lengths == pytest.approx([0.1] * 200, abs=0.1 * SLEW + 1e-6)
    assert chunks[-1].end > 5000 + 200 * 0.1 + 0.004  # ten seconds to see that it stays, ten to go


def test_a_pause_that_the_source_does_not_tell_of_is_a_gap():
    """Who delivers as it hears cannot have paused: audio is missing, and time has passed."""
    rig = Rig()
    rig.send(150)
    rig.clock.advance(STALLED_S + 0.1)
    rig.send(100)
    assert rig.take().fresh
    after = rig.take()
    assert (after.fresh, after.start) == (True, pytest.approx(5000.15 + STALLED_S + 0.1))
    assert rig.intake.gaps == 1


def test_a_gap_separates_what_lies_before_and_after():
    """The rest before it is thrown away, what follows is anchored anew and fresh."""
    rig = Rig()
    rig.send(150)
    rig.intake.gap("cable")
    rig.clock.advance(10)
    rig.send(130)
    assert rig.take().fresh
    after = rig.take()
    assert after.fresh
    assert after.start == pytest.approx(5010.15)
    assert rig.out.tolist() == list(range(150, 250))
    assert rig.take() is None
    assert rig.intake.gaps == 1


def test_the_source_may_know_the_time_of_capture():
    """It counts for the first block of an epoch; later ones go by samples."""
    rig = Rig()
    rig.send(100, captured_at=4000.0)
    rig.send(100, captured_at=4900.0)
    rig.intake.gap("x")
    rig.send(100, captured_at=4990.0)
    assert [rig.take().start for _ in range(3)] == pytest.approx([4000.0, 4000.1, 4990.0])


def test_gaps_without_audio_between_them_are_one():
    """A source that reports a gap again and again while nothing comes has one gap."""
    rig = Rig()
    rig.intake.gap("before any audio")
    rig.send(100)
    for _ in range(5):
        rig.intake.gap("away")
    rig.send(100)
    assert rig.intake.gaps == 1


def test_many_gaps_in_one_hop():
    """Stretches shorter than a hop never make it into a chunk."""
    rig = Rig()
    for _ in range(30):
        rig.send(37)
        rig.intake.gap("flaky")
    rig.send(100)
    chunk = rig.take()
    assert chunk.fresh
    assert rig.out.tolist() == list(range(30 * 37, 30 * 37 + 100))
    assert rig.take() is None


def test_info_comes_with_its_samples():
    """A title holds from the sample after which it was told, not from when it was taken."""
    rig = Rig()
    rig.intake.info(StreamInfo(title="one"))
    rig.send(150)
    rig.intake.info(StreamInfo(title="skipped, nothing was played under it"))
    rig.intake.info(StreamInfo(title="two"))
    rig.send(200)
    assert [rig.take().info.title for _ in range(3)] == ["one", "two", "two"]


def test_being_overtaken_is_counted_and_is_a_gap():
    """The ring overwrites; the consumer jumps, starts anew, and the time is still right."""
    rig = Rig(buffer_s=1.0)
    rig.send(100)
    rig.take()
    rig.send(2500)
    chunk = rig.take()
    assert chunk.fresh
    assert rig.intake.overflows == 1
    assert rig.intake.dropped_samples == 2000
    assert rig.intake.gaps == 1
    assert rig.out[0] == 2100
    assert chunk.start == pytest.approx(5002.1)


def test_a_device_overrun_is_counted_and_is_a_gap():
    rig = Rig()
    rig.send(100)
    rig.intake.overflowed(64)
    rig.send(100)
    rig.take()
    assert rig.take().fresh
    assert (rig.intake.overflows, rig.intake.dropped_samples, rig.intake.gaps) == (1, 64, 1)


def test_wakes_only_for_a_whole_hop_or_another_status():
    """Not for every block: ten wake-ups a second for nothing are ten too many."""
    rig = Rig()
    rig.send(99)
    assert not rig.wake.is_set()
    rig.send(1)
    assert rig.wake.is_set()
    rig.wake.clear()
    rig.intake.listening()
    assert rig.wake.is_set()
    rig.wake.clear()
    rig.intake.listening()
    assert not rig.wake.is_set()


def test_status_and_reconnects():
    """Coming back is counted; the first time is no coming back."""
    rig = Rig()
    assert rig.intake.status is SourceStatus.STARTING
    rig.intake.listening()
    assert rig.intake.reconnects == 0
    rig.intake.set_status(SourceStatus.RECONNECTING, error="gone")
    rig.intake.listening()
    assert (rig.intake.reconnects, rig.intake.last_error) == (1, "gone")


def test_a_sleeping_consumer_does_not_let_marks_pile_up():
    """An endless stream of gaps and titles in front of nobody takes bounded memory."""
    rig = Rig(buffer_s=1.0)
    for number in range(20_000):
        rig.intake.gap("again")
        rig.intake.info(StreamInfo(title=str(number)))
        rig.send(1)
    held = rig.intake._epochs, rig.intake._infos, rig.intake._arrivals
    assert all(len(each) <= 1002 for each in held)
    rig.send(99)
    chunk = rig.take()
    assert (chunk.info.title, rig.out[0]) == ("19999", 19_999)
    assert rig.intake.overflows == 1


def test_write_all_loses_nothing():
    """A source faster than the analysis waits, and every sample arrives."""
    wake = threading.Event()
    intake = FeedIntake("fast", RATE, HOP, 1.0, wake, SystemClock())
    total = 50_000
    done = []

    def produce():
        for at in range(0, total, 3170):
            block = np.arange(at, min(at + 3170, total), dtype=np.float32)
            done.append(intake.write_all(block))

    producer = threading.Thread(target=produce)
    producer.start()
    out = np.empty(HOP, np.float32)
    heard = []
    while len(heard) < total:
        wake.wait(1)
        wake.clear()
        while intake.take(out):
            heard += out.tolist()
    producer.join()
    assert heard == list(range(total))
    assert intake.overflows == 0
    assert all(done)


def test_write_all_ends_when_told_to_stop():
    """A source that waits for room does not outlive its feed."""
    intake = FeedIntake("fast", RATE, HOP, 1.0, threading.Event(), SystemClock())
    result = []
    producer = threading.Thread(
        target=lambda: result.append(intake.write_all(np.zeros(5000, np.float32)))
    )
    producer.start()
    time.sleep(0.2)
    assert producer.is_alive()
    intake.stopping.set()
    producer.join(2)
    assert result == [False]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 700)),
        st.tuples(st.just("gap"), st.integers(0, 5000)),
        st.tuples(st.just("take"), st.integers(1, 8)),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_no_chunk_reaches_across_a_gap_and_every_time_is_right(script):
    """Whatever happens in whatever order, a chunk is contiguous and its time that of capture."""
    rig = Rig(buffer_s=1.0)
    captured = []  # the true time of each sample ever sent
    gaps_at = {0}
    for what, number in script:
        if what == "write":
            start = rig.clock.now()
            captured += [start + index / RATE for index in range(number)]
            rig.send(number)
        elif what == "gap":
            rig.intake.gap("scripted")
            rig.clock.advance(number / RATE)
            gaps_at.add(rig.sent)
        else:
            for _ in range(number):
                chunk = rig.take()
                if chunk is None:
                    assert rig.intake.available() < HOP
                    break
                first = int(rig.out[0])
                assert rig.out.tolist() == list(range(first, first + HOP))
                assert not any(first < at < first + HOP for at in gaps_at)
                assert chunk.start == pytest.approx(captured[first])
                assert chunk.end == pytest.approx(captured[first] + HOP / RATE)
                if first in gaps_at:
                    assert chunk.fresh


def test_two_threads_with_gaps():
    """Real threads: each chunk is contiguous, and never lies across a gap."""
    wake = threading.Event()
    intake = FeedIntake("threads", RATE, HOP, 5.0, wake, SystemClock())
    gaps = set()

    def produce():
        sent = 0
        for number in range(4000):
            if number % 7 == 0:
                intake.gap("scripted")
                gaps.add(sent)
            size = 1 + (number * 37) % 250
            intake.write_all(np.arange(sent, sent + size, dtype=np.float32))
            sent += size

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    out = np.empty(HOP, np.float32)
    taken = 0
    while producer.is_alive() or intake.available() >= HOP:
        chunk = intake.take(out)
        if chunk is None:
            wake.wait(0.01)
            wake.clear()
            continue
        first = int(out[0])
        np.testing.assert_array_equal(out, np.arange(first, first + HOP, dtype=np.float32))
        # A copy, in one go: the other thread adds to them.
        assert not any(first < at < first + HOP for at in tuple(gaps))
        assert chunk.fresh >= (first in gaps)
        taken += 1
    producer.join()
    assert taken > 1000
    assert intake.overflows == 0
