"""Static: the hiss between stations, with crackle and slow fading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station.effects import Convolver
from genred.station.style import Style
from genred.station.synth import decay, equaliser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a second of static at a time."""
    edge = rng.uniform(5500.0, 9000.0)
    radio = Convolver(
        equaliser(
            ((50.0, -20.0), (200.0, -3.0), (800.0, 0.0), (edge, 0.0), (1.3 * edge, -20.0)), rate
        )
    )
    crackles = rng.uniform(0.5, 6.0)
    click = decay(int(0.004 * rate), rate, 0.004)
    level = 1.0
    while True:
        hiss = rng.standard_normal(rate, dtype=np.float32)
        goal = float(np.clip(level * np.exp(rng.normal(0.0, 0.15)), 0.6, 1.5))
        hiss *= np.linspace(level, goal, rate, dtype=np.float32)
        level = goal
        places = rng.integers(0, rate - click.size, rng.poisson(crackles))
        for at in places.tolist():
            hiss[at : at + click.size] += np.float32(rng.normal(0.0, 5.0)) * click
        yield radio.process(hiss)


STYLE = Style("static", "Static between stations", "noise", compose)
