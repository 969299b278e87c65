"""Another configuration while listening goes on, and what it must not disturb."""

from __future__ import annotations

import logging
import queue
import signal
import threading

import numpy as np
import pytest

from genred.clock import SystemClock
from genred.engine import Arrangement, Engine
from genred.errors import ConfigError
from genred.feed import FeedSetup, Kept
from genred.messages import FeedEvent, FeedHealth, FeedScores, FeedState
from genred.model.session import load_model
from genred.publishers.fake import FakePublisher
from genred.reload import Reloader
from genred.service.fake import FakeManager
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.settings.root import Settings
from rigs import tiny_model
from rigs.ports import wait_until

RATE = tiny_model.RATE
BY = JudgementSettings(silence_after_s=1, dead_air_after_s=3)


class Tap:
    """A source that delivers what the test pours into it, and nothing else."""

    live = True
    synthetic = False

    def __init__(self, name: str = "tap") -> None:
        self.description = name
        self.poured: queue.Queue[np.ndarray] = queue.Queue()
        self.runs = 0

    def run(self, intake) -> None:
        self.runs += 1
        intake.listening()
        at = 1000.0
        while not intake.stopping.is_set():
            try:
                samples = self.poured.get(timeout=0.02)
            except queue.Empty:
                continue
            intake.write(samples, at)
            at += len(samples) / RATE

    def pour(self, value: float, seconds: float) -> None:
        flutter = np.tile([0.1, -0.1], round(RATE * seconds / 2))
        self.poured.put((value + flutter).astype(np.float32))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(tiny_model.write(tmp_path_factory.mktemp("model") / "model.onnx"))


@pytest.fixture
def listen(model):
    """Starts engines over taps; they end with the test."""
    stop = threading.Event()
    threads = []

    def start(**taps):
        told = FakePublisher()
        setups = [
            FeedSetup(FeedSettings(id=name, source=name), BY, tap) for name, tap in taps.items()
        ]
        engine = Engine(
            model, setups, [told], SystemClock(), node="test", heartbeat_s=300, scores=True
        )
        threads.append(threading.Thread(target=engine.run, args=(stop,)))
        threads[-1].start()
        return engine, told

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def of(told, kind, feed):
    return [m for m in told.messages if isinstance(m, kind) and m.feed == feed]


def count(told, kind, feed):
    return lambda: len(of(told, kind, feed))


def arrange(engine, told, *feeds, heartbeat_s=300.0):
    wanted = Arrangement(feeds, [told], heartbeat_s, scores=True)
    engine.arrange(wanted)
    assert wanted.made.wait(10)
    return wanted


def new(name, tap, by=BY):
    return FeedSetup(FeedSettings(id=name, source=name), by, tap)


def test_an_untouched_feed_goes_on_in_the_middle_of_its_window(listen):
    a, b, c = Tap("a"), Tap("b"), Tap("c")
    engine, told = listen(a=a, b=b)
    b.pour(0.5, 5)
    wait_until(lambda: of(told, FeedEvent, "b"), what="b's start")
    wait_until(lambda: len(of(told, FeedScores, "b")) == 17, what="all decisions")
    b.pour(0.5, 0.125)  # half a hop stays in the ring
    before = len(of(told, FeedScores, "b"))
    # b moves from the second row to the first, and a new feed takes the second.
    arrange(engine, told, Kept("b", BY), new("c", c))
    b.pour(0.5, 0.125)
    wait_until(lambda: len(of(told, FeedScores, "b")) == before + 1, what="the very next hop")
    c.pour(-0.5, 5)
    wait_until(lambda: of(told, FeedEvent, "c"), what="c's start")
    assert [e.event_type for e in of(told, FeedEvent, "b")] == ["started"]
    assert of(told, FeedEvent, "c")[0].label == "speech"
    assert [s.seq for s in of(told, FeedScores, "b")] == list(range(1, before + 2))
    assert b.runs == 1
    b.pour(-0.5, 10)
    wait_until(lambda: len(of(told, FeedEvent, "b")) > 1, what="b's change")
    assert of(told, FeedEvent, "b")[1].previous == "rock"
    assert of(told, FeedEvent, "b")[1].start == pytest.approx(1005.25, abs=0.6)
    assert of(told, FeedHealth, "b")[-1].gaps == 0


def test_a_removed_feed_says_goodbye(listen):
    a, b = Tap(), Tap()
    engine, told = listen(a=a, b=b)
    a.pour(0.5, 5)
    wait_until(lambda: of(told, FeedEvent, "a"), what="a's start")
    wanted = arrange(engine, told, Kept("b", BY))
    assert [e.event_type for e in of(told, FeedEvent, "a")] == ["started", "ended"]
    assert of(told, FeedState, "a")[-1].label == "unknown"
    assert of(told, FeedHealth, "a")[-1].status == "ended"
    assert [feed.id for feed in wanted.ended] == ["a"]
    assert wanted.ended[0].runner.stop(5)
    assert [info.id for info in told.feeds] == ["b"]
    assert [feed.id for feed in engine.view().feeds] == ["b"]


def test_a_feed_that_is_set_up_anew_counts_on(listen):
    a, again = Tap(), Tap()
    engine, told = listen(a=a)
    a.pour(0.5, 5)
    wait_until(lambda: of(told, FeedEvent, "a"), what="a's start")
    arrange(engine, told, new("a", again))
    again.pour(-0.5, 5)
    wait_until(lambda: len(of(told, FeedEvent, "a")) == 3, what="another start")
    assert [e.seq for e in of(told, FeedEvent, "a")] == [1, 2, 3]
    assert of(told, FeedEvent, "a")[-1].label == "speech"
    seqs = [state.seq for state in of(told, FeedState, "a")]
    assert seqs == list(range(1, len(seqs) + 1))


def test_new_thresholds_hold_without_a_new_start(listen):
    a = Tap()
    engine, told = listen(a=a)
    a.pour(0.5, 5)
    wait_until(lambda: of(told, FeedEvent, "a"), what="a's start")
    deaf = BY.model_copy(update={"silence_dbfs": 0.0})
    arrange(engine, told, Kept("a", deaf))
    a.pour(0.5, 5)
    wait_until(lambda: len(of(told, FeedEvent, "a")) >= 3, what="dead air")
    assert [e.event_type for e in of(told, FeedEvent, "a")] == ["started", "changed", "dead_air"]


def test_feeds_that_come_and_go_leave_nothing_behind(listen):
    stays = Tap()
    engine, told = listen(stays=stays)
    before = threading.active_count()
    for turn in range(20):
        taps = [new(f"f{turn}_{n}", Tap()) for n in range(turn % 3)]
        wanted = arrange(engine, told, Kept("stays", BY), *taps)
        for feed in wanted.ended:
            assert feed.runner.stop(5)
    arrange(engine, told, Kept("stays", BY))
    stays.pour(0.5, 5)
    wait_until(lambda: of(told, FeedEvent, "stays"), what="the start")
    wait_until(lambda: threading.active_count() <= before, what="the sources' threads to end")


# ---- the reloader ------------------------------------------------------------------------------


def settings(*feeds, **sections):
    return Settings.model_validate({"feeds": feeds, **sections})


@pytest.fixture
def reloader(listen):
    """Starts an engine over taps, and a reloader that takes them for the feeds of ``first``."""

    def start(first, read, **options):
        engine, _ = listen(**{feed.id: Tap(feed.source) for feed in first.feeds})
        for feed, of_settings in zip(engine.feeds, first.feeds, strict=True):
            feed.settings = of_settings
        manager = FakeManager()
        return Reloader(engine, first, read, manager, SystemClock(), **options), engine, manager

    return start


def ids(engine):
    return [feed.id for feed in engine.feeds]


def test_what_is_the_same_is_kept_and_what_is_not_begins_anew(reloader, caplog):
    caplog.set_level(logging.INFO)
    first = settings(
        {"id": "a", "source": "station:1"},
        {"id": "b", "source": "station:2"},
        {"id": "c", "source": "station:3"},
    )
    second = settings(
        {"id": "d", "source": "station:4"},
        {"id": "b", "source": "station:9"},
        {"id": "a", "source": "station:1", "judgement": {"enter": 0.9}},
    )
    reload, engine, manager = reloader(first, lambda: second)
    kept = engine.feeds[0]
    assert reload.reload()
    assert ids(engine) == ["d", "b", "a"]
    assert engine.feeds[2] is kept
    assert kept._judge.by.enter == 0.9
    assert manager.values("RELOADING") == manager.values("READY") == ["1"]
    line = "configuration read again: 1 feeds go on, d begins now, b begins anew, c is over"
    assert line in caplog.text
    assert reload.reload()  # the same once more
    assert engine.feeds[2] is kept
    assert "3 feeds go on" in caplog.text


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (lambda: (_ for _ in ()).throw(ConfigError("line 3: wrong\nline 9: wrong too")), "line 9"),
        (settings, "no feeds are left"),
        (lambda: settings({"id": "a", "source": "gopher://nowhere"}), "not listened to"),
        (
            lambda: settings(
                {"id": "a", "source": "station:1"},
                mqtt={"url": "mqtts://127.0.0.1", "ca_file": "/nowhere/ca.pem"},
            ),
            "ca_file",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_and_the_old_one_stays(reloader, caplog, second, reason):
    caplog.set_level(logging.INFO)
    first = settings({"id": "a", "source": "station:1"})
    reload, engine, manager = reloader(first, second)
    kept = list(engine.feeds)
    assert not reload.reload()
    assert engine.feeds == kept
    refused = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(refused) == 1
    assert reason in refused[0]
    assert "\n" not in refused[0]
    assert manager.values("READY") == ["1"]


def test_what_holds_from_the_next_start_on_is_told(reloader, caplog):
    first = settings({"id": "a", "source": "station:1"})
    second = settings({"id": "a", "source": "station:1"}, model={"threads": 2})
    reload, _, _ = reloader(first, lambda: second)
    assert reload.reload()
    assert "[model] has changed: it holds from the next start on" in caplog.text


def test_feeds_of_the_command_line_stay(reloader):
    first = settings({"id": "a", "source": "station:1"})
    reload, engine, _ = reloader(first, settings, typed=first.feeds)
    assert reload.reload()
    assert ids(engine) == ["a"]


# ---- the whole daemon --------------------------------------------------------------------------


def write(path, *feeds, mqtt="", judgement=""):
    lines = [f"[mqtt]\nheartbeat_s = 300\n{mqtt}\n[judgement]\n{judgement}\n"]
    lines += [f'[[feeds]]\nid = "{name}"\nsource = "{source}"\n' for name, source in feeds]
    path.write_text("\n".join(lines))


def test_sighup_from_one_configuration_to_the_next(genred, make_mosquitto, tmp_path):
    """Feeds, thresholds and broker change; a refused configuration changes nothing."""
    broker, other = make_mosquitto().start(), make_mosquitto().start()
    listener, elsewhere = broker.listen("genred/#"), other.listen("genred/#")
    config = tmp_path / "genred.toml"
    here, there = f'url = "{broker.url}"', f'url = "{other.url}"'
    write(config, ("stays", "station:3"), ("goes", "station:4"), mqtt=here)
    running = genred.start("run", "--plain", "--config", config, "--node", "n")
    for feed in ("stays", "goes"):
        listener.wait_for(f"genred/n/{feed}/status", "online")

    config.write_text("[judgment]\nenter = 0.5\n")
    running.process.send_signal(signal.SIGHUP)
    line = running.wait_for("refused")
    assert "the old one stays" in line
    assert "judgement" in line  # the nearest known name

    write(config, ("stays", "station:3"), ("comes", "station:5"), mqtt=here)
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("1 feeds go on, comes begins now, goes is over")
    listener.wait_for("genred/n/comes/status", "online")
    listener.wait(
        lambda all_: any(h.topic == "genred/n/goes/state" and not h.payload for h in all_)
    )
    assert not any("/goes/" in topic for topic in broker.retained("#"))
    # Whether it was offline before depends on which came first, the broker or the audio.
    statuses = [h.payload for h in listener.on("genred/n/stays/status")]
    assert statuses[statuses.index("online") :] == ["online"]
    assert [h.payload for h in listener.on("genred/n/status")] == ["online"]

    write(config, ("stays", "station:3"), ("comes", "station:5"), mqtt=there)
    running.process.send_signal(signal.SIGHUP)
    running.wait_for(f"2 feeds go on, published to {other.url}")
    elsewhere.wait_for("genred/n/stays/status", "online")
    assert elsewhere.wait_for("genred/n/stays/health").json["reconnects"] == 0
    listener.wait_for("genred/n/status", "offline")

    assert running.end(signal.SIGTERM) == 0
    elsewhere.wait_for("genred/n/status", "offline")
    sources = [line for line in running.lines if " stays source " in line]
    assert len(sources) == 1, sources
