"""The frames in which teachers speak of a recording: those of YAMNet.

It hears 16 kHz, in frames of 0.96 s and one analysis window more, every 0.48 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
FRAME = 15_600
HOP = 7_680


def at(embedded: NDArray[np.float16], ends: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embeddings ``[windows, width]`` at the ``ends`` (in samples) of windows of a second.

    Between the frames that end before and after it, each by its nearness.
    """
    place = (np.asarray(ends, np.float64) - FRAME) / HOP
    place = np.clip(place, 0, len(embedded) - 1)
    left = np.minimum(place.astype(np.int64), max(len(embedded) - 2, 0))
    right = np.minimum(left + 1, len(embedded) - 1)
    share = (place - left).astype(np.float32)[:, None]
    wide = embedded.astype(np.float32)
    return np.asarray(wide[left] * (1 - share) + wide[right] * share)
