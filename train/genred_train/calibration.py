"""Fits the temperature that makes a network as sure as it is right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from genred_train.judging import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The temperature is searched between these, and found to one part in a thousand.
LOWEST, HIGHEST = 0.1, 10.0
_STEPS = 24
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def negative_log_likelihood(
    logits: NDArray[Any], truth: NDArray[np.int64], temperature: float
) -> float:
    """Mean over labels of the mean over their items, so that labels count alike."""
    probabilities = softmax(logits, temperature)
    loss = -np.log(np.maximum(np.take_along_axis(probabilities, truth[:, None], 1)[:, 0], 1e-12))
    return float(np.mean([loss[truth == label].mean() for label in np.unique(truth)]))


def fit_temperature(logits: NDArray[Any], truth: NDArray[np.int64]) -> float:
    """Find the temperature of least negative log-likelihood (Guo et al., 2017).

    ``logits [items, labels]`` and ``truth [items]`` are the validation split's. The loss has one
    minimum in the temperature, so that a golden-section search over its logarithm finds it.
    """
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if negative_log_likelihood(logits, truth, math.exp(left)) < negative_log_likelihood(
            logits, truth, math.exp(right)
        ):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
