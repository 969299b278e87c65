"""Twenty feeds, one of which hangs: the others are judged as soon as ever."""

from __future__ import annotations

import statistics
import threading
import time

import numpy as np
import pytest

from genred.clock import SystemClock
from genred.engine import Arrangement, Engine
from genred.feed import FeedSetup, Kept
from genred.messages import FeedScores, SourceStatus
from genred.model.session import load_model
from genred.publishers.fake import FakePublisher
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.sources.pace import Pacer
from rigs import tiny_model
from rigs.ports import wait_until

FEEDS = 20
PHASE_S = 2.0
"""For each way to hang, and for none: eight hops of each feed."""
BY = JudgementSettings()
RATE = tiny_model.RATE


class Steady:
    """A source in real time that can hang: opening, reading or closing."""

    live = True
    synthetic = False

    def __init__(self, clock, hangs=""):
        self.description = f"steady, hangs: {hangs or 'never'}"
        self.released = threading.Event()
        self.entered = threading.Event()
        self._clock = clock
        self._hangs = hangs

    def _hang(self, where):
        if self._hangs == where:
            self.entered.set()
            self.released.wait()

    def run(self, intake):
        self._hang("open")
        intake.listening()
        pacer = Pacer(intake, self._clock)
        try:
            for number in range(10**6):
                if not pacer.put(np.full(RATE // 10, 0.5, np.float32)):
                    return
                if number == 5:
                    self._hang("read")
        finally:
            self._hang("close")


class Delays(FakePublisher):
    """When each decision was told, against the end of its window."""

    def __init__(self):
        super().__init__()
        self.delays = []

    def offer(self, message):
        if isinstance(message, FeedScores) and message.feed != "bad":
            self.delays.append(time.time() - message.ts)


@pytest.fixture
def rig(tmp_path):
    """An engine with nineteen steady feeds, running; and one that puts a twentieth beside them."""
    clock, told = SystemClock(), Delays()
    model = load_model(tiny_model.write(tmp_path / "model.onnx"))
    good = [FeedSettings(id=f"good{number}", source="-") for number in range(FEEDS - 1)]
    engine = Engine(
        model,
        [FeedSetup(each, BY, Steady(clock)) for each in good],
        [told],
        clock,
        node="test",
        heartbeat_s=30,
        scores=True,
    )
    stop = threading.Event()
    thread = threading.Thread(target=engine.run, args=(stop,))
    made = []

    def arrange(hangs=None):
        """With a twentieth feed that hangs so, or without one; how long making it so took."""
        feeds = [Kept(each.id, BY) for each in good]
        if hangs is not None:
            made.append(Steady(clock, hangs))
            feeds.append(FeedSetup(FeedSettings(id="bad", source="-"), BY, made[-1]))
        wanted = Arrangement(feeds, engine.publishers, 30, scores=True)
        began = time.monotonic()
        engine.arrange(wanted)
        assert wanted.made.wait(5)
        return made[-1] if hangs is not None else None, time.monotonic() - began

    thread.start()
    time.sleep(1.5)  # a window of each
    yield engine, told, arrange
    stop.set()
    for each in made:
        each.released.set()
    thread.join(10)
    assert not thread.is_alive()


def measure(told):
    """Median and 95th percentile of the delay of nineteen feeds, seconds, over a phase."""
    told.delays.clear()
    time.sleep(PHASE_S)
    delays = sorted(told.delays)
    assert len(delays) > 0.8 * (FEEDS - 1) * PHASE_S / 0.25
    return statistics.median(delays), delays[int(0.95 * len(delays))]


@pytest.mark.slow
def test_the_others_do_not_notice(rig, capsys, record_fault):
    """In open, read and close: median and 95th percentile stay within 20 ms of what they were."""
    engine, told, arrange = rig
    arrange("")
    time.sleep(1.0)
    measured = {"none": measure(told)}
    seen = {"open": SourceStatus.STARTING, "read": SourceStatus.STALLED, "close": None}
    for where, status in seen.items():
        bad, _ = arrange(where)
        if where == "close":
            wait_until(lambda: engine.view().feeds[-1].health.status == "listening")
            _, took = arrange()
            assert took < 1.0, "the engine waited for a source that does not return"
        assert bad.entered.wait(5)
        measured[where] = measure(told)
        if status is not None:
            wait_until(lambda s=status: engine.view().feeds[-1].health.status == s, 5)
        bad.released.set()
    with capsys.disabled():
        print()
        for where, (median, late) in measured.items():
            print(f"  hangs in {where}: median {median * 1e3:.1f} ms, 95 % {late * 1e3:.1f} ms")
    for where, (median, late) in measured.items():
        assert median - measured["none"][0] < 0.02, where
        assert late - measured["none"][1] < 0.1, where
        if where != "none":
            record_fault(
                f"one feed of {FEEDS} hangs in {where}",
                f"`{seen[where] or 'ended'}` of that feed",
                None,
                f"nothing; delay of the others {median * 1e3:.0f} ms (median; before:"
                f" {measured['none'][0] * 1e3:.0f} ms)",
            )
