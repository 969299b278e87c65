"""The forward filter against the sums it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genred.judgement.smoother import Smoother
from genred.model.metadata import LabelInfo

LABELS = [
    LabelInfo(name=name, kind=kind)
    for name, kind in (
        ("jazz", "music"),
        ("rock", "music"),
        ("pop", "music"),
        ("speech", "speech"),
        ("noise", "noise"),
    )
]
SMOOTHER = Smoother(LABELS)
PRIOR = np.array([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 3])
CHANGE = np.array([[0.02]], np.float32)
FULL = np.array([[1.0]], np.float32)


def by_hand(belief, probabilities, change, evidence, kind_evidence):
    """Rabiner's forward recursion, with transition matrix and likelihood written out."""
    transition = (1 - change) * np.eye(5) + change * np.tile(PRIOR, (5, 1))
    clipped = np.maximum(probabilities, 1e-4)
    music = clipped[:3].sum()
    kinds = np.array([music, music, music, clipped[3], clipped[4]])
    likelihood = kinds**kind_evidence * (clipped / kinds) ** evidence
    joint = (belief @ transition) * likelihood
    return joint / joint.sum()


@given(
    arrays(np.float32, 5, elements=st.floats(0.0009765625, 1, width=32)),
    arrays(np.float32, 5, elements=st.floats(0, 1, width=32)),
    st.floats(0.0009765625, 0.5),
    st.floats(0.0625, 1),
    st.floats(0.0625, 1),
)
def test_it_is_the_forward_recursion(belief, probabilities, change, evidence, kind_evidence):
    belief = belief / belief.sum()
    ours = SMOOTHER.update(
        belief[None],
        probabilities[None],
        *(np.float32([[each]]) for each in (change, evidence, kind_evidence)),
    )
    expected = by_hand(
        belief.astype(float), probabilities.astype(float), change, evidence, kind_evidence
    )
    np.testing.assert_allclose(ours[0], expected, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(ours.sum(), 1, rtol=1e-5)


def test_without_evidence_belief_fades_to_each_kind_alike():
    belief = np.float32([[1, 0, 0, 0, 0]])
    for _ in range(2000):
        belief = SMOOTHER.predict(belief, CHANGE)
    np.testing.assert_allclose(belief[0], PRIOR, atol=1e-4)
    np.testing.assert_allclose(SMOOTHER.unknowing(1)[0], PRIOR, rtol=1e-6)


def test_one_wrong_window_does_not_turn_it():
    belief = SMOOTHER.unknowing(1)
    yes = np.float32([[0.8, 0.1, 0.0, 0.1, 0.0]])
    for _ in range(20):
        belief = SMOOTHER.update(belief, yes, CHANGE, FULL, FULL)
    no = np.float32([[0.0, 1.0, 0.0, 0.0, 0.0]])
    belief = SMOOTHER.update(belief, no, CHANGE, FULL * 0.25, FULL)
    assert belief[0].argmax() == 0


def steps(before, after, to, evidence, kind_evidence):
    """How many decisions ``after`` it takes until ``to`` is believed rather than not."""
    belief, count = SMOOTHER.unknowing(1), 0
    weights = (FULL * evidence, FULL * kind_evidence)
    for _ in range(50):
        belief = SMOOTHER.update(belief, np.float32([before]), CHANGE, *weights)
    while belief[0, to] < 0.5:
        belief = SMOOTHER.update(belief, np.float32([after]), CHANGE, *weights)
        count += 1
    return count


def test_kinds_may_change_sooner_than_genres():
    jazz, rock = [0.7, 0.1, 0.1, 0.05, 0.05], [0.1, 0.7, 0.1, 0.05, 0.05]
    speech = [0.05, 0.05, 0.05, 0.8, 0.05]
    assert steps(jazz, rock, 1, 1.0, 1.0) < steps(jazz, rock, 1, 0.25, 1.0) < 30
    assert steps(jazz, speech, 3, 0.25, 1.0) < steps(jazz, speech, 3, 0.25, 0.25) < 30
    # However slow genres are, speech is heard as soon.
    assert steps(jazz, speech, 3, 0.1, 1.0) == steps(jazz, speech, 3, 0.25, 1.0)


def test_what_is_shown_is_tempered_between_kinds_and_within_them():
    belief = np.float32([[0.76, 0.12, 0.02, 0.08, 0.02]])
    assert SMOOTHER.shown(belief, 1.0, 1.0, 1.0) is belief
    shown = SMOOTHER.shown(belief, 1.0, 2.0, 2.0)[0]
    assert shown[:3].sum() == pytest.approx(0.9, rel=1e-5)
    assert shown[3:] == pytest.approx([0.08, 0.02], rel=1e-5)
    roots = np.sqrt([0.76, 0.12, 0.02])
    assert shown[:3] == pytest.approx(0.9 * roots / roots.sum(), rel=1e-5)
    cooler = SMOOTHER.shown(belief, 2.0, 1.0, 1.0)[0]
    roots = np.sqrt([0.9, 0.08, 0.02])
    assert cooler[3] == pytest.approx(roots[1] / roots.sum(), rel=1e-5)
    assert cooler[0] / cooler[1] == pytest.approx(0.76 / 0.12, rel=1e-5)
    certain = SMOOTHER.shown(np.float32([[1, 0, 0, 0, 0]]), 3.0, 3.0, 4.0)
    assert np.isfinite(certain).all()


def test_a_belief_that_has_not_settled_is_shown_as_worth_less():
    belief = np.float32([[0.5, 0.3, 0.2, 0, 0], [0.98, 0.01, 0.01, 0, 0]])
    even, doubting = (SMOOTHER.shown(belief, 1.0, 2.0, each) for each in (2.0, 10.0))
    # Half way between certain and nothing: the exponent, too, is half way.
    powers = np.array([0.5, 0.3, 0.2]) ** (0.1 + 0.4 * 0.5)
    assert doubting[0, :3] == pytest.approx(powers / powers.sum(), rel=1e-4)
    assert doubting[1, 0] == pytest.approx(even[1, 0], rel=0.02)
    assert (doubting.argmax(axis=1) == 0).all()
