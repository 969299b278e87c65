"""The engine under many feeds: what they cost, and how late decisions come.

The engine runs as it does in the daemon, :meth:`genred.engine.Engine.run` with all that follows
from ring to message, but on a clock of its own (:class:`BusyClock`). Where the engine waits, that
clock jumps to the next arrival of audio and puts it into the ring; while the engine works, it goes
on by the CPU time that this takes. So thousands of feeds are heard in real time without thousands
of sources that take the core away from what is measured: a discrete-event simulation in which the
time of service is not drawn but measured. Other work on the machine moves its figures only as far
as it takes away caches and memory bandwidth.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genred.bench.sound import programme
from genred.engine import Engine
from genred.feed import FeedSetup
from genred.messages import SourceStatus
from genred.model.session import load_model
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genred.feed import Feed
    from genred.messages import Message, NodeInfo
    from genred.model.session import Model
    from genred.publishers.base import FeedInfo
    from genred.sources.base import Intake

    Floats = NDArray[np.float32]

EPOCH: Final = 1_700_000_000.0
"""The wall clock's start; any time will do."""

AUDIO_S: Final = 40.0
"""So much audio is made; feeds begin at different places in it and go round."""

WARM_UP_S: Final = 1.5
"""Audio heard before anything counts: every window is full by then, every label once said."""

HEARTBEAT_S: Final = 30.0
"""As in the daemon."""

OPEN_S: Final = 60.0
"""All sources have opened by then, thousands of threads on a busy machine included."""

BUFFER_S: Final = FeedSettings.model_fields["buffer_s"].default


@dataclass(frozen=True, slots=True)
class Load:
    """What some feeds cost."""

    feeds: int
    seconds: float
    """Audio that was heard of each, the warm-up left out."""
    decisions_per_second: float
    cpu_ms: float
    """CPU milliseconds for each second of audio of one feed, from ring to message."""
    busy: float
    """Share of the core."""
    delay_median_ms: float
    delay_p99_ms: float
    """From the end of a window's audio to the moment the turn that decided on it was over."""
    messages: int
    dropped_seconds: float
    """Audio that was overwritten before it was heard, all feeds together."""


class Counter:
    """A publisher that counts."""

    def __init__(self) -> None:
        self.messages = 0

    def start(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Nothing has to be opened."""

    def rearrange(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Nothing is kept by feed."""

    def offer(self, message: Message) -> None:
        """Count."""
        del message
        self.messages += 1

    def status(self) -> str:
        """How many there were."""
        return f"{self.messages} messages"

    def stop(self) -> None:
        """Nothing has to be closed."""


class Fed:
    """A source whose audio is put into its intake by somebody else."""

    description = "measured"
    live = True
    synthetic = True

    def run(self, intake: Intake) -> None:
        """Open, and wait to be stopped."""
        intake.listening()
        intake.stopping.wait()


class BusyClock:
    """Time that goes on by the CPU time used, and jumps to the next audio where none is used."""

    def __init__(self, hop: int, rate: int, audio: Floats) -> None:
        self._hop, self._hop_s = hop, hop / rate
        self._hops = audio[: len(audio) // hop * hop].reshape(-1, hop)
        self._time = 0.0
        self._mark, self._own = time.process_time(), time.thread_time()
        self._owner = threading.get_ident()
        self._arrivals: list[tuple[float, int, int]] = []
        self._feeds: Sequence[Feed] = ()
        self._waiting: list[tuple[float, Feed]] = []
        self._stop = threading.Event()
        self._counts_from = 0.0
        self._end = 0.0
        self.at_end: Callable[[], None] = lambda: None
        """Called once all audio is heard, while everything is still there."""
        self.delays: list[float] = []
        self.cpu = 0.0
        """CPU seconds used between two waits, once everything counts."""

    def play(
        self, feeds: Sequence[Feed], phases: Floats, seconds: float, stop: threading.Event
    ) -> None:
        """Have ``feeds`` hear audio for ``seconds``; hops of each end at its phase (0 to 1)."""
        self._feeds, self._stop = feeds, stop
        self._counts_from, self._end = WARM_UP_S, WARM_UP_S + seconds
        self._arrivals = [
            (float(phase + 1) * self._hop_s, feed, 7 * feed) for feed, phase in enumerate(phases)
        ]
        heapq.heapify(self._arrivals)

    def now(self) -> float:
        """Unix time in seconds."""
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        """Seconds since the start.

        The engine's thread is the only one that works. To read its own time is cheap; the kernel
        adds that of a process up over all threads, which would cost more than is measured.
        """
        if threading.get_ident() != self._owner:
            return self._time
        return self._time + time.thread_time() - self._own

    def suspended(self) -> float:
        """Never."""
        return 0.0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let time pass until ``event`` is set, at most ``seconds``."""
        if threading.get_ident() != self._owner:
            return event.wait(seconds)
        used = time.process_time() - self._mark
        if self._time >= self._counts_from:
            self.cpu += used
        elif self._time == 0:
            used = 0.0  # loading and opening, and no time of listening
            self._open()
        self._time += used
        self._settle()
        until = self._time + seconds
        while self._arrivals[0][0] <= (self._time if event.is_set() else until):
            self._deliver()
        if not event.is_set():
            self._time = until
        if self._time >= self._end and not self._stop.is_set():
            self.at_end()
            self._stop.set()
        self._mark, self._own = time.process_time(), time.thread_time()
        return event.is_set()

    def _open(self) -> None:
        until = time.monotonic() + OPEN_S
        for feed in self._feeds:
            while feed.intake.status is not SourceStatus.LISTENING:
                if time.monotonic() > until:
                    raise TimeoutError("the sources do not open")
                time.sleep(0.001)

    def _settle(self) -> None:
        """Set down how late the hops came that have been taken since the last wait."""
        left = []
        for arrived, feed in self._waiting:
            if feed.intake.available() >= self._hop:
                left.append((arrived, feed))
            elif arrived >= self._counts_from:
                self.delays.append(self._time - arrived)
        self._waiting = left

    def _deliver(self) -> None:
        arrival, row, place = heapq.heappop(self._arrivals)
        heapq.heappush(self._arrivals, (arrival + self._hop_s, row, place + 1))
        time_now, self._time = self._time, arrival
        self._own = time.thread_time()  # what is written is stamped with its own time
        feed = self._feeds[row]
        captured = EPOCH + arrival - self._hop_s
        feed.intake.write(self._hops[place % len(self._hops)], captured)
        self._waiting.append((arrival, feed))
        self._time = max(time_now, arrival)


def run_load(
    model: Model,
    feeds: int,
    seconds: float,
    *,
    aligned: bool = False,
    audio: Floats | None = None,
) -> Load:
    """Have the engine hear ``feeds`` feeds for ``seconds`` of audio each.

    Their windows end at moments spread evenly over a hop, or with ``aligned`` all at once.
    ``audio`` is mono at the model's rate; the station's if not given. Belongs on a thread alone
    in its process: all CPU time of the process counts.
    """
    metadata = model.metadata
    if audio is None:
        audio = programme(AUDIO_S, metadata.sample_rate)
    clock = BusyClock(metadata.hop, metadata.sample_rate, audio)
    setups = [
        FeedSetup(FeedSettings(id=f"feed{n}", source="-"), JudgementSettings(), Fed())
        for n in range(feeds)
    ]
    counter = Counter()
    engine = Engine(model, setups, [counter], clock, node="bench", heartbeat_s=HEARTBEAT_S)
    stop = threading.Event()
    phases = np.zeros(feeds, np.float32)
    if not aligned:
        phases = np.random.default_rng(0).permutation(np.linspace(0, 1, feeds, endpoint=False))
    clock.play(engine.feeds, phases.astype(np.float32), seconds, stop)
    engine.run(stop)
    dropped: Any = sum(feed.intake.dropped_samples for feed in engine.feeds)
    # Where nothing that counts was decided at all, everything is later than that.
    delays = np.array(clock.delays or [seconds]) * 1000
    return Load(
        feeds=feeds,
        seconds=seconds,
        decisions_per_second=metadata.decisions_per_second,
        cpu_ms=clock.cpu * 1000 / (feeds * seconds),
        busy=clock.cpu / seconds,
        delay_median_ms=float(np.median(delays)),
        delay_p99_ms=float(np.quantile(delays, 0.99)),
        messages=counter.messages,
        dropped_seconds=dropped / metadata.sample_rate,
    )


def load_on(
    model: str, feeds: int, seconds: float, *, aligned: bool = False, audio: str = ""
) -> dict[str, Any]:
    """:func:`run_load` with the model at a path, kept from one call to the next.

    ``audio`` is the path of an array to be heard.
    """
    heard = np.load(audio) if audio else None
    return asdict(run_load(_loaded(model), feeds, seconds, aligned=aligned, audio=heard))


@lru_cache(maxsize=1)
def _loaded(model: str) -> Model:
    return load_model(Path(model))
