"""The engine with real threads, fake sources and a clock that moves when told."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest

from genred.clock import FakeClock, SystemClock
from genred.engine import Arrangement, Engine
from genred.errors import UnavailableError
from genred.feed import Display, FeedSetup, Kept
from genred.messages import FeedEvent, FeedHealth, FeedScores, FeedState
from genred.model.session import load_model
from genred.publishers.fake import FakePublisher
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.sources.base import StreamInfo
from genred.sources.fake import Fail, FakeSource, Gap, Play, Tell
from genred.sources.supervisor import STALLED_S
from rigs import tiny_model

RATE = tiny_model.RATE
BY = JudgementSettings(silence_after_s=1, dead_air_after_s=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(tiny_model.write(tmp_path_factory.mktemp("model") / "model.onnx"))


def sound(value, seconds):
    flutter = np.tile([0.1, -0.1], round(RATE * seconds / 2))
    return (value + flutter).astype(np.float32)


def listen(model, scripts, *, retry=True, scores=False, display=None, live=False, **options):
    """Run an engine over scripted feeds to their end; its publisher and itself."""
    clock = FakeClock()
    setups = [
        FeedSetup(
            FeedSettings(id=f"feed{index}", source="-"),
            BY,
            FakeSource(script, clock, live=live, **options),
            retry=retry,
        )
        for index, script in enumerate(scripts)
    ]
    told = FakePublisher()
    engine = Engine(
        model, setups, [told], clock, node="test", heartbeat_s=30, scores=scores, display=display
    )
    engine.run(threading.Event())
    return told, engine


def of(told, kind, feed="feed0"):
    return [m for m in told.messages if isinstance(m, kind) and m.feed == feed]


def test_a_feed_from_its_start_to_its_end(model):
    script = [
        Tell(StreamInfo(station="Test FM", title="One")),
        Play(sound(0.5, 10), captured_at=1000.0),
        Tell(StreamInfo(station="Test FM", title="Two")),
        Play(sound(-0.5, 10)),
    ]
    told, engine = listen(model, [script])
    events = of(told, FeedEvent)
    assert [(e.event_type, e.label) for e in events] == [
        ("started", "rock"),
        ("changed", "speech"),
        ("ended", "speech"),
    ]
    started, changed, ended = events
    # Times are those of the audio: it began at 1000, changed at 1010 and ended at 1020.
    assert started.start == pytest.approx(1000, abs=0.3)
    assert changed.start == pytest.approx(1010, abs=0.5)
    assert changed.previous == "rock"
    assert changed.previous_seconds == pytest.approx(10, abs=0.5)
    assert changed.ts > changed.start
    assert ended.ts == ended.end == pytest.approx(1020)
    assert [e.title for e in events] == ["One", "Two", "Two"]
    assert [e.seq for e in events] == [1, 2, 3]
    assert engine.error is None


def test_states_are_sent_on_change_alone(model):
    told, engine = listen(model, [[Play(sound(0.5, 60))]])
    labels = [state.label for state in of(told, FeedState)]
    # The change and the heartbeats (two threads move the clock), not the 237 decisions.
    heartbeats = engine._clock.monotonic() / 30
    assert 1 <= labels.count("rock") <= heartbeats + 2
    states = of(told, FeedState)
    assert [state.seq for state in states] == list(range(1, len(states) + 1))
    assert of(told, FeedState)[-1].label == "unknown"


def test_a_gap_ends_what_was_on_and_asks_for_a_whole_window(model):
    script = [
        Play(sound(0.5, 5), captured_at=1000.0),
        Gap(20),
        Play(sound(0.5, 5), captured_at=2000.0),
    ]
    told, _ = listen(model, [script], scores=True)
    kinds = [(e.event_type, e.label) for e in of(told, FeedEvent)]
    assert kinds == [("started", "rock"), ("ended", "rock")] * 2
    ends = [score.ts for score in of(told, FeedScores)]
    assert min(end for end in ends if end > 1500) == pytest.approx(2001.0)
    assert of(told, FeedHealth)[-1].gaps == 1


def test_dead_air_is_told_and_stays_in_the_state_until_sound_returns(model):
    silence = np.zeros(RATE * 8, np.float32)
    told, _ = listen(model, [[Play(sound(0.5, 5)), Play(silence), Play(sound(-0.5, 5))]])
    kinds = [e.event_type for e in of(told, FeedEvent)]
    assert kinds == ["started", "changed", "dead_air", "changed", "recovered", "ended"]
    assert any(state.dead_air and state.label == "silence" for state in of(told, FeedState))


def test_feeds_are_told_apart(model):
    told, _ = listen(model, [[Play(sound(value, 10))] for value in (0.5, -0.5, 0.5, -0.5)])
    for index, label in enumerate(("rock", "speech", "rock", "speech")):
        first = of(told, FeedEvent, f"feed{index}")[0]
        assert (first.event_type, first.label) == ("started", label)


def test_nothing_of_a_fast_source_is_lost(model):
    told, _ = listen(model, [[Play(sound(0.5, 600), block=777)]], scores=True)
    # Every hop but the three of the first window comes to a decision, whatever the ring holds.
    assert len(of(told, FeedScores)) == 600 * 4 - 3
    last = of(told, FeedHealth)[-1]
    assert (last.overflows, last.dropped_seconds, last.heard_seconds) == (0, 0, 600)


def test_a_typed_source_that_cannot_be_opened_is_the_engines_error(model):
    fault = UnavailableError("no such device")
    _, engine = listen(model, [[Fail(fault)]], retry=False, live=True)
    assert engine.error is fault


def test_a_broken_feed_leaves_the_others_alone(model):
    told, engine = listen(model, [[Fail(UnavailableError("gone"))], [Play(sound(0.5, 10))]])
    assert of(told, FeedEvent, "feed1")[0].label == "rock"
    assert of(told, FeedHealth, "feed0")[-1].status == "failed"
    assert engine.error.message == "gone"


def test_a_view_shows_what_was_told(model):
    display = Display(logmel_s=2, strip_s=60)
    script = [Tell(StreamInfo(station="A", title="B", truth="rock")), Play(sound(0.5, 30))]
    told, engine = listen(model, [script], display=display)
    view = engine.view()
    (feed,) = view.feeds
    assert view.labels == ("rock", "speech", "noise")
    assert feed.logmel.shape == (2 * 80, tiny_model.MELS)
    assert feed.truth == "rock"
    assert [segment.label for segment in feed.segments] == ["rock"]
    assert [event.event_type for event in feed.events] == ["started", "ended"]
    assert view.publishers == (told.status(),)


def test_a_view_holds_as_much_log_mel_as_is_asked_for(model):
    _, engine = listen(model, [[Play(sound(0.5, 10))]], display=Display(4.0, 60.0))
    frames = {
        seconds: engine.view(seconds).feeds[0].logmel for seconds in (0.0, 0.3, 2.0, 4.0, 1e9)
    }
    hop_s = tiny_model.HOP / RATE
    rate = tiny_model.FRAMES / hop_s
    assert [len(each) for each in frames.values()] == [
        *(0, 2 * tiny_model.FRAMES, 2 * rate, 4 * rate, 4 * rate),
    ]
    whole = engine.view().feeds[0].logmel
    for each in frames.values():
        np.testing.assert_array_equal(each, whole[len(whole) - len(each) :])


def test_heartbeats_come_without_any_change(model):
    clock = SystemClock()
    source = FakeSource([], clock, live=True)
    told = FakePublisher()
    setup = FeedSetup(FeedSettings(id="feed0", source="-"), BY, source)
    engine = Engine(model, [setup], [told], clock, node="test", heartbeat_s=0.3)
    stop = threading.Event()
    thread = threading.Thread(target=engine.run, args=(stop,))
    thread.start()
    time.sleep(1.6)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert 3 <= len(of(told, FeedState)) <= 8
    assert told.stopped


class ByHand:
    """An engine of one feed on one thread: each hop is judged as it is written."""

    def __init__(self, model):
        self.clock = FakeClock()
        self.told = FakePublisher()
        setup = FeedSetup(FeedSettings(id="feed0", source="-"), BY, FakeSource([], self.clock))
        self.engine = Engine(
            model, [setup], [self.told], self.clock, node="test", heartbeat_s=1e6,
            display=Display(logmel_s=1, strip_s=600),
        )  # fmt: skip
        self.intake = self.engine.feeds[0].intake
        self.intake.listening()

    def play(self, value, seconds):
        samples = sound(value, seconds)
        for at in range(0, len(samples), tiny_model.HOP):
            hop = samples[at : at + tiny_model.HOP]
            self.clock.advance(len(hop) / RATE)
            self.intake.write(hop)
            self.look()

    def look(self):
        while self.engine.tick():
            pass
        self.engine.look_after()


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_a_system_clock_that_is_set_breaks_no_interval(model, seconds):
    """Nothing ends, lengths are the audio's, and what is told from then on is in new time."""
    hand = ByHand(model)
    began = hand.clock.now()
    hand.play(0.5, 30)
    hand.clock.jump(seconds)
    hand.play(0.5, 30)
    (state,) = {m.since for m in of(hand.told, FeedState)[-1:]}
    assert state == pytest.approx(began + seconds, abs=0.5)
    hand.play(-0.5, 10)
    events = of(hand.told, FeedEvent)
    assert [(e.event_type, e.label) for e in events] == [("started", "rock"), ("changed", "speech")]
    assert events[1].previous_seconds == pytest.approx(60, abs=0.5)
    assert events[1].start == pytest.approx(began + 60 + seconds, abs=0.5)
    segments = hand.engine.view().feeds[0].segments
    assert [round(each.start - began - seconds) for each in segments] == [0, 60]


def test_a_source_that_hangs_is_offline_and_unknown_at_once(model):
    """Told when it is stalled, not when it is given up; nothing is said before a new window."""
    hand = ByHand(model)
    hand.play(0.5, 10)
    last = hand.clock.now()
    while of(hand.told, FeedHealth)[-1].status != "stalled":
        hand.clock.advance(0.25)
        hand.look()
    assert hand.clock.now() - last <= STALLED_S + 0.5
    state = of(hand.told, FeedState)[-1]
    assert (state.label, state.scores, state.since) == ("unknown", {}, None)
    (_, ended) = of(hand.told, FeedEvent)
    assert (ended.event_type, ended.end) == ("ended", pytest.approx(last))
    hand.play(0.5, 0.75)
    assert of(hand.told, FeedHealth)[-1].status == "listening"
    assert of(hand.told, FeedState)[-1].scores == {}
    hand.play(0.5, 3)
    assert of(hand.told, FeedEvent)[-1].event_type == "started"
    assert of(hand.told, FeedEvent)[-1].start >= last + STALLED_S


def test_a_feed_goes_on_in_another_row(model):
    """Others come before it: what it has heard, counts and says goes with it."""
    hand = ByHand(model)
    hand.play(0.5, 10)
    before, began = hand.engine.feeds[0].health(0.0), of(hand.told, FeedState)[-1].since
    new = FeedSetup(FeedSettings(id="new", source="-"), BY, FakeSource([], hand.clock), retry=False)
    arrangement = Arrangement([new, Kept("feed0", BY)], [hand.told], 1e6, scores=False)
    hand.engine.arrange(arrangement)
    hand.engine._make_arrangement()
    assert arrangement.made.is_set()
    after = hand.engine.feeds[1].health(0.0)
    assert dataclasses.replace(after, seq=before.seq) == before
    assert (before.decisions, before.level_dbfs) == (37, -5.9)
    hand.play(0.5, 5)
    assert hand.engine.feeds[1].health(0.0).decisions == 37 + 20
    assert [each.event_type for each in of(hand.told, FeedEvent)] == ["started"]
    assert hand.engine.feeds[1].state(0.0).since == began
    hand.engine._stop()
