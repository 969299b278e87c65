"""The model alone, from samples in memory to labels, for many feeds in one step."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from genred.model.session import load_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.model.session import Model

SIZES: Final = (1, 10, 100, 1_000, 10_000, 100_000)
"""Feeds in one step."""

LEAST_S: Final = 0.5
FEWEST: Final = 5
MOST: Final = 200
"""Steps of one size: at least so many and for so long, at most so many."""

WARM_UP: Final = 2
"""Steps that do not count: a new size allocates, and captures its graph where there is one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Steps of one size."""

    provider: str
    feeds: int
    ms: float
    """Median time of a step, samples in and index of the likeliest label out: wall-clock time on a
    GPU, CPU time on a core."""
    us_per_feed: float
    steps: int


def batches(model: str, provider: Literal["cpu", "cuda"], sizes: Sequence[int]) -> dict[str, Any]:
    """Time steps of each of ``sizes``; fixed shapes, state kept where the provider keeps it.

    Raises :class:`genred.errors.UnavailableError` where the provider is not there.
    """
    return {
        "batches": [
            asdict(_time(load_model(Path(model), provider=provider, feeds=each), each))
            for each in sizes
        ]
    }


def _time(model: Model, feeds: int) -> Batch:
    metadata = model.metadata
    generator = np.random.default_rng(0)
    audio = generator.standard_normal((feeds, metadata.hop), np.float32)
    audio *= np.float32(0.1)
    stream = model.stream(feeds, pictures=False)
    parts = [range(at, min(at + stream.batch, feeds)) for at in range(0, feeds, stream.batch)]
    times: list[float] = []
    # A GPU works beside the process that waits for it; a core is best watched by its own clock.
    now = time.process_time if model.provider == "cpu" else time.perf_counter
    while len(times) < WARM_UP + FEWEST or (sum(times) < LEAST_S and len(times) < MOST):
        began = now()
        for rows in parts:
            stream.inbox[: len(rows)] = audio[rows.start : rows.stop]
            logits, _ = stream.step(rows)
            labels = model.probabilities(logits).argmax(axis=1)
            assert labels.shape == (len(rows),)
        times.append(now() - began)
    median = statistics.median(times[WARM_UP:])
    return Batch(model.provider, feeds, median * 1e3, median * 1e6 / feeds, len(times) - WARM_UP)


def wins_at(gpu: Sequence[Batch], cpu: Sequence[Batch]) -> int | None:
    """The fewest feeds from which on the GPU's step is the shorter one; None if it never is."""
    both = {each.feeds: each.ms for each in cpu}
    wins = None
    for each in sorted(gpu, key=lambda batch: -batch.feeds):
        if each.ms >= both.get(each.feeds, 0.0):
            break
        wins = each.feeds
    return wins
