"""How to judge by a model: smoother, thresholds and what is shown, tuned on programmes.

Every combination of filters (:class:`Search`) is run over the recorded answers of the network, and
its temperatures are fitted. With each a few combinations of :data:`THRESHOLDS` are tried on the
daemon's own path and some of the programmes; with those filters that a listener would like best
(:func:`liking`), many more on all of them. From the best of these, and from :data:`BEGIN`, it
goes on step by step to a better one beside it, filters included; where there is none, the better
of both is recommended.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genred.judgement.smoother import Smoother
from genred.model.metadata import Judging
from genred.settings.judgement import JudgementSettings
from genred_train import judging
from genred_train.evaluation import noticing, onair, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from genred_train.evaluation.onair import Heard
    from genred_train.evaluation.replay import Recorded

    Floats = NDArray[np.float32]

THRESHOLDS: Final[dict[str, tuple[float, ...]]] = {
    "enter": (0.35, 0.42, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8),
    "kind_enter": (0.5, 0.6, 0.7, 0.8),
    "exit": (0.003, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2),
    "unknown_after_s": (2.0, 4.0, 8.0, 16.0),
}


@dataclass(frozen=True)
class Search:
    """Where to look for a judgement, and for how long."""

    tried: tuple[int, int] = (2, 12)
    """Thresholds tried with each filter, drawn from all combinations, and with the best filters."""

    mean_duration_s: tuple[float, ...] = (2.5, 5.0, 7.0, 10.0)
    evidence: tuple[float, ...] = (0.12, 0.18, 0.25, 0.35)
    kind_evidence: tuple[float, ...] = (1.0, 1.25, 1.5)

    best: int = 2
    """How many filters the best are."""

    steps: int = 12
    """How often, at most, the best judgement is asked for a better one beside it."""

    first_look: int = 8
    """Which filters are best is seen on one in so many of the programmes."""

    @property
    def filters(self) -> list[dict[str, float]]:
        """All of them."""
        return _combinations({name: getattr(self, name) for name in FILTER})


FILTER: Final = ("mean_duration_s", "evidence", "kind_evidence")
"""The settings of a filter."""

WHOLE: Final = Search()

BEGIN: Final = {
    "mean_duration_s": 7.0,
    "evidence": 0.25,
    "kind_evidence": 1.25,
    "enter": 0.65,
    "kind_enter": 0.5,
    "exit": 0.02,
    "unknown_after_s": 8.0,
}
"""What a longer search found for one model that remembers: a good place to begin at."""

LOOKED_AT_S: Final = 2.0
"""Temperatures are fitted on decisions so far apart: those between say the same again."""

TEMPERATURES: Final = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
DOUBTS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)

# What a listener wants, beyond the right label most of the time; and what missing it costs, in
# hundredths of that time.
GAIN: Final = 0.08
FALSE_AN_HOUR: Final = 6.0
# What is tuned on flatters: on groups that were not there come more false changes, and kinds are
# wrong a little more often. So more is asked of what is tuned on.
_MORE_FALSE: Final = 1.0
_MORE_KINDS_WRONG: Final = 0.0005
# To be told of a change that was none, more often than wanted, is as bad as 72 s of a wrong label:
# a lower price is paid for labels, and the aim missed.
_A_FALSE_CHANGE: Final = 2.0
DELAY_S: Final = 3.0
_A_SECOND: Final = 10.0
KIND_RIGHT: Final = 0.97
SPEECH_AGAINST_MUSIC: Final = 0.98
_A_HUNDREDTH: Final = 2.0
UNKNOWN_DESERVED: Final = 0.5
# Who is wrong and sure of it misleads, and is half as bad again as who is only wrong.
_SURE_OF_WRONG: Final = 0.5
CALIBRATION: Final = 0.05
# A few groups a label decide how well calibrated a validation split can look: a hint, no more.
_CALIBRATION_SHARE: Final = 0.5


@dataclass(frozen=True)
class Trial:
    """Figures of a judgement on the programmes it was tried on."""

    judging: Judging
    figures: dict[str, Any]

    @property
    def liking(self) -> float:
        """See :func:`liking`."""
        return liking(self.figures)


def liking(figures: dict[str, Any]) -> float:
    """The share of time with the right label, in hundredths, less what is missed elsewhere."""
    changes = figures["changes"]
    short = max(0.0, KIND_RIGHT + _MORE_KINDS_WRONG - figures["kind_right"])
    short += max(0.0, SPEECH_AGAINST_MUSIC + _MORE_KINDS_WRONG - figures["speech_against_music"])
    short += max(0.0, figures["ece"] - CALIBRATION) * _CALIBRATION_SHARE
    short += figures["unknown"] * (max(0.0, UNKNOWN_DESERVED - figures["unknown_deserved"]))
    return float(
        100 * figures["label_right"]
        - _A_FALSE_CHANGE * max(0.0, changes["false_an_hour"] + _MORE_FALSE - FALSE_AN_HOUR)
        - _A_SECOND * max(0.0, changes["delay_s"]["median"] - DELAY_S)
        - _SURE_OF_WRONG * 100 * figures["wrong_and_sure"]
        - _A_HUNDREDTH * 100 * short
    )


def tune(
    recorded: Recorded,
    seed: int,
    progress: Callable[[int, int], None],
    search: Search = WHOLE,
) -> tuple[Trial, list[Trial]]:
    """The best judgement found, and all that were tried on all programmes, best first."""
    few, many = search.tried
    filters = candidates(recorded, search)
    thresholds = _combinations(THRESHOLDS)
    random = np.random.default_rng(seed)
    some = replay.every(recorded, search.first_look)
    last = min(search.best, len(filters))
    begin = [each for each in filters if all(getattr(each, n) == BEGIN[n] for n in FILTER)]
    done, total = 0.0, few * len(filters) / search.first_look + many * last

    def tried(by: Recorded, number: int, count: int) -> list[Trial]:
        nonlocal done
        drawn = random.choice(len(thresholds), min(count, len(thresholds)), replace=False)
        found = list(_tried(by, filters[number], [thresholds[n] for n in drawn], seed))
        done += count if by is recorded else count / search.first_look
        progress(min(round(done), round(total)), round(total))
        return found

    likings = [
        max(trial.liking for trial in tried(some, number, few)) for number in range(len(filters))
    ]
    best = sorted(range(len(filters)), key=lambda number: -likings[number])[:last]
    trials = [trial for number in best for trial in tried(recorded, number, many)]
    starts = [max(trials, key=lambda trial: trial.liking)]
    for each in begin:
        starts += _tried(recorded, each, [{name: BEGIN[name] for name in THRESHOLDS}], seed)
    trials += starts[1:]
    for start in starts:
        standing = start
        for _ in range(search.steps):
            known = [trial.judging for trial in trials]
            near = [each for each in _near(standing.judging, filters) if each not in known]
            beside: list[Trial] = []
            for alike in _alike(near):
                beside += _tried(recorded, alike[0], [_thresholds(each) for each in alike], seed)
            trials += beside
            better = max(beside, key=lambda trial: trial.liking, default=standing)
            if better.liking <= standing.liking:
                break
            standing = better
    trials.sort(key=lambda trial: -trial.liking)
    return trials[0], trials


def _thresholds(judging: Judging) -> dict[str, float]:
    return {name: getattr(judging, name) for name in THRESHOLDS}


def _near(judging: Judging, filters: Sequence[Judging]) -> list[Judging]:
    """``judging`` with one of its settings a step higher or lower.

    That is a threshold, one of the filter, or how sure it is of kinds.
    """
    now = _thresholds(judging)
    found = [
        judging.model_copy(update={name: steps[place]})
        for name, steps in THRESHOLDS.items()
        for place in (steps.index(now[name]) - 1, steps.index(now[name]) + 1)
        if 0 <= place < len(steps)
    ]
    for name in FILTER:
        others = [other for other in FILTER if other != name]
        line = sorted(
            (each for each in filters if _same(each, judging, others)),
            key=lambda each: float(getattr(each, name)),
        )
        place = next(n for n, each in enumerate(line) if _same(each, judging, FILTER))
        beside = [*line[max(place - 1, 0) : place], *line[place + 1 : place + 2]]
        found += [each.model_copy(update=now) for each in beside]
    # How sure of kinds it is decides how soon one is said, not only how sure it is shown to be.
    warmth = TEMPERATURES.index(judging.kind_temperature)
    found += [
        judging.model_copy(update={"kind_temperature": each})
        for each in (*TEMPERATURES[max(warmth - 1, 0) : warmth], *TEMPERATURES[warmth + 1 :][:1])
    ]
    return found


def _same(one: Judging, other: Judging, names: Sequence[str]) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _alike(judgings: Sequence[Judging]) -> list[list[Judging]]:
    """Those of one filter and as sure together: they can be tried side by side."""
    shared = (*FILTER, "kind_temperature")
    found: dict[tuple[float, ...], list[Judging]] = {}
    for each in judgings:
        found.setdefault(tuple(getattr(each, name) for name in shared), []).append(each)
    return list(found.values())


def unheard(parts: Sequence[Recorded], number: int, seed: int, search: Search = WHOLE) -> Heard:
    """Part ``number`` as it is heard when judged as is best for the others.

    Nothing in it was tuned on. ``parts`` are programmes of one length; what comes of all of them
    can be put together (:func:`~.noticing.joined`).
    """
    part = parts[number]
    others = replay.joined(part.metadata, [*parts[:number], *parts[number + 1 :]])
    best, _ = tune(others, seed, lambda *_: None, search)
    model, programmes = replay.again(part, best.judging)
    return onair.listen(model, programmes, lambda *_: None)


def _tried(
    recorded: Recorded, advice: Judging, thresholds: Sequence[dict[str, float]], seed: int
) -> Iterator[Trial]:
    model, programmes = replay.again(recorded, advice, len(thresholds))
    feeds = len(recorded.programmes)
    by = [JudgementSettings.model_validate(each) for each in thresholds for _ in range(feeds)]
    heard = onair.listen(model, programmes, lambda *_: None, by)
    for each, part in zip(thresholds, noticing.parts(heard, len(thresholds)), strict=True):
        yield Trial(advice.model_copy(update=each), noticing.collect(part, seed))


def candidates(recorded: Recorded, search: Search = WHOLE) -> list[Judging]:
    """All filters, with fitted temperatures."""
    grid = search.filters
    smoother = Smoother(recorded.metadata.labels)
    blank = onair.blank(recorded.metadata, recorded.programmes, len(recorded.logits))
    apart = max(1, round(LOOKED_AT_S / blank.hop_s))
    truth = blank.truth.T[::apart]
    beliefs, heard = _filtered(recorded, smoother, grid, apart)
    counted = heard & (truth < blank.silence)
    found = []
    for number, each in enumerate(grid):
        belief = beliefs[:, number][counted].astype(np.float32)
        temperatures = _fit(smoother, belief, truth[counted])
        found.append(
            Judging(
                **each, enter=0.5, kind_enter=0.5, exit=0.2, unknown_after_s=2.0, **temperatures
            )
        )
    return found


def _fit(smoother: Smoother, belief: Floats, truth: NDArray[np.int8]) -> dict[str, float]:
    """The temperatures of least log-loss."""

    def loss(kind: float, label: float, doubt: float) -> float:
        shown = smoother.shown(belief, kind, label, doubt)
        likelihood = np.take_along_axis(shown, truth[:, None].astype(np.intp), axis=1)
        return float(-np.log(np.maximum(likelihood, 1e-9)).mean())

    # Odds between kinds and those within them are apart: one after the other is as good as both.
    _, label, doubt = min(
        (loss(TEMPERATURES[0], label, doubt), label, doubt)
        for label in TEMPERATURES
        for doubt in DOUBTS
        if doubt >= label
    )
    _, kind = min((loss(kind, label, doubt), kind) for kind in TEMPERATURES)
    return {"kind_temperature": kind, "label_temperature": label, "doubt_temperature": doubt}


def _filtered(
    recorded: Recorded, smoother: Smoother, grid: Sequence[dict[str, float]], apart: int
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Beliefs ``[moments, filters, feeds, labels]``, and where sound was heard at all.

    Moments are ``apart`` decisions from each other. As the daemon's, but for thresholds:
    what is silent long enough forgets.
    """
    by = JudgementSettings()
    hop_s = recorded.metadata.hop / recorded.metadata.sample_rate
    raw = judging.softmax(recorded.logits, recorded.metadata.calibration.temperature)
    raw = raw.astype(np.float32)
    steps, feeds, labels = raw.shape
    count = len(grid)

    def column(key: str) -> Floats:
        return np.repeat(np.array([each[key] for each in grid], np.float32), feeds)[:, None]

    change = np.float32(hop_s) / column("mean_duration_s")
    evidence, kind_evidence = column("evidence"), column("kind_evidence")
    heard = recorded.levels >= by.silence_dbfs
    belief = smoother.unknowing(count * feeds)
    beliefs = np.empty((-(-steps // apart), count, feeds, labels), np.float16)
    quiet = np.zeros(feeds)
    for step in range(steps):
        quiet = np.where(heard[step], 0, quiet + hop_s)
        updated = smoother.update(
            belief, np.tile(raw[step], (count, 1)), change, evidence, kind_evidence
        )
        moved = smoother.predict(belief, change)
        belief = np.where(np.tile(heard[step], count)[:, None], updated, moved)
        belief[np.tile(quiet >= by.silence_after_s, count)] = smoother.prior
        if step % apart == 0:
            beliefs[step // apart] = belief.reshape(count, feeds, labels)
    return beliefs, heard[::apart]


def _combinations(values: dict[str, tuple[float, ...]]) -> list[dict[str, float]]:
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def as_it_is(recorded: Recorded, seed: int) -> Trial:
    """What the daemon's settings alone come to, without a recommendation."""
    by = JudgementSettings()
    advice = Judging(**{name: getattr(by, name) for name in (*FILTER, *THRESHOLDS)})
    model, programmes = replay.again(recorded, None)
    return Trial(advice, noticing.collect(onair.listen(model, programmes, lambda *_: None), seed))


def brief(figures: dict[str, Any]) -> dict[str, float]:
    """The figures that :func:`liking` looks at, and the gain."""
    changes = figures["changes"]
    names = ("label_right", "gain", "kind_right", "speech_against_music", "named", "named_right")
    return {
        **{name: figures[name] for name in (*names, "unknown_deserved", "wrong_and_sure", "ece")},
        "delay_s": changes["delay_s"]["median"],
        "false_an_hour": changes["false_an_hour"],
    }
