"""Figures of merit against figures worked out by hand, and calibration that finds its truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genred_train import judging
from genred_train.calibration import (
    fit_correction,
    fit_temperature,
    negative_log_likelihood,
    sureness,
)
from genred_train.judging import Scored

# Six windows of three labels: what they are, what was said, whose they are.
TRUTH = np.array([0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 1, 1, 0, 2])
GROUPS = np.array([0, 0, 1, 2, 3, 4])


def certain(said: np.ndarray, labels: int, confidence: float = 0.8) -> np.ndarray:
    rest = (1 - confidence) / (labels - 1)
    return np.where(np.arange(labels) == said[:, None], confidence, rest)


SCORED = Scored(certain(SAID, 3), TRUTH, GROUPS)


def test_figures_are_those_worked_out_by_hand():
    """Accuracy 4/6; precision 2/3, 1/2, 1; recall the same; F1 2/3, 1/2, 1."""
    figures = judging.judge(SCORED, ["music", "music", "noise"], seed=0)
    assert figures["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["by_label"]["precision"] == pytest.approx([2 / 3, 1 / 2, 1])
    assert figures["by_label"]["recall"] == pytest.approx([2 / 3, 1 / 2, 1])
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert figures["by_label"]["items"] == [3, 2, 1]
    assert figures["by_label"]["groups"] == [2, 2, 1]
    assert figures["kind_accuracy"] == 1.0
    assert figures["ece"] == pytest.approx(0.8 - 4 / 6)
    expected = -(4 * np.log(0.8) + 2 * np.log(0.1)) / 6
    assert figures["log_loss"] == pytest.approx(expected)


def test_a_label_that_is_never_there_counts_nothing():
    """Precision, recall and F1 of a label without items and guesses are 0, not an error."""
    precision, recall, f1 = judging.rates(np.array([[3, 0], [0, 0]]))
    assert precision.tolist() == recall.tolist() == f1.tolist() == [1.0, 0.0]


def test_windows_of_a_track_speak_together():
    """By the geometric mean: sureness counts, not number; truth and group are the track's."""
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    windows = Scored(probabilities, np.array([1, 1, 1, 0]), np.array([5, 5, 5, 6]))
    tracks = judging.by_track(windows, np.array([8, 8, 8, 2]))
    one, other = (0.9 * 0.2 * 0.3) ** (1 / 3), (0.1 * 0.8 * 0.7) ** (1 / 3)
    expected = [[0.6, 0.4], [one / (one + other), other / (one + other)]]
    np.testing.assert_allclose(tracks.probabilities, expected)
    assert tracks.truth.tolist() == [0, 1]
    assert tracks.groups.tolist() == [6, 5]


def test_intervals_hold_the_figure_and_narrow_with_groups():
    """The interval is around the figure; many groups make it narrow, one leaves no width."""

    def width(groups: int) -> float:
        random = np.random.default_rng(1)
        truth = np.repeat([0, 1], groups * 5)
        said = np.where(random.random(truth.size) < 0.8, truth, 1 - truth)
        owners = np.repeat(np.arange(2 * groups), 5)
        figures = judging.judge(Scored(certain(said, 2), truth, owners), ["music"] * 2, seed=0)
        low, high = figures["intervals"]["accuracy"]
        assert low <= figures["accuracy"] <= high
        return high - low

    assert width(1) == pytest.approx(0.0)
    assert width(100) < width(10) / 2
    assert width(10) > 0.05


def test_intervals_come_from_groups_and_not_from_windows():
    """A hundred copies of each window tell no more than one does."""
    few = judging.judge(SCORED, ["music"] * 3, seed=0)
    many = judging.judge(
        Scored(certain(np.repeat(SAID, 100), 3), np.repeat(TRUTH, 100), np.repeat(GROUPS, 100)),
        ["music"] * 3,
        seed=0,
    )
    assert few["intervals"] == many["intervals"]


def test_a_difference_is_paired():
    """Groups that are hard for both make both worse: less than either the difference moves."""
    random = np.random.default_rng(2)
    truth, owners = np.repeat([0, 1], 300), np.repeat(np.arange(60), 10)
    hard = np.repeat(random.random(60) < 0.5, 10)
    other = np.where(hard, 1 - truth, truth)
    one = np.where(hard & (random.random(600) < 0.2), truth, other)
    both = [Scored(certain(said, 2), truth, owners) for said in (one, other)]
    by, low, high = judging.difference(both[0], both[1], seed=0)["accuracy"]
    assert by == pytest.approx((one == truth).mean() - (other == truth).mean())
    assert 0 < low < by < high
    alone = judging.judge(both[1], ["music"] * 2, seed=0)["intervals"]["accuracy"]
    assert high - low < 0.5 * (alone[1] - alone[0])
    assert judging.difference(both[1], both[0], seed=0)["accuracy"] == pytest.approx(
        [-by, -high, -low]
    )
    assert judging.difference(both[0], both[0], seed=0)["macro_recall"] == [0.0, 0.0, 0.0]


def test_a_difference_wants_the_same_items():
    with pytest.raises(ValueError, match="not the same"):
        judging.difference(SCORED, Scored(SCORED.probabilities, TRUTH, GROUPS[::-1]), seed=0)


@given(st.floats(0.3, 4.0))
def test_calibration_finds_the_temperature(truth):
    """Labels drawn from softmax(logits / T) give T back, to the error of the draw."""
    random = np.random.default_rng(3)
    logits = random.normal(size=(4000, 4)) * 3
    odds = judging.softmax(logits, truth)
    labels = (odds.cumsum(axis=1) < random.random((4000, 1))).sum(axis=1).clip(max=3)
    assert fit_temperature(logits, labels) == pytest.approx(truth, rel=0.15)


def test_the_fitted_temperature_is_the_best():
    """No temperature near it has a lower loss."""
    random = np.random.default_rng(5)
    logits = random.normal(size=(300, 3)) * 4
    labels = np.where(random.random(300) < 0.6, logits.argmax(axis=1), 0)
    found = fit_temperature(logits, labels)
    best = negative_log_likelihood(logits, labels, found)
    for factor in (0.9, 0.97, 1.03, 1.1):
        assert negative_log_likelihood(logits, labels, found * factor) > best


def test_correction_takes_back_what_a_label_of_many_recordings_is_said_too_readily():
    """A network that learnt a label five times as often is as fair as one that did not."""
    random = np.random.default_rng(7)
    truth = np.repeat([0, 0, 0, 0, 0, 1, 2], 600)
    groups = np.arange(truth.size) // 20
    fair = random.normal(size=(truth.size, 3)) * 1.5
    fair[np.arange(truth.size), truth] += 2.0
    favour = np.array([1.6, 0.0, -0.4])
    found = fit_correction(2.0 * (fair + favour), truth, groups)
    assert found.shifts.sum() == pytest.approx(0.0, abs=1e-4)
    wanted = 2.0 * (favour.mean() - favour)
    assert np.abs(found.shifts - wanted).max() < 0.5
    recalls = [
        judging.rates(judging.confusion(truth, answers.argmax(axis=1), 3))[1]
        for answers in (fair + favour, found.shifted(2.0 * (fair + favour)))
    ]
    assert np.ptp(recalls[1]) < 0.4 * np.ptp(recalls[0])
    shifted = found.shifted(2.0 * (fair + favour))
    assert found.temperature == fit_temperature(shifted, truth)


def test_correction_sees_through_caution():
    """Who is less sure of first seconds is shifted alike; the temperature is of what is said."""
    random = np.random.default_rng(8)
    truth = np.array([0, 1, 2] * 200)
    logits = (random.normal(size=(600, 3)) + 2.0 * np.eye(3)[truth]).astype(np.float32)
    heard = random.integers(1, 30, 600)
    share = sureness(heard, 0.75)
    assert share.min() == pytest.approx(1 / 1.75)
    assert sureness(np.array([0.25, 240, 10_000]), 0.75) == pytest.approx(
        [1 / 1.75, *[240 / 240.75] * 2]
    )
    bold = fit_correction(logits, truth, truth * 50 + np.arange(600) % 50)
    said = logits * share[:, None]
    found = fit_correction(said, truth, truth * 50 + np.arange(600) % 50, 0.75, heard)
    assert found.shifts == pytest.approx(bold.shifts, abs=1e-3)
    shifted = found.shifted(said, heard)
    assert shifted == pytest.approx((logits + found.shifts) * share[:, None], abs=1e-5)
    assert found.temperature == fit_temperature(shifted, truth)
    assert (shifted.argmax(axis=1) == (logits + found.shifts).argmax(axis=1)).all()


def test_correction_counts_groups_not_their_clips():
    """One artist with a hundred clips says no more than one with two."""
    random = np.random.default_rng(9)
    truth = np.array([0, 0, 1, 1] * 30)
    groups = np.arange(truth.size) // 2
    logits = random.normal(size=(truth.size, 2)) + 2.0 * np.eye(2)[truth]
    once = fit_correction(logits, truth, groups)
    many = np.concatenate([np.arange(truth.size), np.repeat([0, 1], 50)])
    again = fit_correction(logits[many], truth[many], groups[many])
    assert again.shifts == pytest.approx(once.shifts, abs=1e-3)


def test_perfect_confidence_has_no_calibration_error():
    """A confidence of 0.75 that is right three times of four is honest; of 1.0 it is not."""
    said, truth = np.zeros(400, int), np.tile([0, 0, 0, 1], 100)
    groups = np.arange(400)
    honest = Scored(certain(said, 2, 0.75), truth, groups)
    boastful = Scored(certain(said, 2, 1.0), truth, groups)
    assert judging.calibration_error(honest) == pytest.approx(0.0, abs=1e-9)
    assert judging.calibration_error(boastful) == pytest.approx(0.25)
