"""Days of listening in minutes: the whole engine on a clock that moves as fast as it can.

    python tests/soak/simulated.py --hours 72 --seed 1

Feeds play the synthesised station's styles, in step, through gaps, overflows, sources that are away
for a while, silence, and a system clock that jumps. Held against it: memory, threads and
descriptors, and that the events of each feed make sense from the first to the last: numbers without
a hole, times that never run back within a stretch of audio, nothing that ends without having begun.
With ``--drift`` the sound card runs slower than the system clock, and the report says by how much
the audio's time is then wrong at worst.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genred.clock import FakeClock
from genred.engine import Engine
from genred.feed import FeedSetup
from genred.messages import FeedEvent, Message, SourceStatus
from genred.model.session import load_model
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.sources.fake import FakeSource
from genred.station import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genred.feed import Feed

RATE = 16_000
STYLES = ("speech", "rain", "jazz", "metal", "static", "blues")
HOP_S = 0.25
HOP = round(RATE * HOP_S)
PASSAGES = (2.0, 5.0, 20.0, 60.0)
FAULTS = ("none", "none", "none", "gap", "overflow", "away", "jump")
MEMORY_MB_PER_HOUR = 1.0
"""Growth beyond this after the warm-up is a leak."""

WARM_UP = 0.2
"""Share of the run after which memory should stand."""


@dataclass
class Ledger:
    """A publisher that keeps what is needed to account for everything, and no more."""

    faults: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    set_back_s: float = 0.0
    """By how much the system clock was set back so far: times before and after that are of two
    reckonings, and may seem to run back by as much."""
    _seq: dict[tuple[str, str], int] = field(default_factory=dict)
    _set_back: dict[str, float] = field(default_factory=dict)
    _open: dict[str, FeedEvent] = field(default_factory=dict)
    _dead: set[str] = field(default_factory=set)

    def start(self, node, feeds) -> None: ...

    def rearrange(self, node, feeds) -> None: ...

    def stop(self) -> None: ...

    def status(self) -> str:
        return f"{self.messages} messages"

    def offer(self, message: Message) -> None:
        self.messages += 1
        key = message.feed, message.topic
        if message.seq != self._seq.get(key, 0) + 1:
            self.faults.append(f"{key}: {message.seq} after {self._seq.get(key, 0)}")
        self._seq[key] = message.seq
        if isinstance(message, FeedEvent):
            self._event(message)

    def _event(self, event: FeedEvent) -> None:
        self.events[event.event_type] += 1
        before = self._open.get(event.feed)
        may = self.set_back_s - self._set_back.get(event.feed, 0.0)
        self._set_back[event.feed] = self.set_back_s
        wrong = ""
        match event.event_type:
            case "started":
                wrong = "started twice" if before else ""
                self._open[event.feed] = event
            case "changed":
                wrong = "" if before else "changed from nothing"
                # Not by when that was told to begin: the clock may have been set since.
                if event.previous_seconds is not None and event.previous_seconds < 0:
                    wrong = f"begins {-event.previous_seconds:.1f} s before its predecessor"
                if before and event.previous != before.label:
                    wrong = f"follows {event.previous}, but {before.label} was on"
                self._open[event.feed] = event
            case "ended":
                wrong = "" if before else "ended without a beginning"
                if event.end is not None and event.end < event.start - may:
                    wrong = "ends before it begins"
                self._open.pop(event.feed, None)
                self._dead.discard(event.feed)
            case "dead_air":
                wrong = "dead air twice" if event.feed in self._dead else ""
                self._dead.add(event.feed)
            case "recovered":
                wrong = "" if event.feed in self._dead else "recovered from nothing"
                self._dead.discard(event.feed)
        if wrong:
            self.faults.append(f"{event.feed} {event.event_type} {event.seq}: {wrong}")


def hops(seed: int, faults: Sequence[str]) -> Iterator[np.ndarray | str]:
    """What one feed delivers, a quarter of a second at a time; a fault as a word between."""
    rng = random.Random(seed)
    passages = {style: render(style, 60, seed, RATE) for style in STYLES}
    passages["silence"] = np.zeros(60 * RATE, np.float32)
    while True:
        sound = passages[rng.choice([*STYLES, "silence"])]
        for at in range(0, round(rng.choice(PASSAGES) * RATE), HOP):
            yield sound[at : at + HOP]
        yield rng.choice(faults)


class Player:
    """Plays into the intake of one feed, and is away when a fault says so."""

    def __init__(
        self, feed: Feed, seed: int, clock: FakeClock, faults: Sequence[str], ledger: Ledger
    ) -> None:
        self._intake = feed.intake
        self._clock = clock
        self._ledger = ledger
        self._hops = hops(seed, faults)
        self._rng = random.Random(seed)
        self._away = 0
        self.faults: Counter[str] = Counter()

    def play(self) -> None:
        """A quarter of a second passes."""
        if self._away:
            self._away -= 1
            return
        self._intake.listening()
        while isinstance(hop := next(self._hops), str):
            self.faults[hop] += 1
            match hop:
                case "gap":
                    self._intake.gap("soak")
                case "overflow":
                    self._intake.overflowed(self._rng.randrange(RATE))
                case "away":
                    self._intake.gap("soak")
                    self._intake.set_status(SourceStatus.RECONNECTING, error="it broke")
                    self._away = self._rng.randrange(1, 240)
                    return
                case "jump":
                    seconds = self._rng.uniform(-3600, 3600)
                    self._clock.jump(seconds)
                    self._ledger.set_back_s += max(0.0, -seconds)
        self._intake.write(hop)


@dataclass
class Sample:
    hour: float
    resident_mb: float
    threads: int
    descriptors: int

    @classmethod
    def now(cls, hour: float) -> Sample:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            hour,
            pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            threading.active_count(),
            len(list(Path("/proc/self/fd").iterdir())),
        )


def slope(samples: list[Sample]) -> float:
    """MB an hour, by least squares."""
    if len(samples) < 3:
        return 0.0
    return float(np.polyfit([s.hour for s in samples], [s.resident_mb for s in samples], 1)[0])


def run(
    hours: float, seed: int, feeds: int, *, drift: float = 0.0, faults: bool = True
) -> dict[str, Any]:
    """Listen for so many simulated hours; what was measured, and ``faults`` that were found.

    ``drift`` is by how much of its time the sound card is slow.
    """
    clock = FakeClock()
    setups = [
        FeedSetup(
            FeedSettings(id=f"feed{n}", source="-"), JudgementSettings(), FakeSource([], clock)
        )
        for n in range(feeds)
    ]
    ledger = Ledger()
    engine = Engine(load_model(), setups, [ledger], clock, node="soak", heartbeat_s=30)
    which = FAULTS if faults else ("none",)
    players = [
        Player(feed, 1000 * seed + n, clock, which, ledger) for n, feed in enumerate(engine.feeds)
    ]
    began = time.monotonic()
    samples: list[Sample] = []
    late = 0.0
    for turn in range(round(hours * 3600 / HOP_S)):
        clock.advance(HOP_S * (1 + drift))
        for player in players:
            player.play()
        while engine.tick():
            pass
        engine.look_after()
        if turn % round(600 / HOP_S) == 0:
            gc.collect()
            samples.append(Sample.now(turn * HOP_S / 3600))
            if not faults:
                late = max(late, *(abs(clock.now() - feed.view(0).now) for feed in engine.feeds))
    settled = samples[int(len(samples) * WARM_UP) :]
    injected = sum((player.faults for player in players), Counter())
    report = {
        "simulated_hours": hours,
        "feeds": feeds,
        "seed": seed,
        "real_seconds": round(time.monotonic() - began, 1),
        "injected": {name: n for name, n in sorted(injected.items()) if name != "none"},
        "events": dict(ledger.events),
        "messages": ledger.messages,
        "memory_mb": [round(settled[0].resident_mb, 1), round(settled[-1].resident_mb, 1)],
        "memory_mb_per_hour": round(slope(settled), 4),
        "threads": sorted({sample.threads for sample in settled}),
        "descriptors": sorted({sample.descriptors for sample in settled}),
        "faults": ledger.faults[:50],
    }
    if not faults:
        report |= {"drift_ppm": drift * 1e6, "audio_time_wrong_by_at_most_s": round(late, 3)}
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=72, help="of audio, for each feed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--feeds", type=int, default=2)
    parser.add_argument("--drift", type=float, metavar="PPM", help="and no other fault")
    args = parser.parse_args()
    drifting = args.drift is not None
    drift = (args.drift or 0.0) / 1e6
    report = run(args.hours, args.seed, args.feeds, drift=drift, faults=not drifting)
    print(json.dumps(report, indent=2))
    leak = report["memory_mb_per_hour"] > MEMORY_MB_PER_HOUR
    return 1 if report["faults"] or leak or len(report["threads"]) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
