"""Applause: a hall full of people, each with hands and a pace of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station.effects import Mix
from genred.station.style import Style
from genred.station.synth import decay, noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

VARIANTS = 4
"""Claps of each person to choose from; no two claps sound quite alike."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a second of applause at a time."""
    people = int(rng.integers(100, 170))
    hands = [_hands(rng, rate) for _ in range(people)]
    near = rng.uniform(0.1, 1.0, people)
    pace = rng.uniform(3.0, 5.0, people)
    due = rng.uniform(0.0, 0.3, people)
    mix = Mix(rate)
    second = 0
    while True:
        second += 1
        for person in range(people):
            while due[person] < second:
                which, loud, late = rng.random(3).tolist()
                clap = hands[person][int(which * VARIANTS)]
                mix.add(int(due[person] * rate), clap, near[person] * (0.6 + 0.4 * loud))
                due[person] += (0.91 + 0.18 * late) / pace[person]
        yield mix.take(second * rate)


def _hands(rng: np.random.Generator, rate: int) -> list[Audio]:
    """Claps of one person: short bursts about the resonance of the hollow between the palms.

    The claps share half their noise, as they share the hands (Peltola et al., *IEEE Transactions
    on Audio, Speech and Language Processing* 15(3), 2007, model claps as one resonance each).
    """
    frames = int(0.05 * rate)
    hollow = float(np.clip(1300.0 * np.exp(rng.normal(0.0, 0.35)), 500.0, 2900.0))
    curve = (
        (0.4 * hollow, -25.0),
        (0.75 * hollow, -7.5),
        (hollow, 0.0),
        (1.35 * hollow, -7.5),
        (2.5 * hollow, -15.0),
        (7500.0, -30.0),
    )
    fall = decay(frames, rate, 0.035 * rng.uniform(0.8, 1.2))
    shared = np.float32(0.5) * noise(rng, frames, rate, curve)
    return [(shared + noise(rng, frames, rate, curve)) * fall for _ in range(VARIANTS)]


STYLE = Style("applause", "Applause", "noise", compose)
