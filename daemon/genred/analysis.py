"""From samples to what is said, for many feeds at once: model, gate, smoother and judges.

The pure middle of genred: no threads, no clock, no outside. The daemon's engine and
``genred tag`` both work through it, so that a file and a live feed are judged alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import eq
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from genred.judgement.gate import peak_dbfs, rms_dbfs
from genred.judgement.judge import Change, Holding, Judge, Standing
from genred.judgement.smoother import Smoother

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genred.model.session import Model
    from genred.settings.judgement import JudgementSettings

    Floats = NDArray[np.float32]


LOUDEST: Final = np.float32(1000.0)
"""A sample beyond this (60 dB over full scale) is no sound."""

LOUDEST_DBFS: Final = np.float32(60.0)
"""The same as a level."""


CACHED: Final = 16
"""Hops whose level is taken at once: what is read three times is then read from memory once."""


class Decision(NamedTuple):
    """What one hop of one feed came to; made thousands of times a second."""

    row: int
    end: float
    """Capture time of the end of the window, Unix seconds."""
    level_dbfs: float
    peak_dbfs: float
    logmel: Floats
    """The new frames, ``[n_mels, frames]``; overwritten by the next step."""
    raw: Floats | None
    """The network's calibrated probabilities ``[labels]``; None before a whole window of real
    audio and while the gate is closed."""
    smoothed: Floats | None
    """The calibrated belief ``[labels]``; None before a whole window."""
    changes: tuple[Change, ...] = ()
    steady: bool = False
    """Is all as it was, but for scores and level."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one hop of some feeds came to, in columns: all of it at once costs what one does.

    Going through it gives a :class:`Decision` for each.
    """

    rows: NDArray[np.int64]
    where: slice | NDArray[np.int64]
    """The same rows: a slice where they follow each other, which numpy reaches much sooner."""
    ends: NDArray[np.float64]
    levels: Floats
    peaks: Floats
    logmel: Floats
    raw: Floats
    """As of :class:`Decision`, but with numbers for everybody; so is ``smoothed``."""
    smoothed: Floats
    whole: NDArray[np.bool_]
    """Has a whole window been heard, so that ``smoothed`` says something."""
    heard: NDArray[np.bool_]
    """The same for ``raw``: is the gate open besides."""
    changes: dict[int, tuple[Change, ...]]
    """What has changed, of those places where not all is as it was but for scores and level."""

    def __len__(self) -> int:
        """How many feeds."""
        return len(self.rows)

    def __getitem__(self, place: int) -> Decision:
        """What the feed at a place came to."""
        return Decision(
            self.rows.item(place),
            self.ends.item(place),
            self.levels.item(place),
            self.peaks.item(place),
            self.logmel[place],
            self.raw[place] if self.heard[place] else None,
            self.smoothed[place] if self.whole[place] else None,
            self.changes.get(place, ()),
            place not in self.changes,
        )

    def __iter__(self) -> Iterator[Decision]:
        """Each feed's decision."""
        return (self[place] for place in range(len(self)))


def _where(rows: Sequence[int], index: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """``rows`` as a slice where they follow each other, else as ``index``."""
    first, end = rows[0], rows[0] + len(rows)
    return slice(first, end) if all(map(eq, rows, range(first, end))) else index


class Analyser:
    """Judges some feeds, each a row with a state of its own; rows may come and go.

    Without ``pictures`` the log-mel of decisions is not to be looked at.
    """

    def __init__(
        self, model: Model, by: Sequence[JudgementSettings], *, pictures: bool = True
    ) -> None:
        self.model = model
        self.judges: list[Judge] = []
        metadata = model.metadata
        self._smoother = Smoother(metadata.labels)
        advice = metadata.judging
        self._advice = advice.settings() if advice else {}
        self._temperatures = (
            (advice.kind_temperature, advice.label_temperature, advice.doubt_temperature)
            if advice
            else (1.0, 1.0, 1.0)
        )
        self._holding = Holding(metadata.labels)
        self._stream = model.stream(0, pictures=pictures)
        self._belief: Floats
        self._heard: NDArray[np.int64]
        self.arrange([None] * len(by), by)

    def arrange(self, rows: Sequence[int | None], by: Sequence[JudgementSettings]) -> None:
        """Have ``len(rows)`` rows from now on, each judged by one of ``by``.

        A number takes a row on with all that it remembers, None begins a new one; a row that is
        not named is forgotten. What a model recommends holds where ``by`` leaves it open.
        """
        metadata = self.model.metadata
        by = [each.suited(self._advice) for each in by]
        belief = self._smoother.unknowing(len(rows))
        heard = np.zeros(len(rows), np.int64)
        self._standing = Standing(metadata, len(rows))
        judges = []
        for row, (former, each) in enumerate(zip(rows, by, strict=True)):
            if former is None:
                judges.append(Judge(metadata, each, self._standing, row))
                continue
            belief[row] = self._belief[former]
            heard[row] = self._heard[former]
            judges.append(self.judges[former])
            judges[-1].by = each
            judges[-1].move(self._standing, row)
        self._stream.arrange(rows)
        self._belief, self._heard, self.judges = belief, heard, judges
        self._steady = np.array([judge.steady for judge in judges], np.int64)
        self._enter = np.array([each.enter for each in by]).reshape(-1, 1)
        self._kind_enter = np.array([each.kind_enter for each in by]).reshape(-1, 1)
        self._exit = np.array([each.exit for each in by]).reshape(-1, 1)
        self._silence = np.array([each.silence_dbfs for each in by])
        hop_s = metadata.hop / metadata.sample_rate
        self._change = np.array(
            [min(hop_s / each.mean_duration_s, 0.5) for each in by], np.float32
        ).reshape(-1, 1)
        self._evidence = np.array([each.evidence for each in by], np.float32).reshape(-1, 1)
        self._kind_evidence = np.array([each.kind_evidence for each in by], np.float32).reshape(
            -1, 1
        )

    @property
    def batch(self) -> int:
        """Rows that one :meth:`take` judges at most."""
        return self._stream.batch

    @property
    def confidences(self) -> NDArray[np.float64]:
        """How sure it is of what is on by each row ``[rows]``; 0 where nothing is."""
        return self._standing.confidence

    @property
    def inbox(self) -> Floats:
        """``[batch, hop]``: where :meth:`take` finds its audio; another after :meth:`arrange`."""
        return self._stream.inbox

    def reset(self, row: int) -> list[Change]:
        """Begin anew on ``row``, as after a gap; tells what has ended by that."""
        self._stream.reset(row)
        self._heard[row] = 0
        self._belief[row] = self._smoother.prior
        self._steady[row] = -1
        return self.judges[row].reset()

    def step(self, rows: Sequence[int], audio: Floats, ends: Sequence[float]) -> list[Decision]:
        """Take one hop of each of ``rows``: ``audio`` ``[len(rows), hop]``, ending at ``ends``.

        A row may stand in ``rows`` only once.
        """
        decisions: list[Decision] = []
        for start in range(0, len(rows), self.batch):
            part = slice(start, start + self.batch)
            self.inbox[: len(rows[part])] = audio[part]
            made = list(self.take(rows[part], ends[part]))
            if len(rows) > self.batch:
                made = [each._replace(logmel=each.logmel.copy()) for each in made]
            decisions += made
        return decisions

    def take(self, rows: Sequence[int], ends: Sequence[float]) -> Judged:
        """Take one hop of each of at most :attr:`batch` ``rows``, as it lies in :attr:`inbox`."""
        metadata = self.model.metadata
        levels, peaks = self._levels(self.inbox[: len(rows)])
        index, times = np.array(rows, np.int64), np.array(ends)
        where = _where(rows, index)
        logits, logmel = self._stream.step(rows)
        raw = self.model.probabilities(logits)
        heard = self._heard[where] + metadata.hop
        self._heard[where] = heard
        whole = heard >= metadata.window
        weighed = self._smoother.update(
            self._belief[where],
            raw,
            self._change[where],
            self._evidence[where],
            self._kind_evidence[where],
        )
        shown = self._smoother.shown(weighed, *self._temperatures)
        # Nearly always all goes on as it was. That is seen and set down for all rows at once; the
        # others are judged one by one, and theirs is the belief that is computed anew.
        standing = self._steady[where]
        holds, sure = self._holding.of(
            shown, self._enter[where], self._kind_enter[where], self._exit[where], standing
        )
        steady = holds & whole & (levels >= self._silence[where])
        opened, changes = whole, {}
        if steady.all():
            self._standing.hold(index, where, raw, sure, times)
        else:
            held = np.flatnonzero(steady)
            these = index[held]
            self._standing.hold(these, these, raw[held], sure[held], times[held])
            doubtful = np.flatnonzero(~steady).tolist()
            changes = self._judge(doubtful, rows, ends, levels, whole, raw, weighed, shown)
            opened = whole.copy()
            opened[doubtful] &= [self.judges[rows[place]].gate.open for place in doubtful]
        self._belief[where] = weighed
        return Judged(
            index, where, times, levels, peaks, logmel, raw, shown, whole, opened, changes
        )

    def run(self, row: int, audio: Floats, ends: Sequence[float]) -> Iterator[Decision]:
        """Take ``row`` through ``audio`` ``[hops, hop]``, which end at ``ends``: for files.

        What :meth:`take` comes to hop by hop. :attr:`judges` are as of the newest decision that
        was yielded; all must be taken before the row goes on. Overwrites what is no sound in
        ``audio``.
        """
        metadata, smoother, judge = self.model.metadata, self._smoother, self.judges[row]
        levels, peaks = self._levels(audio)
        logits, logmel = self._stream.run(row, audio)
        raw = self.model.probabilities(logits)
        one = slice(row, row + 1)
        change = self._change[one]
        likelihood = smoother.likelihood(raw, self._evidence[one], self._kind_evidence[one])
        whole = self._heard[row] + metadata.hop * np.arange(1, len(raw) + 1) >= metadata.window
        self._heard[row] += metadata.hop * len(raw)
        # The belief depends on the gate alone, not on what is said: first all of it, then that.
        gate, hop_s = judge.gate, metadata.hop / metadata.sample_rate
        believed = np.empty_like(raw)
        belief = self._belief[one]
        opened = []
        for hop, (level, end) in enumerate(zip(levels.tolist(), ends, strict=True)):
            gate = gate.step(level, end - hop_s, end, judge.by)
            opened.append(gate.open)
            if gate.silent(end, judge.by):
                belief = smoother.prior[None]
            elif whole[hop]:
                belief = (
                    smoother.weigh(belief, likelihood[hop : hop + 1], change)
                    if gate.open
                    else smoother.predict(belief, change)
                )
            believed[hop] = belief[0]
        self._belief[row] = belief[0]
        shown = smoother.shown(believed, *self._temperatures)
        firm = self._holding.holds(shown, self._enter[one], self._kind_enter[one], self._exit[one])
        firm &= (whole & (levels >= self._silence[row]))[:, None]
        sure = self._holding.sure(shown)
        columns = (levels.tolist(), peaks.tolist(), sure.tolist(), firm.tolist())
        standing = judge.steady
        for hop, (end, level, peak, likely, holds) in enumerate(zip(ends, *columns, strict=True)):
            changes: list[Change] = []
            heard = raw[hop] if whole[hop] and opened[hop] else None
            steady = standing >= 0 and holds[standing]
            if steady:
                judge.hold(raw[hop], likely[standing], end)
            else:
                dead_before = judge.gate.dead_air
                judge.listen(level, end)
                if whole[hop]:
                    changes = judge.decide(heard, shown[hop], dead_before)
                standing = judge.steady
                self._steady[row] = standing
            yield Decision(
                row, end, level, peak, logmel[hop], heard,
                shown[hop] if whole[hop] else None, tuple(changes), steady,
            )  # fmt: skip

    def _levels(self, audio: Floats) -> tuple[Floats, Floats]:
        """RMS and peak levels of ``audio``; what is no sound in it becomes silence.

        A source may deliver what is no number, or so large that its square is none: it must not
        poison the state.
        """
        if len(audio) > CACHED:
            levels, peaks = np.empty((2, len(audio)), np.float32)
            for start in range(0, len(audio), CACHED):
                part = slice(start, start + CACHED)
                levels[part], peaks[part] = self._levels(audio[part])
            return levels, peaks
        peaks = peak_dbfs(audio)
        # The comparison is false for what is no number.
        whole = peaks <= LOUDEST_DBFS
        if not whole.all():
            broken = np.flatnonzero(~whole)
            audio[broken] = np.where(np.abs(audio[broken]) <= LOUDEST, audio[broken], np.float32(0))
            peaks = peak_dbfs(audio)
        return rms_dbfs(audio), peaks

    def _judge(
        self,
        positions: list[int],
        rows: Sequence[int],
        ends: Sequence[float],
        levels: Floats,
        whole: NDArray[np.bool_],
        raw: Floats,
        belief: Floats,
        shown: Floats,
    ) -> dict[int, tuple[Change, ...]]:
        """Judge the rows at ``positions``; puts right their beliefs, which are taken as heard.

        Returns for each what has changed.
        """
        judges = [self.judges[rows[position]] for position in positions]
        dead_before = [judge.gate.dead_air for judge in judges]
        gates = [
            judge.listen(float(levels[position]), ends[position])
            for judge, position in zip(judges, positions, strict=True)
        ]
        index = np.asarray(rows)[positions]
        moved = self._smoother.predict(self._belief[index], self._change[index])
        for place, (position, judge) in enumerate(zip(positions, judges, strict=True)):
            if judge.gate.silent(ends[position], judge.by):
                belief[position] = self._smoother.prior
            elif not whole[position]:
                belief[position] = self._belief[index[place]]
            elif not gates[place].open:
                belief[position] = moved[place]
        shown[positions] = self._smoother.shown(belief[positions], *self._temperatures)
        told = {}
        for position, judge, gate, dead in zip(positions, judges, gates, dead_before, strict=True):
            changes: list[Change] = []
            if whole[position]:
                heard = raw[position] if gate.open else None
                changes = judge.decide(heard, shown[position], dead)
            self._steady[rows[position]] = judge.steady
            told[position] = tuple(changes)
        return told
