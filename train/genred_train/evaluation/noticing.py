"""What a listener notices of a programme: is the label right, how soon, how often for nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genred.labels import Kind
from genred_train import judging
from genred_train.evaluation.onair import FEEDS_APART, KINDS, NOTHING, Heard, of_feeds
from genred_train.judging import INTERVAL, RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SURE: Final = 0.8
"""A wrong label that is said with this confidence is wrong-and-sure: nobody would doubt it."""

_ONCE_WITHIN_S: Final = 10.0
"""By then whoever names a piece once has named it: a quarter of a middling piece is over."""

COVERAGE_STEPS: Final = np.linspace(0.0, 0.98, 50)
"""Thresholds of the curve of accuracy against coverage."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where something else comes on: ``time`` s, from label ``before`` to ``after``.

    ``earliest`` is where a fade towards it begins, ``until`` where the next piece takes over.
    """

    time: float
    earliest: float
    until: float
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Announced:
    """A change that was announced at ``time``, to label ``after``.

    One that passes through unknown is one change, at its first moment.
    """

    time: float
    after: int


def collect(heard: Heard, seed: int, alone: NDArray[np.int8] | None = None) -> dict[str, Any]:
    """All figures of programmes that were heard, as plain data.

    ``alone`` is what windows by themselves come to (:func:`~.onair.alone`), against which the gain
    is told; without it, what the network said at each decision, with whatever it remembers.
    """
    windows = heard.raw if alone is None else alone
    labels = heard.silence
    # Moments at which a label of the model is on and a window was judged: there the windows
    # and what is said are compared.
    moments = (heard.truth < labels) & (heard.raw != NOTHING)
    judged = (heard.truth < labels) & (windows != NOTHING)
    right, raw_right = heard.said == heard.truth, heard.raw == heard.truth
    named = (heard.said != NOTHING) & (heard.said < labels)
    unknown = heard.said == heard.unknown
    truth_kind = heard.kinds[heard.truth]
    # From the first decision on: before a whole window nothing can be said.
    begun = heard.said != NOTHING
    wrong = moments & named & ~right
    sure = wrong & (heard.confidence >= SURE)
    doubted = moments & unknown
    shown = judging.binned(heard.confidence[named], right[named])
    seen = (heard.best != NOTHING) & (heard.truth < labels)
    figures: dict[str, Any] = {
        "hours": round(heard.truth.size * heard.hop_s / 3600, 3),
        "feeds": len(heard.pieces),
        "pieces": sum(len(each) for each in heard.pieces),
        "groups": len(heard.groups) - ("" in heard.groups),
        "seed": seed,
        "sure_at": SURE,
        "label_right": _share(right, moments),
        "windows_right": _share(windows == heard.truth, judged),
        "network_right": _share(raw_right, moments),
        "gain": _share(right, moments) - _share(windows == heard.truth, judged),
        "said_once": said_once(heard, moments),
        "kind_right": _share(heard.said_kind == truth_kind, begun),
        "windows_kind_right": _share(heard.kinds[heard.raw] == truth_kind, moments),
        "speech_against_music": _speech_against_music(heard),
        "named": _share(named, moments),
        "named_right": _share(right, moments & named),
        "unknown": _share(unknown, moments),
        "unknown_deserved": _share(heard.best != heard.truth, doubted),
        "wrong_and_sure": _share(sure, moments),
        "ece": judging.error_of(shown),
        "reliability": shown,
        "windows_ece": judging.error_of(
            judging.binned(heard.raw_confidence[moments], raw_right[moments])
        ),
        "intervals": _intervals(heard, windows, moments, seed),
        "changes": changes(heard),
        "coverage": coverage(heard.best_confidence[seen], (heard.best == heard.truth)[seen]),
        "by_label": [_of_label(heard, number) for number in range(labels + 1)],
        "feeds_apart": [
            {"label_right": _share(right[row], moments[row])} for row in range(len(heard.pieces))
        ],
    }
    return figures


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """The share of ``among`` that is ``what``; 0 of nothing."""
    return float(what[among].mean()) if among.any() else 0.0


def _speech_against_music(heard: Heard) -> float:
    """Of the time in which one of them is on and one of them is said: how much is right."""
    pair = [KINDS.index(Kind.SPEECH.value), KINDS.index(Kind.MUSIC.value)]
    truth = heard.kinds[heard.truth]
    both = np.isin(truth, pair) & np.isin(heard.said_kind, pair)
    return _share(heard.said_kind == truth, both)


def said_once(heard: Heard, moments: NDArray[np.bool_]) -> dict[str, float]:
    """What somebody came to who knew every boundary, and named each piece once and for all.

    The label is the network's guess ``after_s`` of the piece, the best such time for the sum of
    them; until then nothing is said. The share is of ``moments`` ``[feeds, decisions]``. To know
    the boundaries and never to correct oneself is worth about as much as not to know them and to
    correct oneself a few times an hour.
    """
    decisions = round(_ONCE_WITHIN_S / heard.hop_s)
    hits = np.zeros(decisions)
    for row, pieces in enumerate(heard.pieces):
        for piece in pieces:
            first, last = (round(time / heard.hop_s) for time in (piece.start, piece.end))
            guesses = heard.raw[row, first:last][:decisions]
            on = moments[row, first:last]
            # How many moments of the piece are left once it is named.
            left = on.sum() - np.cumsum(on[: guesses.size]) + on[: guesses.size]
            hits[: guesses.size] += left * (guesses == piece.label)
    best = int(hits.argmax())
    return {
        "after_s": (best + 1) * heard.hop_s,
        "label_right": float(hits[best] / max(moments.sum(), 1)),
    }


def _of_label(heard: Heard, number: int) -> dict[str, Any]:
    on = (heard.truth == number) & (heard.said != NOTHING)
    windows = on & (heard.raw != NOTHING)
    said = np.bincount(heard.said[on], minlength=len(heard.labels))
    return {
        "label": heard.labels[number],
        "groups": int(np.unique(heard.group[on]).size) if number < heard.silence else 0,
        "hours": round(float(on.sum()) * heard.hop_s / 3600, 3),
        "windows_right": _share(heard.raw == heard.truth, windows),
        "right": _share(heard.said == heard.truth, on),
        "kind_right": _share(heard.said_kind == heard.kinds[heard.truth], on),
        "said": said.tolist(),
    }


def coverage(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Accuracy of what is at least so sure, against how much that is, by threshold.

    ``below`` is the accuracy of the rest: at a good threshold for ``unknown`` it is under 0.5 and
    ``accuracy`` over it. A share of nothing is 0.
    """
    order = np.argsort(confidence)
    hits = np.concatenate([[0], np.cumsum(right[order])])
    total = max(confidence.size, 1)
    cut = np.searchsorted(confidence[order], COVERAGE_STEPS)
    above = confidence.size - cut
    return {
        "threshold": COVERAGE_STEPS.round(4).tolist(),
        "coverage": (above / total).tolist(),
        "accuracy": ((hits[-1] - hits[cut]) / np.maximum(above, 1)).tolist(),
        "below": (hits[cut] / np.maximum(cut, 1)).tolist(),
    }


def boundaries(heard: Heard, row: int) -> list[Boundary]:
    """Where a programme changes from one label to another, until the next piece begins."""
    pieces = heard.pieces[row]
    found = []
    for number, (before, after) in enumerate(pairwise(pieces), start=1):
        if before.label == after.label:
            continue
        following = pieces[number + 1] if number + 1 < len(pieces) else None
        until = following.start - following.fade / 2 if following else after.end
        found.append(
            Boundary(after.start, after.start - after.fade, until, before.label, after.label)
        )
    return found


def announced(heard: Heard, row: int) -> list[Announced]:
    """The changes that were announced on a feed; the first label said is none."""
    said = heard.said[row]
    edges = np.flatnonzero(np.diff(said)) + 1
    found: list[Announced] = []
    standing, waiting = NOTHING, -1.0
    for step in edges.tolist():
        label, time = int(said[step]), (step + 1) * heard.hop_s
        if label == heard.unknown:
            waiting = time
            continue
        if standing == NOTHING and said[step - 1] != NOTHING:
            before = int(said[edges[0] - 1])
            standing = before if before != heard.unknown else NOTHING
        if standing != NOTHING:
            found.append(Announced(waiting if waiting >= 0 else time, label))
        standing, waiting = label, -1.0
    if waiting >= 0 and standing != NOTHING:
        found.append(Announced(waiting, heard.unknown))
    return found


def changes(heard: Heard) -> dict[str, Any]:
    """How soon changes were announced, which were not, and which were no changes at all.

    The first change that is announced between the beginning of a fade and the next piece is taken
    for that boundary's, whatever it names; all others are false. Where the new label was being
    said already, nothing is to be announced.
    """
    delays: list[float] = []
    until_right: list[float] = []
    until_kind: list[float] = []
    counts = dict.fromkeys(("true", "said_already", "missed", "wrong_first", "never_right"), 0)
    kinds_missed = false = 0
    for row in range(len(heard.pieces)):
        left = announced(heard, row)
        for each in boundaries(heard, row):
            counts["true"] += 1
            first = _moment(heard, each.time)
            last = max(_moment(heard, each.until), first + 1)
            said, kinds = heard.said[row, first:last], heard.said_kind[row, first:last]
            kind = heard.kinds[each.after]
            if kind != heard.kinds[each.before]:
                found = np.flatnonzero(kinds == kind)
                kinds_missed += not found.size
                until_kind += [float(found[0] + 1) * heard.hop_s] if found.size else []
            hits = np.flatnonzero(said == each.after)
            before = heard.said[row, max(_moment(heard, each.earliest) - 1, 0)]
            if before == each.after and hits.size and not hits[0]:
                counts["said_already"] += 1
                continue
            if hits.size:
                until_right.append(float(hits[0] + 1) * heard.hop_s)
            counts["never_right"] += not hits.size
            own = next((one for one in left if each.earliest <= one.time < each.until), None)
            if own is None:
                counts["missed"] += 1
                continue
            left.remove(own)
            delays.append(max(own.time - each.time, 0.0))
            counts["wrong_first"] += own.after != each.after
        false += len(left)
    hours = heard.truth.size * heard.hop_s / 3600
    return {
        **counts,
        "false": false,
        "false_an_hour": false / hours,
        "delay_s": _spread(delays),
        "until_right_s": _spread(until_right),
        "until_kind_s": _spread(until_kind) | {"never": kinds_missed},
    }


def _moment(heard: Heard, time: float) -> int:
    """The number of the first decision that ends after ``time``."""
    last: int = heard.truth.shape[1] - 1
    return min(int(time / heard.hop_s), last)


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {"changes": 0, "median": 0.0, "p90": 0.0}
    median, p90 = np.percentile(seconds, (50, 90))
    return {"changes": len(seconds), "median": float(median), "p90": float(p90)}


def _intervals(
    heard: Heard, windows: NDArray[np.int8], moments: NDArray[np.bool_], seed: int
) -> dict[str, list[float]]:
    """Middle 95 % of :data:`~genred_train.judging.RESAMPLES` draws of groups, within labels.

    Every group stays for as long on air as it was; that the programme could have been another
    is not in it.
    """
    groups = heard.group[moments]
    count = len(heard.groups)
    judged = moments & (windows != NOTHING)
    sums = {
        "label_right": (heard.said == heard.truth, moments),
        "windows_right": (windows == heard.truth, judged),
    }
    label_of = np.full(count, NOTHING)
    label_of[groups] = heard.truth[moments]
    random = np.random.default_rng(seed)
    times = np.zeros((RESAMPLES, count))
    for label in np.unique(label_of[label_of != NOTHING]):
        members = np.flatnonzero(label_of == label)
        drawn = members[random.integers(0, members.size, size=(RESAMPLES, members.size))]
        np.add.at(times, (np.arange(RESAMPLES)[:, None], drawn), 1)
    shares = {}
    for name, (right, where) in sums.items():
        hits = np.bincount(heard.group[where], weights=right[where], minlength=count)
        total = np.bincount(heard.group[where], minlength=count)
        shares[name] = times @ hits / np.maximum(times @ total, 1)
    shares["gain"] = shares["label_right"] - shares["windows_right"]
    return {name: np.percentile(each, INTERVAL).tolist() for name, each in shares.items()}


def joined(parts: Sequence[Heard]) -> Heard:
    """What was heard of several programmes of one length, by one label set, side by side."""
    groups = tuple(sorted({group for part in parts for group in part.groups}))
    known = {group: number for number, group in enumerate(groups)}
    numbered = [
        replace(part, group=np.array([known[each] for each in part.groups], np.int32)[part.group])
        for part in parts
    ]
    stacked: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in numbered]) for name in FEEDS_APART
    }
    pieces = tuple(pieces for part in parts for pieces in part.pieces)
    return replace(parts[0], pieces=pieces, groups=groups, **stacked)


def parts(heard: Heard, count: int) -> list[Heard]:
    """``heard`` cut into ``count`` runs of feeds, in order."""
    size = len(heard.pieces) // count
    return [of_feeds(heard, slice(n * size, (n + 1) * size)) for n in range(count)]
