"""Applause: many people, each clapping at a pace of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station.style import Style
from genred.station.synth import Convolver, Mix, decay, noise, room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a second of applause at a time."""
    people = int(rng.integers(70, 160))
    pace = rng.uniform(3.2, 5.2, people)
    due = rng.uniform(0.0, 1.0, people)
    distance = rng.uniform(0.15, 1.0, people) ** 2
    hands = [[_clap(rng, rate) for _ in range(2)] for _ in range(40)]
    hall = Convolver(room(rng, rate, t60=1.6, wet=1.1))
    mix = Mix(rate)
    second = 0
    while True:
        for person in range(people):
            while due[person] < second + 1:
                clap = hands[person % len(hands)][int(rng.integers(2))]
                loud = distance[person] * rng.uniform(0.6, 1.0)
                mix.add(int(due[person] * rate), clap, float(loud))
                due[person] += rng.normal(1.0, 0.08) / pace[person]
            pace[person] = np.clip(pace[person] + rng.normal(0.0, 0.1), 2.8, 6.0)
        second += 1
        yield hall.process(mix.take(second * rate))


def _clap(rng: np.random.Generator, rate: int) -> Audio:
    """One clap: a burst with the resonance of the hollow of two hands."""
    frames = int(0.05 * rate)
    hollow = rng.uniform(700.0, 2200.0)
    curve = (
        (0.4 * hollow, -20.0),
        (hollow, 0.0),
        (2.0 * hollow, -8.0),
        (5000.0, -12.0),
        (7500.0, -18.0),
    )
    return noise(rng, frames, rate, curve) * decay(frames, rate, rng.uniform(0.02, 0.05))


STYLE = Style("applause", "Applause", "noise", compose)
