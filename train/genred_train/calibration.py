"""Makes a network as sure as it is right, and as fair to labels of few recordings as to others."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genred_train.judging import softmax
from genred_train.networks.base import LISTENED

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The temperature is searched between these, and found to one part in a thousand.
LOWEST, HIGHEST = 0.1, 10.0
_STEPS = 24
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0

# What a shift of a calibrated logit by one costs, in nats: a label's few groups must say so
# together.
_SHIFT_COST = 0.012
_SHIFT_STEPS = 100


@dataclass(frozen=True)
class Correction:
    """What is added to the logits ``[labels]`` before they are divided by the temperature."""

    shifts: NDArray[np.float32]
    temperature: float
    caution: float = 0.0
    """That of the network; see ``training.caution``."""

    def added(self, heard: NDArray[Any] | float = 1.0) -> NDArray[np.float32]:
        """What shifts add to logits ``[..., labels]`` after ``heard [...]`` windows."""
        return self.shifts * sureness(heard, self.caution)[..., None]

    def shifted(
        self, logits: NDArray[np.float32], heard: NDArray[Any] | float = 1.0
    ) -> NDArray[np.float32]:
        """Logits ``[..., labels]`` as a network has them that the shifts were built into."""
        return logits + self.added(heard)


def sureness(heard: NDArray[Any] | float, caution: float) -> NDArray[np.float32]:
    """What a network of such ``caution`` multiplies its logits by after ``heard`` windows."""
    counted = np.clip(np.asarray(heard, np.float32), 1.0, LISTENED)
    return np.asarray(counted / (counted + np.float32(caution)))


def fit_correction(
    logits: NDArray[Any],
    truth: NDArray[np.int64],
    groups: NDArray[np.int64],
    caution: float = 0.0,
    heard: NDArray[Any] | float = 1.0,
) -> Correction:
    """Shifts and temperature of least negative log-likelihood, labels alike.

    Bias-corrected temperature scaling (Alexandari et al., "Maximum Likelihood with Bias-Corrected
    Calibration is Hard-To-Beat at Label Shift Adaptation", 2020): a label of many recordings is
    said too readily by a network that was trained on them, and the shifts take that back. They
    add up to nothing, and within a label groups count alike for them: an artist of many clips is
    one artist. The temperature is :func:`fit_temperature`'s of what is shifted. ``logits [items,
    labels]`` are of items that the network was not trained on, after ``heard [items]`` windows of
    their recordings; shifts are fitted to them as they would be without the network's ``caution``.
    """
    bold = np.asarray(logits, np.float64) / sureness(heard, caution)[..., None]
    inputs = torch.from_numpy(bold)
    labels, weights = torch.from_numpy(truth), torch.from_numpy(alike(truth, groups))
    calibrated = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    cooling = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [calibrated, cooling], max_iter=_SHIFT_STEPS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        answers = inputs * torch.exp(cooling) + calibrated
        each = torch.nn.functional.cross_entropy(answers, labels, reduction="none")
        total = (each * weights).sum() + _SHIFT_COST * calibrated.square().sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    centred = (calibrated - calibrated.mean()).detach().numpy()
    shifts = (centred * math.exp(-float(cooling.detach()))).astype(np.float32)
    found = Correction(shifts, 1.0, caution)
    return replace(found, temperature=fit_temperature(found.shifted(logits, heard), truth))


def alike(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """A weight for each item: labels count alike, within a label groups alike; they add up to 1."""
    pair = labels * (groups.max() + 1) + groups
    pairs, which, items = np.unique(pair, return_inverse=True, return_counts=True)
    label = pairs // (groups.max() + 1)
    weight = 1.0 / (items * np.bincount(label)[label])
    chosen: NDArray[np.float64] = weight[which] / weight[which].sum()
    return chosen


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
