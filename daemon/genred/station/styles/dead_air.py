"""Dead air: nothing at all, or the hum and hiss of an idle mixer, far below any gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.labels import SILENCE
from genred.station.style import Style
from genred.station.synth import gain_db

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

HUM_DB = -80.0
"""RMS of the idle mixer: a gate would have to stand below it to hear anything."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a second of digital silence or of mains hum at a time."""
    if rng.random() < 0.5:
        while True:
            yield np.zeros(rate, np.float32)
    mains = float(rng.choice([50.0, 60.0]))
    t = np.arange(rate, dtype=np.float32) / np.float32(rate)
    hum = np.zeros(rate, np.float32)
    for harmonic, level in ((1, 1.0), (2, 0.3), (3, 0.4), (5, 0.15)):
        hum += np.float32(level) * np.sin(np.float32(2.0 * np.pi * mains * harmonic) * t)
    while True:  # a whole number of periods fits the second: the hum has no seam
        hiss = np.float32(0.3) * rng.standard_normal(rate, dtype=np.float32)
        yield np.float32(gain_db(HUM_DB)) * (hum + hiss)


STYLE = Style("dead_air", "Dead air", SILENCE, compose, levelled=False)
