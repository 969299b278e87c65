"""Applause: a hall full of hands, and a few people near the microphone at a pace of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station.style import Style
from genred.station.synth import Convolver, Mix, decay, noise, room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

KINDS = 10
"""Different pairs of hands in the hall: enough that no pitch stands out."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a second of applause at a time."""
    crowd = [Convolver(_clap(rng, rate)) for _ in range(KINDS)]
    claps_a_second = rng.uniform(350.0, 900.0)
    hall = Convolver(room(rng, rate, t60=1.1, wet=0.7))
    people = int(rng.integers(5, 12))
    pace = rng.uniform(3.4, 5.2, people)
    due = rng.uniform(0.0, 0.3, people)
    near = rng.uniform(0.5, 1.6, people)
    hands = [_clap(rng, rate) for _ in range(3 * people)]
    mix = Mix(rate)
    second = 0
    while True:
        for kind in crowd:  # a crowd's claps fall at random (a Poisson process)
            hits = np.zeros(rate, np.float32)
            places = rng.integers(0, rate, rng.poisson(claps_a_second / KINDS))
            np.add.at(hits, places, rng.uniform(0.4, 1.0, places.size).astype(np.float32))
            mix.add(second * rate, kind.process(hits))
        for person in range(people):
            while due[person] < second + 1:
                clap = hands[3 * person + int(rng.integers(3))]
                mix.add(int(due[person] * rate), clap, float(near[person] * rng.uniform(0.7, 1.0)))
                due[person] += max(0.1, rng.normal(1.0, 0.06) / pace[person])
        second += 1
        yield hall.process(mix.take(second * rate))


def _clap(rng: np.random.Generator, rate: int) -> Audio:
    """One clap: a burst with the resonance of the hollow between two hands."""
    frames = int(0.06 * rate)
    hollow = rng.uniform(900.0, 2400.0)
    curve = (
        (0.25 * hollow, -26.0),
        (0.6 * hollow, -8.0),
        (hollow, 0.0),
        (1.7 * hollow, -6.0),
        (5000.0, -10.0),
        (7500.0, -14.0),
    )
    return noise(rng, frames, rate, curve) * decay(frames, rate, rng.uniform(0.02, 0.055))


STYLE = Style("applause", "Applause", "noise", compose)
