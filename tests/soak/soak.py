"""The daemon for as long as one likes, against real counterparts that fail at random, by seed.

    python tests/soak/soak.py --minutes 60 --seed 1 --report soak.json
    python tests/soak/soak.py --each --table        # every fault in turn, as the table of the docs
    python tests/soak/soak.py --only broker_restarts --pace 10      # what one fault costs

`genred run` listens to a pipe (raw PCM from ffmpeg), to a microphone (PulseAudio) and to a stream
(Icecast), and publishes to mosquitto. Its standard output is the independent witness of every
event: what it says there and what a subscriber of the broker gets are compared by number.

The synthesised station is not among its feeds: what that renders ahead takes from 6 to 14 MB, now
more and now less, in which nobody would see a leak of 1 MB.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).parents[1]))

from genred.frugal import TELL_S
from rigs import clips
from rigs.icecast import IcecastRig
from rigs.mosquitto import Mosquitto
from rigs.ports import free_port, wait_until
from rigs.pulse import PulseRig

if TYPE_CHECKING:
    from collections.abc import Callable


SAMPLE_S = 5.0
"""How often memory, threads and descriptors are looked at."""

CALM_S = (15.0, 45.0)
"""Between two faults."""

DOWN_S = (2.0, 15.0)
"""How long a counterpart is away."""

READ_S = 10.0
"""A stream that sends nothing for so long is given up."""

RECOVER_S = 90.0
"""Longer than the longest pause between attempts, and then some."""

WARM_UP_S = 600.0
"""Every fault has come once by then: decoders, resolver and allocator have seen it."""

LONG_S = 3000.0
"""A shorter run says little of memory: the allocator breathes."""

MEMORY_MB_PER_HOUR = 1.0
"""Growth of what is in use beyond this after the warm-up is a leak."""

BLOCK_MB = 512 / 2**20
"""The most that one of Python's small blocks holds: what is counted is taken at its worst."""

TOLD = re.compile(
    r"memory: own (?P<own_mb>[\d.]+) MB, in use: heap (?P<heap_mb>[\d.]+) MB, "
    r"(?P<blocks>\d+) Python blocks"
)
"""What the daemon says of its own memory at debug level (genred.frugal)."""

FEEDS = {"line": "{line}", "mic": "device:pulse", "web": "{web}"}

CLIP = [("speech", 40), ("jazz", 40), ("rain", 20), ("metal", 40)]


class Ear:
    """A subscriber that keeps its session: what the broker had accepted reaches it in the end."""

    def __init__(self, port: int) -> None:
        self.heard: Counter[tuple[str, int]] = Counter()
        self.delays: list[tuple[float, float]] = []
        self.last: dict[str, float] = {}
        self.online_at: dict[str, float] = {}
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="soak", clean_session=False
        )
        self.client.on_connect = lambda client, *_: client.subscribe("genred/soak/#", qos=1)
        self.client.on_message = self._take
        self.client.reconnect_delay_set(1, 1)
        self.client.connect_async("127.0.0.1", port, keepalive=10)
        self.client.loop_start()

    def _take(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        now = time.time()
        *_, feed, what = message.topic.split("/")
        if what == "status" and message.payload == b"online":
            self.online_at[feed] = time.monotonic()
        if what == "event":
            self.heard[feed, json.loads(message.payload)["seq"]] += 1
        elif what == "scores":
            ts = datetime.fromisoformat(json.loads(message.payload)["ts"]).timestamp()
            self.delays.append((time.monotonic(), now - ts))
            self.last[feed] = time.monotonic()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Happening:
    """One fault, as it went."""

    name: str
    at_s: float
    down_s: float
    back_after_s: float | None
    """From the counterpart's return to the next decision that a subscriber gets; None: never."""


@dataclass
class World:
    """The counterparts and the daemon."""

    folder: Path
    seed: int
    stack: ExitStack
    happenings: list[Happening] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)
    children_left: list[int] = field(default_factory=list)

    def begin(self) -> None:
        parts = [clips.style(name, seconds, self.seed) for name, seconds in CLIP]
        self.clip = clips.write_wav(self.folder / "clip.wav", np.concatenate(parts))
        self.broker = Mosquitto(
            self.folder / "broker",
            ("autosave_interval 1", "autosave_on_changes true", "max_queued_messages 0"),
            persistent=True,
        ).start()
        self.stack.callback(self.broker.close)
        self.pulse = PulseRig(self.folder)
        os.environ.update(self.pulse.environment)
        self.pulse.start()
        self.stack.callback(self.pulse.stop)
        self.icecast = IcecastRig(self.folder, free_port())
        self.folder.chmod(0o777)  # Icecast gives up root
        self.icecast.start()
        self.stack.callback(self.icecast.stop)
        self.on_air()
        self.play()
        os.mkfifo(self.line)
        self.write()
        self.stack.callback(self.stop_writing)
        self.ear = Ear(self.broker.port)
        self.stack.callback(self.ear.close)
        self.config = self.folder / "genred.toml"
        self.configure(0.6)
        self.witness = (self.folder / "events.jsonl").open("wb")
        self.log = (self.folder / "log").open("wb")
        command = ["run", "--json", "--log-level", "debug", "--config", str(self.config)]
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "genred", *command],
            stdin=subprocess.DEVNULL,
            stdout=self.witness,
            stderr=self.log,
        )
        self.stack.callback(self.daemon.kill)
        self.began, self.began_at = time.monotonic(), time.time()
        wait_until(lambda: len(self.ear.last) == len(FEEDS), 60, "a first decision of each feed")

    def configure(self, enter: float) -> None:
        lines = [
            '[logging]\nformat = "json"',
            f'[node]\nname = "soak"\n[mqtt]\nurl = "{self.broker.url}"\nscores = true',
            f"[judgement]\nenter = {enter}",
        ]
        for name, source in FEEDS.items():
            where = source.format(web=self.icecast.url(), line=self.line)
            lines.append(f'[[feeds]]\nid = "{name}"\nsource = "{where}"')
            if name == "line":
                lines.append(f"rate = {clips.RATE}")
        self.config.write_text("\n".join(lines) + "\n")

    def play(self) -> None:
        self.player = self.pulse.play(self.clip)

    @property
    def line(self) -> Path:
        """The pipe."""
        return self.folder / "line"

    def write(self) -> None:
        """Somebody opens the pipe and plays into it."""
        self.writer = subprocess.Popen(
            [
                *("ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1"),
                *("-i", self.clip, "-f", "s16le", "-y", self.line),
            ],
            stderr=subprocess.DEVNULL,  # in the end the daemon leaves before it
        )

    def stop_writing(self) -> None:
        """Whoever plays into the pipe leaves."""
        self.writer.kill()
        self.writer.wait(10)

    def on_air(self) -> None:
        self.station = self.icecast.broadcast(self.clip, name="Soak FM")

    def end(self) -> int:
        children = _children(self.daemon.pid)
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(15)
        self.children_left = [pid for pid in children if Path(f"/proc/{pid}").exists()]
        time.sleep(2)  # what the broker still holds for the ear
        self.witness.close()
        self.log.close()
        return code

    def look(self) -> None:
        """Memory, threads, descriptors, children and processor time of the daemon."""
        proc = Path(f"/proc/{self.daemon.pid}")
        status = dict(
            line.split(":\t", 1)
            for line in (proc / "status").read_text().splitlines()
            if ":\t" in line
        )
        stat = (proc / "stat").read_text().rsplit(") ", 1)[1].split()
        self.samples.append(
            {
                "at_s": time.monotonic() - self.began,
                "resident_mb": int(status["VmRSS"].split()[0]) / 1024,
                # Its own: what is resident of libraries comes and goes with the page cache.
                "own_mb": int(status["RssAnon"].split()[0]) / 1024,
                "threads": int(status["Threads"]),
                "descriptors": len(list((proc / "fd").iterdir())),
                "children": len(_children(self.daemon.pid)),
                "cpu_s": (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
            }
        )
        if self.player.poll() is not None and (self.folder / "pulse" / "pid").exists():
            self.play()


def _children(pid: int) -> list[int]:
    """The processes that the threads of ``pid`` have started and not yet reaped."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # the thread has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def broker_restarts(world: World, down: float) -> None:
    world.broker.stop()
    time.sleep(down)
    world.broker.start()


def broker_is_killed(world: World, down: float) -> None:
    time.sleep(
        1.5
    )  # let it save what it has acknowledged: what it loses itself is not the question
    world.broker.kill()
    time.sleep(down)
    world.broker.start()


def broker_freezes(world: World, down: float) -> None:
    world.broker.freeze()
    time.sleep(down)
    world.broker.thaw()


def station_leaves(world: World, down: float) -> None:
    world.icecast.stop_station(world.station)
    time.sleep(down)
    world.on_air()


def station_stalls(world: World, down: float) -> None:
    """The connection stays, and nothing comes: longer than a read may take."""
    world.icecast.freeze()
    time.sleep(READ_S + down)
    world.icecast.thaw()


def icecast_is_killed(world: World, down: float) -> None:
    world.icecast.kill()
    world.icecast.stop_station(world.station)
    time.sleep(down)
    world.icecast.start()
    world.on_air()


def writer_leaves(world: World, down: float) -> None:
    world.stop_writing()
    time.sleep(down)
    world.write()


def sound_server_is_killed(world: World, down: float) -> None:
    world.pulse.kill()
    time.sleep(down)
    world.pulse.start()
    world.play()


def configuration_changes(world: World, down: float) -> None:
    del down
    world.configure(random.choice([0.5, 0.55, 0.65]))
    world.daemon.send_signal(signal.SIGHUP)


def configuration_is_wrong(world: World, down: float) -> None:
    del down
    good = world.config.read_text()
    world.config.write_text("[judgment]\n")
    world.daemon.send_signal(signal.SIGHUP)
    time.sleep(2)
    world.config.write_text(good)


def process_is_suspended(world: World, down: float) -> None:
    world.daemon.send_signal(signal.SIGSTOP)
    time.sleep(down)
    world.daemon.send_signal(signal.SIGCONT)


ALL = tuple(FEEDS)
FAULTS: dict[Callable[[World, float], None], tuple[tuple[str, ...], str, str]] = {
    broker_restarts: (
        ALL,
        "`status` offline by last will, then all retained topics anew",
        "scores",
    ),
    broker_is_killed: (ALL, "the same", "scores"),
    broker_freezes: (ALL, "messages late", "scores beyond the queue"),
    station_leaves: (("web",), "feed offline, `reconnecting`", "the audio meanwhile"),
    station_stalls: (("web",), "feed offline after 10 s of nothing", "the audio meanwhile"),
    icecast_is_killed: (("web",), "feed offline, `reconnecting`", "the audio meanwhile"),
    writer_leaves: (("line",), "feed offline, `reconnecting`", "the audio meanwhile"),
    sound_server_is_killed: (("mic",), "feed offline, `reconnecting`", "the audio meanwhile"),
    configuration_changes: (ALL, "one line", "nothing"),
    configuration_is_wrong: (ALL, "one line, refused", "nothing"),
    process_is_suspended: (ALL, "last will, if longer than the keepalive", "the audio meanwhile"),
}
"""What can be done, the feeds that feel it, what is seen and what is lost."""


def inflict(world: World, fault: Callable[[World, float], None], down: float) -> None:
    at = time.monotonic() - world.began
    fault(world, down)
    back = time.monotonic()
    feeds = FAULTS[fault][0]

    def again() -> bool:
        # A decision under way when the fault was over proves nothing: the window begins anew.
        return all(world.ear.last.get(feed, 0) > back + 0.05 for feed in feeds)

    until = back + RECOVER_S
    while not again() and time.monotonic() < until and world.daemon.poll() is None:
        time.sleep(0.02)
    took = round(time.monotonic() - back, 2) if again() else None
    world.happenings.append(Happening(fault.__name__, round(at, 1), round(down, 1), took))
    print(f"{at:8.0f} s  {fault.__name__:24} away {down:5.1f} s, back after {took} s", flush=True)


def account(world: World) -> dict[str, Any]:
    """Compare what the daemon said on its own output with what the subscriber got."""
    said: Counter[tuple[str, int]] = Counter()
    for line in (world.folder / "events.jsonl").read_text().splitlines():
        message: dict[str, Any] = json.loads(line)
        if message["message"] == "event":
            said[message["feed"], message["seq"]] += 1
    holes = []
    numbers = defaultdict(list)
    for feed, seq in said:
        numbers[feed].append(seq)
    for feed, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            holes.append(feed)
    heard = world.ear.heard
    return {
        "events": sum(said.values()),
        "lost": sorted(map(list, said.keys() - heard.keys())),
        "from_nowhere": sorted(map(list, heard.keys() - said.keys())),
        "delivered_twice": sum(n - 1 for n in heard.values()),
        "holes_in_numbers": holes,
    }


def calm(world: World) -> Callable[[float], bool]:
    """Whether nothing was being done to anybody so many seconds after the beginning."""
    busy = [
        (h.at_s, h.at_s + h.down_s + (h.back_after_s or RECOVER_S) + 5) for h in world.happenings
    ]
    return lambda at: not any(begin <= at <= end for begin, end in busy)


def in_use(world: World) -> list[dict[str, float]]:
    """What the daemon said of its own memory while nothing was being done to anybody."""
    quiet, found = calm(world), []
    for line in (world.folder / "log").read_text().splitlines():
        if told := TOLD.search(line):
            ts = datetime.fromisoformat(json.loads(line)["ts"]).timestamp()
            each = {name: float(value) for name, value in told.groupdict().items()}
            found.append({"at_s": round(ts - world.began_at, 1), **each})
    return [each for each in found if quiet(each["at_s"])]


def growth(hours: list[float], values: list[float]) -> dict[str, float] | None:
    """A line through ``values``: its slope an hour and the standard error of that."""
    if len(values) < 4:
        return None
    slope, start = np.polyfit(hours, values, 1)
    rest = np.array(values) - start - slope * np.array(hours)
    error = math.sqrt(rest @ rest / (len(values) - 2)) / (np.std(hours) * math.sqrt(len(values)))
    return {"an_hour": round(float(slope), 3), "standard_error": round(float(error), 3)}


def summary(world: World, code: int) -> dict[str, Any]:
    settled = [s for s in world.samples if s["at_s"] > WARM_UP_S] or world.samples[-10:]
    hours = [s["at_s"] / 3600 for s in settled]
    memory = [s["own_mb"] for s in settled]
    resident = [s["resident_mb"] for s in settled]
    quiet = calm(world)
    delays = [d for at, d in world.ear.delays if quiet(at - world.began)]
    used = [each for each in in_use(world) if each["at_s"] > WARM_UP_S]
    used_hours = [each["at_s"] / 3600 for each in used]
    found = {
        name: growth(used_hours, [each[name] for each in used]) for name in ("heap_mb", "blocks")
    }
    first, last = world.samples[0], world.samples[-1]
    third = max(1, len(settled) // 3)

    def least(what: str, samples: list[dict[str, float]]) -> float:
        """Reconnecting takes some more for a moment: what is left between faults counts."""
        return min(sample[what] for sample in samples)

    leaks = [
        what
        for what in ("threads", "descriptors", "children")
        if least(what, settled[-third:]) > least(what, settled[:third])
    ]
    heap, blocks = found["heap_mb"], found["blocks"]
    if last["at_s"] > LONG_S and heap and blocks:
        more = max(0.0, heap["an_hour"]) + max(0.0, blocks["an_hour"]) * BLOCK_MB
        if more > MEMORY_MB_PER_HOUR:
            leaks.append("memory")
    return {
        "minutes": round(last["at_s"] / 60, 1),
        "seed": world.seed,
        "exit_code": code,
        "own_mb": [round(memory[0], 1), round(memory[-1], 1)],
        "resident_mb": [round(resident[0], 1), round(resident[-1], 1)],
        "own_growth": growth(hours, memory),
        "in_use_growth": found,
        "leaks": leaks,
        "threads": [min(s["threads"] for s in settled), max(s["threads"] for s in settled)],
        "threads_at_the_end": last["threads"],
        "descriptors": [
            min(s["descriptors"] for s in settled),
            max(s["descriptors"] for s in settled),
        ],
        "descriptors_at_the_end": last["descriptors"],
        "children": [min(s["children"] for s in settled), max(s["children"] for s in settled)],
        "children_left": world.children_left,
        "cpu_share": round(
            (last["cpu_s"] - first["cpu_s"]) / max(1.0, last["at_s"] - first["at_s"]), 4
        ),
        "delay_ms": {
            str(q): round(float(np.percentile(delays, q)) * 1000, 1)
            for q in (50, 90, 99, 99.9, 100)
        }
        if delays
        else {},
        "decisions": len(world.ear.delays),
        "never_recovered": [h.name for h in world.happenings if h.back_after_s is None],
        "log_lines": len((world.folder / "log").read_text().splitlines()),
        **account(world),
        "happenings": [asdict(h) for h in world.happenings],
        "in_use": used[:: round(120 / TELL_S)],
        "samples": world.samples[:: round(60 / SAMPLE_S)],
    }


def table(world: World) -> str:
    """The rows of the fault table in docs/operations.md."""
    took = defaultdict(list)
    for each in world.happenings:
        if each.back_after_s is not None:
            took[each.name].append(each.back_after_s)
    rows = []
    for fault, (feeds, seen, lost) in FAULTS.items():
        times = took[fault.__name__]
        if times:
            who = "all feeds" if feeds == ALL else f"feed `{feeds[0]}`"
            middle, worst = statistics.median(times), max(times)
            back = f"{middle:.1f} s (at worst {worst:.1f} s of {len(times)})"
            name = fault.__name__.replace("_", " ")
            rows.append(f"| {name} ({who}) | {seen} | {back} | {lost} |")
    return "\n".join(rows)


def soak(
    world: World,
    minutes: float,
    faults: list[Callable[[World, float], None]],
    pace: float,
    *,
    each: bool,
) -> None:
    rng = random.Random(world.seed)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S) and world.daemon.poll() is None:
            world.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        if each:
            for fault in faults:
                inflict(world, fault, rng.uniform(*DOWN_S))
                time.sleep(CALM_S[0])
            return
        # Shuffled anew whenever all have come, so that none comes for the first time after an hour.
        deck: list[Callable[[World, float], None]] = []
        while world.daemon.poll() is None:
            pause = rng.uniform(*CALM_S) / pace
            if time.monotonic() - world.began + pause > minutes * 60:
                time.sleep(max(0.0, minutes * 60 - (time.monotonic() - world.began)))
                return
            time.sleep(pause)
            deck = deck or rng.sample(faults, len(faults))
            inflict(world, deck.pop(), rng.uniform(*DOWN_S) / pace)
    finally:
        stop.set()
        watcher.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="every fault once, and no more")
    parser.add_argument(
        "--only", metavar="A,B,…", default=",".join(f.__name__ for f in FAULTS), help="these faults"
    )
    parser.add_argument(
        "--pace", type=float, default=1.0, help="so many times more often, and as much shorter"
    )
    parser.add_argument("--table", action="store_true", help="print the docs' table at the end")
    parser.add_argument("--report", type=Path, help="write the summary here too")
    args = parser.parse_args()
    named = {fault.__name__: fault for fault in FAULTS}
    if unknown := set(args.only.split(",")) - set(named):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(named)}")
    faults = [named[name] for name in args.only.split(",")]
    # Ended from outside, it must not leave its counterparts running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # A socket's path may have 107 characters: keep the folder's name short.
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, ExitStack() as stack:
        world = World(Path(folder), args.seed, stack)
        world.begin()
        soak(world, args.minutes, faults, args.pace, each=args.each)
        code = world.end()
        report = summary(world, code)
        text = json.dumps(report, indent=2)
        print(text)
        if args.report:
            args.report.write_text(text + "\n")
        if args.table:
            print(table(world))
        if code or report["never_recovered"]:
            print((world.folder / "log").read_text()[-4000:])
    wrong = code or any(
        report[what]
        for what in ("lost", "from_nowhere", "never_recovered", "leaks", "children_left")
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
