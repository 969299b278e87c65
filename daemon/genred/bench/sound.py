"""The audio that everything is measured on: the synthesised station's, the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from genred.station import render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

STYLES: Final = ("electronic", "speech", "jazz", "rain", "metal")
"""Dense and sparse, loud and quiet, and one change of programme after another."""

SEED: Final = 11


def programme(seconds: float, rate: int) -> Floats:
    """``seconds`` of the station's styles in turn, float32 ``[seconds * rate]``."""
    wanted = round(seconds * rate)
    each = -(-seconds // len(STYLES))
    parts = [render(style, each, SEED + n, rate) for n, style in enumerate(STYLES)]
    return np.ascontiguousarray(np.resize(np.concatenate(parts), wanted), dtype=np.float32)
