"""Measures what one window costs a CPU core, through the session the daemon runs."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genred.bench.machine import processor
from genred.model.session import load_model

if TYPE_CHECKING:
    from pathlib import Path

    from genred.model.session import Model

# A quick model is measured for so long, a slow one for so many windows at least: enough for a
# median that a busy moment of the machine does not move.
SECONDS = 0.5
FEWEST = 9


@dataclass(frozen=True, slots=True)
class Speed:
    """Median milliseconds of one decision of one feed on one core of ``processor``."""

    milliseconds: float
    windows: int
    processor: str


def measure(path: Path) -> Speed:
    """Time ``path`` (a model file or its folder) on one thread, hop by hop, on noise.

    Each hop ends in one decision about one window, so that this is the time a window costs.
    Raises :class:`~genred.errors.GenredError` if it cannot be loaded.
    """
    model = load_model(path, threads=1)
    times = _times(model)
    return Speed(1000 * statistics.median(times), len(times), processor())


def _times(model: Model) -> list[float]:
    generator = np.random.default_rng(0)
    audio = (0.1 * generator.standard_normal((1, model.metadata.hop))).astype(np.float32)
    state = model.new_state(1)
    times: list[float] = []
    while len(times) < FEWEST or sum(times) < SECONDS:
        began = time.perf_counter()
        _, _, state = model.step(audio, state)
        times.append(time.perf_counter() - began)
    return times
