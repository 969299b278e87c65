"""From jumping probabilities to a steady belief: a sticky hidden Markov model's forward filter.

The label on air is a hidden state that stays as it is with a probability that follows from how
long labels last; each decision of the network is an observation of it. The forward recursion
(Rabiner, "A Tutorial on Hidden Markov Models", 1989, section III.A) gives the probability of each
label given all that was heard so far. It is better than a moving average here: it forgets at once
when the evidence is strong and holds on when it is weak.

Windows overlap, and those of one song err alike, so that successive decisions repeat each other;
as independent evidence they would make the belief overconfident. Each is therefore raised to a
power below 1, and that in two steps: what a window says of the kind (music, speech or noise) it
mostly says rightly and for itself (``kind_evidence``); which label of the kind it is, is said
again and again by the same song (``evidence``).

What is left of overconfidence is taken out of what is shown, not out of the filter: the odds
between kinds, and those between the labels of a kind, are raised to powers that were learnt on
streams of known content (temperature scaling: Guo et al., "On Calibration of Modern Neural
Networks", 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import LabelInfo

    Floats = NDArray[np.float32]

LEAST: Final = np.float32(1e-4)
"""No single decision may rule a label out for good, however sure the network is."""

_TINY: Final = np.float32(1e-30)
"""Below what any belief falls to; keeps a kind that is ruled out from being divided by zero."""


class Smoother:
    """The filter of some labels; it holds no state, beliefs ``[feeds, labels]`` are the caller's.

    All that differs between feeds is ``[feeds, 1]``.
    """

    def __init__(self, labels: Sequence[LabelInfo]) -> None:
        kinds = [label.kind for label in labels]
        names = list(dict.fromkeys(kinds))
        self._kind = np.array([names.index(kind) for kind in kinds])
        self._member = np.eye(len(names), dtype=np.float32)[self._kind]
        self._several = [
            np.flatnonzero(self._kind == number)
            for number in range(len(names))
            if kinds.count(names[number]) > 1
        ]
        alike = self._member.sum(axis=0)
        self.prior: Floats = (1 / (len(names) * alike[self._kind])).astype(np.float32)
        """What is believed where nothing was heard ``[labels]``: each kind alike, and in it each
        label. Eleven genres make music no likelier than speech."""

    def unknowing(self, feeds: int) -> Floats:
        """The belief of ``feeds`` that have heard nothing: ``[feeds, labels]``."""
        return np.tile(self.prior, (feeds, 1))

    def predict(self, belief: Floats, change: Floats) -> Floats:
        """Belief one step later without new evidence.

        ``change`` is the probability that something new begins within the step.
        """
        return belief + change * (self.prior - belief)

    def update(
        self,
        belief: Floats,
        probabilities: Floats,
        change: Floats,
        evidence: Floats,
        kind_evidence: Floats,
    ) -> Floats:
        """One step of the filter: predict, then weigh by ``probabilities`` ``[feeds, labels]``.

        The network is trained on labels in equal shares, so that its probabilities are
        proportional to likelihoods.
        """
        likelihood = self.likelihood(probabilities, evidence, kind_evidence)
        return self.weigh(belief, likelihood, change)

    def likelihood(self, probabilities: Floats, evidence: Floats, kind_evidence: Floats) -> Floats:
        """What ``probabilities`` ``[any, labels]`` say, as far as they are to be trusted."""
        clipped = np.maximum(probabilities, LEAST)
        # The kind's probability to the one power times the label's within its kind to the other.
        of_kind = (clipped @ self._member)[:, self._kind]
        trusted: Floats = clipped**evidence * of_kind ** (kind_evidence - evidence)
        return trusted

    def weigh(self, belief: Floats, likelihood: Floats, change: Floats) -> Floats:
        """Belief one step later, with what the ``likelihood`` ``[feeds, labels]`` says."""
        posterior: Floats = self.predict(belief, change) * likelihood
        posterior /= posterior.sum(axis=1, keepdims=True)
        return posterior

    def shown(
        self,
        belief: Floats,
        kind_temperature: float,
        label_temperature: float,
        doubt_temperature: float,
    ) -> Floats:
        """The belief ``[feeds, labels]`` as sure as it is right: what people and programs see.

        Between the labels of a kind it is divided by ``label_temperature`` where one of them is
        certain, by ``doubt_temperature`` where none is, and by what lies between in between: a
        belief that has not settled is worth less than its figures say.
        """
        if kind_temperature == label_temperature == doubt_temperature == 1.0:
            return belief
        kinds = np.maximum(belief @ self._member, _TINY)
        within = np.maximum(belief, _TINY) / kinds[:, self._kind]
        settled, doubtful = np.float32(1 / label_temperature), np.float32(1 / doubt_temperature)
        if settled == doubtful:
            within **= settled
        else:
            for members in self._several:
                own = within[:, members]
                top = own.max(axis=1, keepdims=True)
                within[:, members] = own ** (doubtful + (settled - doubtful) * top)
        within /= (within @ self._member)[:, self._kind]
        kinds **= np.float32(1 / kind_temperature)
        kinds /= kinds.sum(axis=1, keepdims=True)
        calibrated: Floats = within * kinds[:, self._kind]
        return calibrated
