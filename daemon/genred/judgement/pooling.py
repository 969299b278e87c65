"""What many windows say together: the normalised geometric mean of their probabilities.

The logarithmic opinion pool (Genest and Zidek, "Combining Probability Distributions: A Critique and
an Annotated Bibliography", 1986). A window that rules a label out counts for more in it than in a
mean, and one that hardly knows counts for less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST: Final = 1e-6
"""No window alone rules a label out for good: probabilities count as this at least."""


def logs(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """What is summed over windows, of ``probabilities [..., labels]``."""
    floored: NDArray[np.float64] = np.maximum(probabilities, LEAST, dtype=np.float64)
    return np.log(floored)


def pooled(total: NDArray[np.float64], count: NDArray[Any] | int) -> NDArray[np.float64]:
    """Probabilities ``[..., labels]`` of the sums ``total`` of so many windows' :func:`logs`."""
    mean = total / count
    power = np.exp(mean - mean.max(axis=-1, keepdims=True))
    found: NDArray[np.float64] = power / power.sum(axis=-1, keepdims=True)
    return found
