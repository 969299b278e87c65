"""What a style of the station is, and how one passage of it is rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from genred.station.effects import Leveller
from genred.station.synth import Audio

Compose: TypeAlias = Callable[[np.random.Generator, int], Iterator[Audio]]
"""``compose(rng, rate)`` yields an endless piece, a bar or a sentence at a time, at any level."""

PROGRAMME_DB = -18.0
"""RMS in dBFS at which the station plays: the usual alignment level of European radio."""


@dataclass(frozen=True)
class Style:
    """One style of the station: its name, what people read, its label and its composer."""

    name: str
    title: str
    label: str
    """A label of the shipped models, or ``silence``."""
    compose: Compose
    levelled: bool = True
    """Whether it is brought to programme level; dead air is not."""

    def render(self, rng: np.random.Generator, rate: int) -> Iterator[Audio]:
        """Yield an endless passage in pieces of about a second or two, at programme level."""
        if not self.levelled:
            yield from self.compose(rng, rate)
            return
        leveller = Leveller(rate, PROGRAMME_DB)
        for piece in self.compose(rng, rate):
            yield leveller.process(piece)
