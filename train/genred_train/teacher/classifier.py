"""Multinomial logistic regression on embeddings: what the teacher knows of the labels.

Standardised inputs; labels count alike, within a label groups alike. The penalty on the weights
is chosen on groups that the fit has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from genred_train.calibration import alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Penalties that are tried, from stiff to loose: each begins where the stiffer one ended.
PENALTIES = (3e-1, 1e-1, 3e-2, 1e-2)

# Steps of the quasi-Newton method; the loss moves by less than 1 % over the last third of them.
_STEPS = 60

# Deviations below this are of units that never light up.
_LEAST_DEVIATION = 1e-3


SETTINGS = (PENALTIES, _STEPS, _LEAST_DEVIATION)
"""All that a fit depends on but its data."""


@dataclass(frozen=True)
class Examples:
    """Embeddings ``[items, width]`` with label and group of each.

    Those that are ``made``, ``[items]``, by machine together count ``share`` of what the others of
    their label do; without a share groups count alike, whoever made them.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    made: NDArray[np.bool_]
    share: float | None = None

    def weights(self) -> NDArray[np.float32]:
        """One weight an item: labels count alike, within a label groups alike; the mean is 1."""
        weights = alike(self.labels, self.groups)
        if self.share is not None:
            for label in np.unique(self.labels):
                mine = self.labels == label
                made, real = mine & self.made, mine & ~self.made
                if made.any() and real.any():
                    whole = weights[mine].sum()
                    weights[made] *= self.share * weights[real].sum() / weights[made].sum()
                    weights[mine] *= whole / weights[mine].sum()
        return (weights * self.labels.size).astype(np.float32)

    def part(self, mask: NDArray[np.bool_]) -> Examples:
        """Those of ``mask``."""
        return replace(
            self,
            inputs=self.inputs[mask],
            labels=self.labels[mask],
            groups=self.groups[mask],
            made=self.made[mask],
        )


@dataclass(frozen=True)
class Classifier:
    """A fitted regression."""

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``[items, labels]``."""
        with torch.no_grad():
            centred = (torch.from_numpy(inputs) - self.mean) * self.scale
            answers: NDArray[np.float32] = (centred @ self.weight.T + self.bias).numpy()
        return answers


def fit(examples: Examples, labels: int, penalties: Sequence[float]) -> list[Classifier]:
    """Fit by L-BFGS for each of ``penalties``, stiffest first."""
    inputs = torch.from_numpy(examples.inputs)
    mean, deviation = inputs.mean(0), inputs.std(0)
    scale = 1.0 / deviation.clamp(min=_LEAST_DEVIATION)
    inputs = (inputs - mean) * scale
    truth, weights = torch.from_numpy(examples.labels), torch.from_numpy(examples.weights())
    weight = torch.zeros(labels, inputs.shape[1], requires_grad=True)
    bias = torch.zeros(labels, requires_grad=True)
    fitted = []
    for penalty in sorted(penalties, reverse=True):
        solver = torch.optim.LBFGS(
            [weight, bias], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe"
        )

        def loss(solver: torch.optim.Optimizer = solver, penalty: float = penalty) -> Tensor:
            solver.zero_grad()
            each = nn.functional.cross_entropy(inputs @ weight.T + bias, truth, reduction="none")
            total = (each * weights).mean() + 0.5 * penalty * weight.square().sum()
            total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return total

        solver.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        fitted.append(
            Classifier(mean, scale, weight.detach().clone(), bias.detach().clone(), penalty)
        )
    return fitted


def choose(examples: Examples, inner: NDArray[np.bool_], labels: int) -> float:
    """The penalty of least balanced loss on the ``inner`` items, fitted on the others."""
    apart = examples.part(inner)
    weights = apart.weights()
    losses = {}
    for fitted in fit(examples.part(~inner), labels, PENALTIES):
        answers = torch.from_numpy(fitted.logits(apart.inputs))
        each = nn.functional.cross_entropy(
            answers, torch.from_numpy(apart.labels), reduction="none"
        )
        losses[fitted.penalty] = float((each.numpy() * weights).mean())
    return min(losses, key=losses.__getitem__)
