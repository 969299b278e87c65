"""From jumping probabilities to a steady belief: a sticky hidden Markov model's forward filter.

The label on air is a hidden state that stays as it is with a probability that follows from how
long labels last; each decision of the network is an observation of it. The forward recursion
(Rabiner, "A Tutorial on Hidden Markov Models", 1989, section III.A) gives the probability of each
label given all that was heard so far. It is better than a moving average here: it forgets at once
when the evidence is strong and holds on when it is weak, and its numbers remain probabilities.

Windows overlap, so successive decisions repeat each other; as independent evidence they would
count a second of audio several times and make the belief overconfident. Each is therefore raised
to a power below 1 (``evidence``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LEAST: Final = np.float32(1e-4)
"""No single decision may rule a label out for good, however sure the network is."""


def uniform(feeds: int, labels: int) -> Floats:
    """The belief of ``feeds`` that have heard nothing: ``[feeds, labels]``."""
    return np.full((feeds, labels), 1 / labels, np.float32)


def predict(belief: Floats, change: Floats) -> Floats:
    """Belief ``[feeds, labels]`` one step later without new evidence.

    ``change`` ``[feeds, 1]`` is the probability that the label changes within the step.
    """
    labels = belief.shape[1]
    return belief + change * ((1 - belief) / np.float32(labels - 1) - belief)


def update(belief: Floats, probabilities: Floats, change: Floats, evidence: Floats) -> Floats:
    """One step of the filter: predict, then weigh by ``probabilities`` ``[feeds, labels]``.

    The network is trained on labels in equal shares, so that its probabilities are proportional
    to likelihoods. ``change`` and ``evidence`` are ``[feeds, 1]``.
    """
    posterior: Floats = predict(belief, change) * np.power(
        np.maximum(probabilities, LEAST), evidence
    )
    posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior
