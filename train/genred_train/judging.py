"""Figures of merit from probabilities: per window and per track, with intervals over groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genred.judgement.pooling import logs, pooled

if TYPE_CHECKING:
    from collections.abc import Sequence

# Bins of the expected calibration error; Guo et al., 2017, use fifteen.
ECE_BINS = 15

# How often groups are drawn anew for an interval; enough for its second figure.
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Scored:
    """Probabilities ``[items, labels]`` with the truth ``[items]`` and each item's group."""

    probabilities: Floats
    truth: Ints
    groups: Ints

    @property
    def guesses(self) -> Ints:
        """The most probable label of each item."""
        return np.asarray(self.probabilities.argmax(axis=1))


def softmax(logits: NDArray[Any], temperature: float = 1.0) -> Floats:
    """Calibrated probabilities of ``[..., labels]``."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def joined(parts: Sequence[Scored]) -> Scored:
    """All parts as one."""
    return Scored(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.groups for part in parts]),
    )


def by_track(windows: Scored, tracks: Ints) -> Scored:
    """What each track's windows say together; see :mod:`genred.judgement.pooling`."""
    names, first, inverse = np.unique(tracks, return_index=True, return_inverse=True)
    sums = np.zeros((names.size, windows.probabilities.shape[1]))
    np.add.at(sums, inverse, logs(windows.probabilities))
    together = pooled(sums, np.bincount(inverse)[:, None])
    return Scored(together, windows.truth[first], windows.groups[first])


def confusion(truth: Ints, guesses: Ints, labels: int) -> Ints:
    """Count ``[labels, labels]``: rows are the truth, columns what was said."""
    flat = np.bincount(truth * labels + guesses, minlength=labels * labels)
    return np.asarray(flat.reshape(labels, labels), dtype=np.int64)


def rates(matrix: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each label from confusion ``[..., labels, labels]``.

    A label that is neither there nor said has 0 in all three.
    """
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    said, there = matrix.sum(axis=-2), matrix.sum(axis=-1)
    precision = hits / np.maximum(said, 1)
    recall = hits / np.maximum(there, 1)
    return precision, recall, 2 * hits / np.maximum(said + there, 1)


def macro(values: NDArray[Any], matrix: NDArray[Any]) -> Floats:
    """Mean of ``values`` ``[..., labels]`` over the labels that are there in ``matrix``.

    Data that is judged may lack labels of the model; they have no recall to speak of.
    """
    there = matrix.sum(axis=-1) > 0
    return np.asarray((values * there).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


def macro_f1(scored: Scored) -> float:
    """Mean F1 over the labels that are there."""
    matrix = confusion(scored.truth, scored.guesses, scored.probabilities.shape[1])
    return float(macro(rates(matrix)[2], matrix))


def calibration_error(scored: Scored, bins: int = ECE_BINS) -> float:
    """Expected calibration error of the top label, over equal bins of confidence.

    The mean of the distance between confidence and accuracy in each bin, weighted by how many
    items fall into it (Naeini et al., 2015).
    """
    return error_of(reliability(scored, bins))


def reliability(scored: Scored, bins: int = ECE_BINS) -> dict[str, list[float]]:
    """Mean confidence, accuracy and number of items in equal bins of the top confidence.

    What a reliability diagram shows (DeGroot and Fienberg, 1983); an empty bin has 0 in all.
    """
    return binned(scored.probabilities.max(axis=1), scored.guesses == scored.truth, bins)


def error_of(found: dict[str, list[float]]) -> float:
    """The expected calibration error of bins as :func:`binned` fills them; 0 of none."""
    items = np.array(found["items"])
    gap = np.array(found["confidence"]) - np.array(found["accuracy"])
    return float((np.abs(gap) * items).sum() / max(items.sum(), 1))


def binned(
    confidence: NDArray[Any], right: NDArray[np.bool_], bins: int = ECE_BINS
) -> dict[str, list[float]]:
    """Mean confidence, share that is right and number of items ``[items]`` in equal bins."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    items = np.bincount(which, minlength=bins)

    def mean(values: NDArray[Any]) -> list[float]:
        sums = np.bincount(which, weights=values, minlength=bins)
        return list((sums / np.maximum(items, 1)).tolist())

    return {"confidence": mean(confidence), "accuracy": mean(right), "items": items.tolist()}


def judge(scored: Scored, kinds: list[str], seed: int) -> dict[str, Any]:
    """All figures of one set of items.

    ``kinds`` is each label's kind. Intervals are the middle 95 % of :data:`RESAMPLES` bootstrap
    samples of whole groups: items of a group are not independent, groups are taken to be.
    Macro figures are means over the labels that are there.
    """
    labels = scored.probabilities.shape[1]
    guesses = scored.guesses
    matrix = confusion(scored.truth, guesses, labels)
    precision, recall, f1 = rates(matrix)
    kind = np.unique(kinds, return_inverse=True)[1]
    likelihood = np.take_along_axis(scored.probabilities, scored.truth[:, None], axis=1)
    return {
        "items": int(scored.truth.size),
        "groups": int(np.unique(scored.groups).size),
        "accuracy": float(np.diagonal(matrix).sum() / matrix.sum()),
        "macro_precision": float(macro(precision, matrix)),
        "macro_recall": float(macro(recall, matrix)),
        "macro_f1": float(macro(f1, matrix)),
        "kind_accuracy": float((kind[guesses] == kind[scored.truth]).mean()),
        "log_loss": float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
        "ece": calibration_error(scored),
        "intervals": _intervals(scored, guesses, seed),
        "by_label": {
            "precision": precision.tolist(),
            "recall": recall.tolist(),
            "f1": f1.tolist(),
            "items": matrix.sum(axis=1).tolist(),
            "groups": [
                int(np.unique(scored.groups[scored.truth == label]).size) for label in range(labels)
            ],
        },
        "confusion": matrix.tolist(),
        "reliability": reliability(scored),
    }


def difference(one: Scored, other: Scored, seed: int) -> dict[str, list[float]]:
    """How much better ``one`` is than ``other`` at the same items: each figure and its interval.

    Paired: both are judged on the same groups each time that groups are drawn.
    """
    if not np.array_equal(one.truth, other.truth) or not np.array_equal(one.groups, other.groups):
        raise ValueError("the items are not the same")
    labels = one.probabilities.shape[1]
    mine, theirs = (
        _figures(confusion(each.truth, each.guesses, labels)[None]) for each in (one, other)
    )
    drawn, beside = (_drawn(each, each.guesses, seed) for each in (one, other))
    return {
        name: [
            float(mine[name][0] - theirs[name][0]),
            *np.percentile(drawn[name] - beside[name], INTERVAL).tolist(),
        ]
        for name in mine
    }


def _intervals(scored: Scored, guesses: Ints, seed: int) -> dict[str, list[float]]:
    drawn = _drawn(scored, guesses, seed)
    return {name: np.percentile(values, INTERVAL).tolist() for name, values in drawn.items()}


def _drawn(scored: Scored, guesses: Ints, seed: int) -> dict[str, Floats]:
    """Figures of each bootstrap sample of groups, ``[RESAMPLES]``."""
    labels = scored.probabilities.shape[1]
    names, inverse = np.unique(scored.groups, return_inverse=True)
    matrices = np.zeros((names.size, labels, labels))
    np.add.at(matrices, (inverse, scored.truth, guesses), 1)
    # Groups are drawn within the label they mostly are, so that every label stays in the draw.
    label_of = matrices.sum(axis=2).argmax(axis=1)
    random = np.random.default_rng(seed)
    totals = np.zeros((RESAMPLES, labels, labels))
    for label in np.unique(label_of):
        members = np.flatnonzero(label_of == label)
        drawn = random.integers(0, members.size, size=(RESAMPLES, members.size))
        times = np.zeros((RESAMPLES, members.size))
        np.add.at(times, (np.arange(RESAMPLES)[:, None], drawn), 1)
        totals += np.tensordot(times, matrices[members], axes=1)
    return _figures(totals)


def _figures(matrices: NDArray[Any]) -> dict[str, Floats]:
    """Figures of each confusion of ``[draws, labels, labels]``."""
    hits = np.diagonal(matrices, axis1=1, axis2=2).sum(axis=1)
    precision, recall, f1 = rates(matrices)
    return {
        "accuracy": hits / matrices.sum(axis=(1, 2)),
        "macro_precision": macro(precision, matrices),
        "macro_recall": macro(recall, matrices),
        "macro_f1": macro(f1, matrices),
    }
