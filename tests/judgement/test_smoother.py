"""The forward filter against the sums it stands for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genred.judgement.smoother import predict, uniform, update

CHANGE = np.array([[0.02]], np.float32)
FULL = np.array([[1.0]], np.float32)


def by_hand(belief, probabilities, change, evidence):
    """Rabiner's forward recursion, with the transition matrix written out."""
    n = len(belief)
    transition = np.full((n, n), change / (n - 1)) + np.eye(n) * (1 - change - change / (n - 1))
    joint = (belief @ transition) * np.maximum(probabilities, 1e-4) ** evidence
    return joint / joint.sum()


@given(
    arrays(np.float32, 5, elements=st.floats(0.0009765625, 1, width=32)),
    arrays(np.float32, 5, elements=st.floats(0, 1, width=32)),
    st.floats(0.0009765625, 0.5),
    st.floats(0.0625, 1),
)
def test_it_is_the_forward_recursion(belief, probabilities, change, evidence):
    belief = belief / belief.sum()
    ours = update(
        belief[None], probabilities[None], np.float32([[change]]), np.float32([[evidence]])
    )
    expected = by_hand(belief.astype(float), probabilities.astype(float), change, evidence)
    np.testing.assert_allclose(ours[0], expected, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(ours.sum(), 1, rtol=1e-5)


def test_without_evidence_belief_fades_to_uniform():
    belief = np.float32([[1, 0, 0, 0]])
    for _ in range(2000):
        belief = predict(belief, CHANGE)
    np.testing.assert_allclose(belief, uniform(1, 4), atol=1e-4)


def test_one_wrong_window_does_not_turn_it():
    belief = uniform(1, 3)
    yes = np.float32([[0.8, 0.1, 0.1]])
    for _ in range(20):
        belief = update(belief, yes, CHANGE, FULL)
    belief = update(belief, np.float32([[0.0, 1.0, 0.0]]), CHANGE, FULL * 0.25)
    assert belief[0].argmax() == 0


def test_weaker_evidence_turns_it_later():
    def steps(evidence):
        belief, count = np.float32([[0.96, 0.02, 0.02]]), 0
        while belief[0, 1] < 0.6:
            belief = update(belief, np.float32([[0.1, 0.8, 0.1]]), CHANGE, FULL * evidence)
            count += 1
        return count

    assert steps(1.0) < steps(0.25) < 20
