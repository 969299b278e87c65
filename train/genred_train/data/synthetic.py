"""Passages of the synthesised station as training material. They are never scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred_train.recipe import Synthetic

DATASET = "genred-station"


@dataclass(frozen=True, slots=True)
class Passage:
    """One synthesised passage, ``samples`` in 16 bits, mono."""

    name: str
    label: str
    samples: NDArray[np.int16]


def passages(settings: Synthetic, sample_rate: int, labels: Sequence[str]) -> list[Passage]:
    """Render each style that has one of ``labels``, once for each seed."""
    from genred import station  # only where a recipe asks for it

    made = []
    for name, style in sorted(station.STYLES.items()):
        if style.label not in labels:
            continue
        for seed in settings.seeds:
            audio = station.render(name, settings.seconds, seed=seed, rate=sample_rate)
            samples = np.clip(np.rint(audio * 32767.0), -32768, 32767).astype(np.int16)
            made.append(Passage(f"{DATASET}:{name}:{seed}", style.label, samples))
    return made
