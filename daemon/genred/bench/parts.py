"""What the parts of a decision cost alone: where the time of many feeds goes.

Front end and network do one batch again and again, so that all they need is in the caches. All
else is the engine under its feeds, as :mod:`genred.bench.load` runs it, with a network that
answers at once what it has answered before. What the whole costs beyond the sum of these is what
the feeds take from each other's caches.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from genred.bench.load import AUDIO_S, run_load
from genred.bench.sound import programme
from genred.model.front_end import LogMel
from genred.model.session import load_model
from genred.model.stream import BATCH
from genred.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genred.model.session import Model

    Floats = NDArray[np.float32]

TURNS: Final = 50
CALLS: Final = 3
"""The best of so many turns of so many calls counts: what a part costs undisturbed. A turn takes a
few milliseconds, so that some go by between two of whoever else is at work."""

RING_TURNS: Final = 7
"""A turn of all rings takes longer."""

HOPS_IN_RING: Final = 16
"""As many as the daemon's rings hold by default, 4 s of audio four times a second."""


@dataclass(frozen=True, slots=True)
class Parts:
    """CPU milliseconds for each second of audio of one feed."""

    feeds: int
    batch: int
    """Rows that went through the network at once."""
    front_end_ms: float
    """0 where the graph runs whole, and the front end is in :attr:`network_ms`."""
    network_ms: float
    """Under onnxruntime; states are fetched and put back."""
    rings_ms: float
    """Copying hops out of the rings of all feeds."""
    rest_ms: float
    """Everything but front end and network, :attr:`rings_ms` included."""


def parts(model: str, feeds: int, seconds: float) -> dict[str, Any]:
    """Measure them; the engine hears ``feeds`` for ``seconds`` of audio each."""
    loaded = load_model(Path(model))
    metadata = loaded.metadata
    audio = programme(AUDIO_S, metadata.sample_rate)
    hops = audio[: len(audio) // metadata.hop * metadata.hop].reshape(-1, metadata.hop)
    rate = metadata.decisions_per_second / 1e3  # from seconds a step to milliseconds a second
    stream = loaded.stream(BATCH)
    batch = min(BATCH, stream.batch)
    stream.inbox[:batch] = hops[:batch]
    rows = list(range(batch))
    step = _best(lambda: stream.step(rows)) / batch
    front_end = 0.0
    if loaded.shortened:
        logmel = LogMel(metadata.front_end, metadata.sample_rate, metadata.hop)
        samples = np.tile(hops[:batch], (1, 2))[:, : logmel.tail + metadata.hop].copy()
        out = np.empty((batch, metadata.front_end.n_mels, logmel.frames), np.float32)
        front_end = _best(lambda: logmel(samples, out)) / batch
    reciting = cast("Model", Reciting(loaded, hops))
    rest = run_load(reciting, feeds, seconds, audio=audio).cpu_ms
    return asdict(
        Parts(
            feeds=feeds,
            batch=batch,
            front_end_ms=front_end * 1e6 * rate,
            network_ms=(step - front_end) * 1e6 * rate,
            rings_ms=_rings(metadata.hop, feeds) * 1e6 * rate,
            rest_ms=rest,
        )
    )


class Reciting:
    """A model that has heard all it will ever be asked, and answers without listening."""

    def __init__(self, model: Model, hops: Floats) -> None:
        self.metadata = model.metadata
        self.provider = model.provider
        self.probabilities = model.probabilities
        self._logits, self._logmel = model.stream(1).run(0, hops)

    def stream(self, feeds: int, *, pictures: bool = True) -> Recital:
        """Rows that begin at different places, as feeds in the simulation do."""
        del pictures
        return Recital(self._logits, self._logmel, self.metadata.hop, feeds)


class Recital:
    """A :class:`genred.model.stream.Stream` of what was answered before."""

    def __init__(self, logits: Floats, logmel: Floats, hop: int, feeds: int) -> None:
        self._logits, self._logmel, self._hop = logits, logmel, hop
        self.arrange([None] * feeds)

    def arrange(self, rows: Sequence[int | None]) -> None:
        """All begin anew."""
        self.batch = max(1, min(len(rows), 8 * BATCH))
        self.inbox = np.zeros((self.batch, self._hop), np.float32)
        self._place = 7 * np.arange(len(rows))

    def step(self, rows: Sequence[int]) -> tuple[Floats, Floats]:
        """What comes next, for each."""
        place = self._place[rows] % len(self._logits)
        self._place[rows] += 1
        return self._logits[place], self._logmel[: len(rows)]

    def reset(self, row: int) -> None:
        """There is no state."""


def _rings(hop: int, feeds: int) -> float:
    """Seconds that one hop takes to be copied out of its ring, each of another feed."""
    rings = [Ring(HOPS_IN_RING * hop, piece=hop) for _ in range(feeds)]
    audio = np.full(hop, 0.1, np.float32)
    inbox = np.empty((BATCH, hop), np.float32)

    def fill() -> None:
        for ring in rings:
            ring.write(audio)

    def drain() -> None:
        for number, ring in enumerate(rings):
            ring.read(inbox[number % BATCH])

    times = []
    for _ in range(RING_TURNS):
        fill()
        began = time.process_time()
        drain()
        times.append(time.process_time() - began)
    return min(times[1:]) / feeds


def _best(work: Callable[[], object]) -> float:
    """Seconds of one call, in the fastest turn."""
    work()
    times = []
    for _ in range(TURNS):
        began = time.process_time()
        for _ in range(CALLS):
            work()
        times.append((time.process_time() - began) / CALLS)
    return min(times)
