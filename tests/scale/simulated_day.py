"""A day of thousands of feeds through the event path, against a real mosquitto on the loopback.

    python tests/scale/simulated_day.py --feeds 10000 --nodes 10 --hours 24 --minutes 10

Scores that the shipped model gave for the synthesised station's styles are replayed to each feed by
a programme of its own; the analyser smooths and judges them, feeds make messages of what has
changed and heartbeats in between, and the MQTT publisher sends them, as in the daemon. Feeds are
divided among nodes as by ``node.shard``, each a process with a connection of its own, and a
``mosquitto_sub`` that takes no part counts what arrives.

No audio is computed, and no time is waited: a feed is judged from a change of its programme until
what is said of it stands still, and again at the next. (That skipping says the same as not
skipping is a test.) ``--minutes`` bounds the real time; what was not simulated by then is said.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from genred.analysis import Analyser
from genred.clock import FakeClock
from genred.feed import Display, Feed, FeedSetup, Ledger
from genred.intake import FeedIntake
from genred.messages import NodeInfo
from genred.model.session import load_model
from genred.publishers.base import FeedInfo
from genred.publishers.mqtt import MqttPublisher
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.settings.mqtt import MqttSettings
from genred.settings.shard import Shard
from genred.sources.base import StreamInfo
from genred.sources.runner import FeedRunner
from genred.sources.supervisor import Supervisor
from genred.station import render
from rigs.ports import free_port, listens, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STYLES = ("electronic", "speech", "jazz", "rain", "metal", "blues", "strings", "reggae")
SILENCE_SHARE = 0.02
SILENCE_S = (12.0, 40.0)
RECORDED_S = 24.0
SHORTEST_S = 30.0

HOP_S = 0.25
SOUND = 0.1
"""A level of -20 dBFS, well above the gate."""

SETTLED = 16
"""Decisions in a row, four seconds, by which nothing has changed and nothing is about to."""

MOST = 120
"""After half a minute a feed that nobody is sure of is left as it is until the next change."""

SLICE_S = 60.0
"""Simulated time that is worked through at once; messages of a slice go in one burst."""

WAITING_MAX = 1000
"""The simulation waits while so many messages wait: it is faster than any broker, days are not."""

DRAIN_S = 60.0
START_S = 10.0

EPOCH = 1_767_225_600.0
LINE = re.compile(rb'^(\S+)\x1f(\d+)\x1f.*?"seq":(\d+)|^(\S+)\x1f(\d+)\x1f')


# --- what is replayed


@dataclass(frozen=True)
class Recording:
    """The model's answers to some seconds of one style, ``[decisions, labels]``."""

    logits: np.ndarray
    level: float


class Replay:
    """Stands in the model's place and answers as it did; see :class:`genred.model.session.Model`.

    Its audio is four samples a hop, which carry nothing but the level.
    """

    batch = 256

    def __init__(self, recordings: dict[str, Recording]) -> None:
        self._model = load_model()
        meta = self._model.metadata
        hops = round(meta.window / meta.hop)
        self.metadata = meta.model_copy(update={"sample_rate": 16, "hop": 4, "window": 4 * hops})
        self.provider = "cpu"
        self.inbox = np.zeros((self.batch, 4), np.float32)
        self._recordings = recordings
        self._answers = np.zeros((self.batch, len(meta.labels)), np.float32)
        self._frames = np.zeros((self.batch, 1, 1), np.float32)

    def stream(self, rows: int, **how: object) -> Replay:
        del rows, how
        return self

    def arrange(self, rows: Sequence[int | None]) -> None: ...

    def reset(self, row: int) -> None: ...

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return self._model.probabilities(logits)

    def put(self, place: int, style: str, number: int) -> None:
        """What the next step hears and answers in one place: decision ``number`` of a style."""
        recording = self._recordings[style]
        self._answers[place] = recording.logits[number % len(recording.logits)]
        self.inbox[place] = recording.level

    def step(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        return self._answers[: len(rows)], self._frames[: len(rows)]


def keep(recordings: dict[str, Recording], path: Path) -> None:
    """Write recordings for other processes."""
    np.savez(path, **{name: each.logits for name, each in recordings.items()})


def kept(path: Path) -> dict[str, Recording]:
    """Read what :func:`keep` wrote."""
    with np.load(path) as found:
        return {name: Recording(found[name], 0.0 if name == "silence" else SOUND) for name in found}


def record(styles: Sequence[str] = STYLES) -> dict[str, Recording]:
    """Let the shipped model hear the station's styles."""
    model = load_model()
    meta = model.metadata
    stream = model.stream(len(styles))
    sound = np.stack(
        [render(style, RECORDED_S, 5, meta.sample_rate).astype(np.float32) for style in styles]
    )
    heard = []
    for at in range(0, sound.shape[1] - meta.hop + 1, meta.hop):
        stream.inbox[: len(styles)] = sound[:, at : at + meta.hop]
        heard.append(stream.step(range(len(styles)))[0].copy())
    first = round(meta.window / meta.hop)
    logits = np.stack(heard[first:])
    found = {style: Recording(logits[:, n], SOUND) for n, style in enumerate(styles)}
    found["silence"] = Recording(np.zeros_like(logits[:, 0]), 0.0)
    return found


def programme(seed: int, feed: str, mean_s: float) -> Iterator[tuple[float, str]]:
    """When something else begins on a feed, in whole hops, and its style; for ever."""
    random = np.random.default_rng([seed, *feed.encode()])
    at, style = float(random.integers(0, 4 * 60)) * HOP_S, ""
    while True:
        if style != "silence" and random.random() < SILENCE_SHARE:
            style, lasts = "silence", random.uniform(*SILENCE_S)
        else:
            style = random.choice([each for each in STYLES if each != style])
            lasts = SHORTEST_S + random.exponential(max(mean_s - SHORTEST_S, 1.0))
        yield at, style
        at += round(lasts / HOP_S) * HOP_S


# --- one node


@dataclass
class Playing:
    """Where one feed is in its programme."""

    programme: Iterator[tuple[float, str]]
    next_at: float = 0.0
    next_style: str = ""
    style: str = ""
    at: float = 0.0
    """When its next decision is due."""
    number: int = 0
    settled: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self.next_at, self.next_style = next(self.programme)
        self.at = self.next_at


class _Source:
    description, live, synthetic = "replayed", True, True

    def run(self, intake: FeedIntake) -> None: ...


class Node:
    """The feeds of one node, their judgement, and a publisher."""

    def __init__(
        self, ids: Sequence[str], publisher: Any, recordings: dict[str, Recording], seed: int,
        mean_s: float, *, skip: bool = True,
    ) -> None:  # fmt: skip
        self.clock = FakeClock(EPOCH)
        self.replay = Replay(recordings)
        self.analyser = Analyser(self.replay, [JudgementSettings()] * len(ids))
        self.publisher = publisher
        self.skip = skip
        self.decisions = 0
        self.messages: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.ledger = Ledger(self.replay.metadata, len(ids))
        self.feeds = [self._feed(row, name) for row, name in enumerate(ids)]
        self.playing = [Playing(programme(seed, name, mean_s)) for name in ids]
        self._due = [(each.at, row) for row, each in enumerate(self.playing)]
        heapq.heapify(self._due)

    def _feed(self, row: int, name: str) -> Feed:
        meta = self.replay.metadata
        setup = FeedSetup(FeedSettings(id=name, source="-"), JudgementSettings(), _Source())
        wake = threading.Event()
        intake = FeedIntake(name, meta.sample_rate, meta.hop, 1.0, wake, self.clock)
        intake.listening()
        runner = FeedRunner(setup.source, intake, self.clock, retry=True)
        watch = Supervisor(intake, self.clock)
        watch.look()
        judge = self.analyser.judges[row]
        feed = Feed(setup, intake, runner, judge, meta, Display(), watch, self.ledger, row)
        feed.info = StreamInfo()
        return feed

    def info(self) -> NodeInfo:
        labels = list(self.replay.metadata.label_names)
        return NodeInfo(
            feed="", ts=EPOCH, seq=1, version="0", model=self.replay.metadata.summary(),
            labels=labels, provider="cpu", started_at=EPOCH,
        )  # fmt: skip

    def infos(self) -> list[FeedInfo]:
        return [FeedInfo(feed.id, feed.source.description) for feed in self.feeds]

    def until(self, end: float) -> None:
        """Judge everything that is due before ``end``, seconds from the start of the day."""
        while self._due and self._due[0][0] < end:
            rows: list[int] = []
            while self._due and self._due[0][0] < end and len(rows) < self.replay.batch:
                rows.append(heapq.heappop(self._due)[1])
            self._judge(rows)
            for row in rows:
                heapq.heappush(self._due, (self.playing[row].at, row))
        self.clock.advance(end - (self.clock.now() - EPOCH))

    def _judge(self, rows: list[int]) -> None:
        for place, row in enumerate(rows):
            playing = self.playing[row]
            if playing.at >= playing.next_at:
                playing.style = playing.next_style
                playing.next_at, playing.next_style = next(playing.programme)
                playing.number, playing.settled, playing.asked = row, 0, 0
            self.replay.put(place, playing.style, playing.number)
        ends = [EPOCH + self.playing[row].at + HOP_S for row in rows]
        judged = self.analyser.take(rows, ends)
        self.ledger.take(judged, np.zeros(len(rows)))
        for decision in judged:
            self._tell(decision)
        self.decisions += len(rows)

    def _tell(self, decision: Any) -> None:
        feed, playing = self.feeds[decision.row], self.playing[decision.row]
        end = decision.end
        events = feed.events(decision.changes, end)
        for message in (*events, feed.state_if_changed(end)):
            if message is not None:
                self._offer(message)
        playing.number += 1
        playing.asked += 1
        silent = playing.style == "silence"
        steady = decision.steady and not decision.changes
        playing.settled = playing.settled + 1 if steady else 0
        playing.at += HOP_S
        stands = playing.settled >= SETTLED or (playing.asked >= MOST and not silent)
        if self.skip and stands:
            playing.at = playing.next_at

    def heartbeat(self) -> None:
        """State and health of every feed."""
        now = self.clock.now()
        for feed in self.feeds:
            self._offer(feed.health(now))
            self._offer(feed.state(now))

    def _offer(self, message: Any) -> None:
        self.messages[message.topic] += 1
        if message.topic == "event":
            self.events[message.event_type] += 1
        self.publisher.offer(message)


def play_node(shard: str, args: argparse.Namespace, port: int, deadline: float) -> dict[str, Any]:
    """One node's day; what it did."""
    ids = [f"station-{n:05}" for n in range(args.feeds)]
    mine = [ids[position] for position in Shard.parse(shard).part(ids)]
    name = f"box-{shard.partition('/')[0]}"
    settings = MqttSettings(
        url=f"mqtt://127.0.0.1:{port}", queue=1_000_000, heartbeat_s=args.heartbeat
    )
    publisher = MqttPublisher(settings, name)
    node = Node(mine, publisher, kept(args.recordings), args.seed, args.programme_minutes * 60)
    began = time.process_time()
    publisher.start(node.info(), node.infos())
    seconds, next_heartbeat = 0.0, 0.0
    while seconds < args.hours * 3600 and time.monotonic() < deadline:
        if seconds >= next_heartbeat:
            node.heartbeat()
            next_heartbeat += args.heartbeat
        seconds = min(seconds + SLICE_S, args.hours * 3600)
        node.until(seconds)
        _drain(publisher, WAITING_MAX)
    _drain(publisher, 0)
    dropped = publisher.dropped
    publisher.stop()
    return {
        "node": name,
        "feeds": len(mine),
        "hours": seconds / 3600,
        "decisions": node.decisions,
        "offered": dict(node.messages),
        "events": dict(node.events),
        "dropped": dropped,
        "cpu_s": time.process_time() - began,
    }


def _drain(publisher: MqttPublisher, most: int) -> None:
    until = time.monotonic() + DRAIN_S
    while publisher._lanes.waiting > most or (most == 0 and publisher._pending()):
        if time.monotonic() > until:
            raise TimeoutError(f"the broker does not take messages: {publisher.status()}")
        time.sleep(0.002)


# --- the broker, and who counts


@dataclass
class Tally:
    """What a subscriber that takes no part has seen."""

    count: Counter[str] = field(default_factory=Counter)
    payload: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    last: dict[bytes, int] = field(default_factory=dict)
    holes: Counter[str] = field(default_factory=Counter)
    """Numbers that never came, by kind of message."""
    again: Counter[str] = field(default_factory=Counter)
    strange: int = 0

    def newest(self, kind: str) -> int:
        """Sum over the feeds of the newest number seen: as many as were sent, if none is missing.

        A state that a newer one has overtaken in the publisher is not sent any more.
        """
        end = f"/{kind}".encode()
        return sum(number for topic, number in self.last.items() if topic.endswith(end))

    def take(self, line: bytes) -> None:
        found = LINE.match(line)
        if found is None:
            self.strange += 1
            return
        topic, length = found[1] or found[4], int(found[2] or found[5])
        kind = "discovery" if topic.endswith(b"/config") else topic.rpartition(b"/")[2].decode()
        self.count[kind] += 1
        self.payload[kind] += length
        self.topics[kind] += len(topic)
        if found[3] is None or kind in ("discovery", "info"):
            return
        number, last = int(found[3]), self.last.get(topic, 0)
        if number <= last:
            self.again[kind] += 1
        else:
            self.holes[kind] += number - last - 1
            self.last[topic] = number


class Broker:
    """A mosquitto that keeps everything for whoever is slow, and a subscriber."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        file = folder / "mosquitto.conf"
        file.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_type error\n"
            "sys_interval 0\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        )
        self._broker = subprocess.Popen(["mosquitto", "-c", str(file)])
        wait_until(lambda: listens(self.port), START_S, "mosquitto")
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-q", "1"]
        self._listener = subprocess.Popen(
            ["mosquitto_sub", *where, "-t", "#", "-F", "%t\x1f%l\x1f%p"], stdout=subprocess.PIPE
        )
        self.tally = Tally()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        # Heard once, it hears everything.
        wait_until(self._heard, START_S, "the subscription")

    def _heard(self) -> bool:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-t", "probe", "-m", "x"]
        subprocess.run(["mosquitto_pub", *where], check=True, timeout=START_S)
        time.sleep(0.05)
        return self.tally.count["probe"] > 0

    def _read(self) -> None:
        assert self._listener.stdout is not None
        for line in self._listener.stdout:
            self.tally.take(line)

    def cpu_seconds(self) -> float:
        """What the broker has used."""
        fields = Path(f"/proc/{self._broker.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def settle(self) -> None:
        """Wait until nothing comes any more."""
        seen = -1
        while seen != (seen := sum(self.tally.count.values())):
            time.sleep(1.0)

    def close(self) -> None:
        for process in (self._listener, self._broker):
            process.terminate()
            process.wait(START_S)
        self._thread.join(START_S)
        assert self._listener.stdout is not None
        self._listener.stdout.close()


def simulate(args: argparse.Namespace) -> dict[str, Any]:
    """The day of all nodes, as many at once as there are cores."""
    deadline = time.monotonic() + args.minutes * 60
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        args.recordings = Path(folder, "recordings.npz")
        keep(record(), args.recordings)
        broker = Broker(Path(folder))
        try:
            reports = _nodes(args, broker.port, deadline)
            broker.settle()
            cpu = broker.cpu_seconds()
        finally:
            broker.close()
    tally = broker.tally
    total: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in reports:
        for what in ("offered", "events"):
            total[what].update(report[what])
    received = {kind: tally.count[kind] for kind in sorted(tally.count) if kind != "probe"}
    lost_events = total["offered"]["event"] - tally.count["event"]
    return {
        "feeds": args.feeds,
        "nodes": args.nodes,
        "hours_asked": args.hours,
        "hours": round(sum(r["hours"] * r["feeds"] for r in reports) / args.feeds, 3),
        "programme_minutes": args.programme_minutes,
        "heartbeat_s": args.heartbeat,
        "real_seconds": round(time.monotonic() - began, 1),
        "decisions_judged": sum(r["decisions"] for r in reports),
        "offered": dict(total["offered"]),
        "events": dict(total["events"]),
        "received": received,
        "payload_bytes": {kind: tally.payload[kind] for kind in received},
        "topic_bytes": {kind: tally.topics[kind] for kind in received},
        "dropped": sum(r["dropped"] for r in reports),
        "events_lost": lost_events,
        "newest_missing": {
            kind: total["offered"][kind] - tally.newest(kind) for kind in ("state", "health")
        },
        "superseded": {kind: n for kind, n in tally.holes.items() if n},
        "twice": {kind: n for kind, n in tally.again.items() if n},
        "strange": tally.strange,
        "broker_cpu_us_per_message": round(cpu * 1e6 / max(1, sum(received.values())), 1),
        "node_cpu_s": round(sum(r["cpu_s"] for r in reports), 1),
    }


def _nodes(args: argparse.Namespace, port: int, deadline: float) -> list[dict[str, Any]]:
    """Run every node in a process of its own; ``args.at_once`` of them together."""
    left = list(range(args.nodes))
    running: list[tuple[subprocess.Popen[str], float]] = []
    reports = []
    # Each gets its share of the time that is left, so that the last is heard as long as the first.
    rounds = -(-args.nodes // args.at_once)
    share = (deadline - time.monotonic()) / rounds
    try:
        while left or running:
            while left and len(running) < args.at_once:
                command = [sys.executable, __file__, "--node", f"{left.pop(0)}/{args.nodes}"]
                for name in (
                    "feeds",
                    "hours",
                    "seed",
                    "programme_minutes",
                    "heartbeat",
                    "recordings",
                ):
                    command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
                command += ["--port", str(port), "--minutes", str(share / 60)]
                process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                running.append((process, time.monotonic() + share + 3 * DRAIN_S))
            process, until = running.pop(0)
            told, _ = process.communicate(timeout=max(1.0, until - time.monotonic()))
            if process.returncode:
                raise RuntimeError(f"a node ended with {process.returncode}")
            reports.append(json.loads(told))
    finally:
        for process, _ in running:
            process.kill()
            process.wait()
    return reports


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--feeds", type=int, default=10_000)
    made.add_argument("--nodes", type=int, default=10)
    made.add_argument("--hours", type=float, default=24.0)
    made.add_argument("--minutes", type=float, default=10.0, help="of real time, at most")
    made.add_argument("--programme-minutes", type=float, default=30.0, help="between changes")
    made.add_argument("--heartbeat", type=float, default=3600.0, help="seconds; mqtt.heartbeat_s")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--at-once", type=int, default=len(os.sched_getaffinity(0)))
    made.add_argument("--record", type=Path, metavar="FILE", help="write the report there")
    made.add_argument("--node", help=argparse.SUPPRESS)
    made.add_argument("--port", type=int, help=argparse.SUPPRESS)
    made.add_argument("--recordings", type=Path, help=argparse.SUPPRESS)
    return made


def main() -> int:
    args = parser().parse_args()
    if args.node:
        deadline = time.monotonic() + args.minutes * 60
        print(json.dumps(play_node(args.node, args, args.port, deadline)))
        return 0
    if shutil.which("mosquitto") is None or shutil.which("mosquitto_sub") is None:
        sys.stderr.write(
            "mosquitto is not installed: apt-get install mosquitto mosquitto-clients\n"
        )
        return 69
    report = simulate(args)
    text = json.dumps(report, indent=2) + "\n"
    print(text, end="")
    if args.record:
        args.record.write_text(text)
    lost = report["events_lost"] or report["dropped"] or any(report["newest_missing"].values())
    return 1 if lost or report["superseded"].get("event") or report["strange"] else 0


if __name__ == "__main__":
    sys.exit(main())
