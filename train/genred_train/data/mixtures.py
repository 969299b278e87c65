"""Two recordings at once, for the teacher to say what it hears: more sounds than there are records.

What a network learns from its teacher is a function, and a few hours of recordings show little of
it. Mixtures show more, and are worth as much as long as the teacher itself hears them (Beyer et
al., "Knowledge Distillation: A Good Teacher is Patient and Consistent", 2022). They have no label.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np

from genred_train.data import radio
from genred_train.data.cache import Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SECONDS: Final = 10.0
"""How long each is; where a recording is shorter, it is heard again."""

_DECIBELS = 9.0
"""The one is at most so much louder than the other."""

_SPEED = 0.15
"""And plays at most so much faster or slower."""

_LEVEL = 10 ** (-20.0 / 20)
_PEAK = 0.98


def mixtures(
    recordings: Sequence[Stored],
    weights: NDArray[np.float64],
    samples: NDArray[np.int16],
    sample_rate: int,
    count: int,
    seed: int,
) -> tuple[NDArray[np.int16], list[Stored]]:
    """``count`` mixtures of :data:`SECONDS`: their samples, and where each lies in them.

    Each of the two is drawn by ``weights``; the same for the same recordings and seed. Digests are
    of what is heard.
    """
    random = np.random.default_rng([seed, count])
    share = weights / weights.sum()
    size = int(SECONDS * sample_rate)
    made = np.empty((count, size), np.int16)
    stored = []
    for number in range(count):
        one, other = random.choice(len(recordings), 2, p=share)
        both = _some(recordings[one], samples, size, random)
        ratio = np.float32(10 ** (random.uniform(-_DECIBELS, _DECIBELS) / 20))
        both = both + ratio * _some(recordings[other], samples, size, random)
        both *= np.float32(_PEAK / max(_PEAK, float(np.abs(both).max())))
        made[number] = np.rint(both * 32767.0)
        digest = hashlib.sha256(made[number].tobytes()).hexdigest()
        stored.append(Stored(digest, number * size, size))
    return made.reshape(-1), stored


def _some(
    stored: Stored, samples: NDArray[np.int16], size: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """``size`` samples of a recording from anywhere in it, at one level."""
    speed = 1.0 + random.uniform(-_SPEED, _SPEED)
    wanted = int(size * speed) + 2
    start = int(random.integers(max(1, stored.length - wanted + 1)))
    index = (start + np.arange(wanted)) % stored.length
    audio = samples[stored.start + index].astype(np.float32) / np.float32(32768)
    audio = radio.played(audio, speed)[:size]
    level = np.float32(np.sqrt(np.mean(np.square(audio, dtype=np.float64))) + 1e-4)
    return np.asarray(audio * np.float32(_LEVEL) / level)
