"""Files whose content is known, for the tiny model."""

from __future__ import annotations

import numpy as np

from rigs import clips, tiny_model

LABELS = {"up": "rock", "down": "speech"}
"""Of the tiny model: the sign of a steady signal."""

FILES = 40
"""On the shelf that all tests share, and two more that hold no audio."""


def steady(path, level, seconds=30):
    """A file of one level, at the tiny model's rate."""
    samples = np.full(int(seconds * tiny_model.RATE), level)
    return clips.write_wav(path, samples, tiny_model.RATE)
