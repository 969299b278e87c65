"""Rain: a dense patter of drops over a broad rush, with gusts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station.effects import Convolver, Mix
from genred.station.style import Style
from genred.station.synth import decay, equaliser, noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a second of rain at a time."""
    rate_of_drops = rng.uniform(90.0, 260.0)
    curve = Convolver(
        equaliser(
            (
                (60.0, -22.0),
                (250.0, -9.0),
                (1200.0, -4.0),
                (rng.uniform(2500.0, 4500.0), 0.0),
                (7500.0, -3.0),
            ),
            rate,
        )
    )
    drops = [_drop(rng, rate) for _ in range(48)]
    mix = Mix(rate)
    wind = float(rng.uniform(0.6, 1.0))
    while True:
        start = mix.position
        for at in rng.uniform(0.0, rate, rng.poisson(rate_of_drops)).astype(np.int64).tolist():
            size = float(rng.pareto(2.2)) + 0.3
            mix.add(start + at, drops[int(rng.integers(len(drops)))], min(size, 6.0) * 0.55)
        gust = float(np.clip(wind + rng.normal(0.0, 0.12), 0.5, 1.2))
        rush = curve.process(rng.standard_normal(rate, dtype=np.float32))
        rush *= np.linspace(wind, gust, rate, dtype=np.float32)
        wind = gust
        yield rush + mix.take(start + rate)


def _drop(rng: np.random.Generator, rate: int) -> Audio:
    """One drop: a tick of high-passed noise, some with the falling ring of a bubble."""
    frames = int(rng.uniform(0.004, 0.02) * rate)
    edge = rng.uniform(1200.0, 4500.0)
    tick = noise(rng, frames, rate, ((0.4 * edge, -18.0), (edge, 0.0), (7500.0, -4.0)))
    tick *= decay(frames, rate, frames / rate)
    if rng.random() < 0.2:
        ring = int(0.03 * rate)
        t = np.arange(ring) / rate
        hz = rng.uniform(900.0, 3000.0)
        bubble = np.sin(2.0 * np.pi * (hz * t + 4000.0 * t**2)).astype(np.float32)
        bubble *= decay(ring, rate, 0.03)
        bubble[:frames] += tick[:ring]
        return bubble
    return tick


STYLE = Style("rain", "Rain", "noise", compose)
