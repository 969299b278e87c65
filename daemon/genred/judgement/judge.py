"""What is said of one feed: thresholds with hysteresis, segments, and what has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.judgement.gate import Gate
from genred.judgement.pooling import logs
from genred.labels import SILENCE, UNKNOWN, Kind
from genred.messages import EventType
from genred.views import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import LabelInfo, ModelMetadata
    from genred.settings.judgement import JudgementSettings

    Floats = NDArray[np.float32]
    Times = NDArray[np.float64]

HISTORY_S: Final = 20.0
"""How far back the beginning of a segment is looked for; longer than any label takes to be said."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something to tell: what happened, the segment that began and the one that is over."""

    event: EventType
    segment: Segment
    """The segment it speaks of: the new one, or for ``ended`` the one that is over."""
    previous: Segment | None = None


class Holding:
    """Whether what stands goes on, told for many beliefs at once; see :attr:`Judge.steady`."""

    def __init__(self, labels: Sequence[LabelInfo]) -> None:
        kinds = [label.kind for label in labels]
        names = list(dict.fromkeys(kinds))
        self._kind = np.array([names.index(kind) for kind in kinds])
        self._kinds = np.arange(len(names))
        self._member = np.eye(len(names), dtype=np.float32)[self._kind]
        self._single = self._member.sum(axis=0) == 1

    def holds(
        self, belief: Floats, enter: Times, kind_enter: Times, leave: Times
    ) -> NDArray[np.bool_]:
        """Of each ``belief`` ``[any, labels]``, what could stand ``[any, labels + kinds + 1]``.

        ``enter``, ``kind_enter`` and ``leave`` (``exit``) are ``[any, 1]``. Columns are numbered
        as :attr:`Judge.steady` numbers them.
        """
        labels, kinds = self._member.shape
        mass = belief @ self._member
        sure = mass >= np.where(self._single, enter, kind_enter)
        none = ~sure.any(axis=1, keepdims=True)
        # The first of the kinds that are sure; where none is, the number after the last.
        first = np.where(none, kinds, sure.argmax(axis=1)[:, None])
        found = np.empty((len(belief), labels + kinds + 1), np.bool_)
        # A label: as likely as it must be to stay, and the sound not surely of another kind.
        np.logical_and(belief >= leave, none | (first == self._kind), out=found[:, :labels])
        # ``unknown``: no label is likely enough to be said, and the kind stays.
        unsaid = belief.max(axis=1, keepdims=True) < enter
        stays = (first == self._kinds) | (none & (mass >= leave))
        np.logical_and(unsaid, stays, out=found[:, labels:-1])
        np.logical_and(unsaid, none, out=found[:, -1:])
        return found

    def of(
        self,
        belief: Floats,
        enter: Times,
        kind_enter: Times,
        leave: Times,
        standing: NDArray[np.int64],
    ) -> tuple[NDArray[np.bool_], Floats]:
        """Does what stands with each ``belief`` go on, and how sure is it of that.

        ``standing`` ``[feeds]`` are numbers of :attr:`Judge.steady`; -1 does not go on.
        """
        places = np.arange(len(belief))
        goes_on = self.holds(belief, enter, kind_enter, leave)[places, standing]
        goes_on &= standing >= 0
        return goes_on, self.sure(belief)[places, standing]

    def sure(self, belief: Floats) -> Floats:
        """How sure each ``belief`` is of what could stand, ``[any, labels + kinds + 1]``."""
        rows, labels = belief.shape
        found = np.empty((rows, labels + len(self._kinds) + 1), np.float32)
        found[:, :labels] = belief
        found[:, labels:] = belief.max(axis=1, keepdims=True)
        return found


class Standing:
    """What many judges count while all goes on as it was: a row each, so that one call does it.

    That is nearly always. Python's objects of a thousand feeds, each touched a few times a second,
    are never in a cache; these columns are.
    """

    def __init__(self, metadata: ModelMetadata, rows: int) -> None:
        self.end = np.zeros(rows)
        """Of the newest decision, Unix seconds ``[rows]``."""
        self.confidence = np.zeros(rows)
        """Of what is on ``[rows]``."""
        self.total = np.zeros(rows)
        """The sum of all confidences since it began ``[rows]``."""
        self.said = np.zeros(rows, np.int64)
        """How many these are ``[rows]``."""
        self.history = _History(metadata, rows)

    def hold(
        self,
        rows: NDArray[np.int64],
        where: slice | NDArray[np.int64],
        raw: Floats,
        confidence: Floats,
        end: Times,
    ) -> None:
        """Have ``rows``, none of them twice, go on as they are; see :attr:`Judge.steady`.

        ``where`` are the same rows, as a slice where they follow each other.
        """
        self.end[where] = end
        self.history.add(rows, end, raw)
        self.confidence[where] = confidence
        self.total[where] += confidence
        self.said[where] += 1

    def take_over(self, row: int, other: Standing, theirs: int) -> None:
        """Let ``row`` be as ``theirs`` of ``other``."""
        self.end[row] = other.end[theirs]
        self.confidence[row] = other.confidence[theirs]
        self.total[row] = other.total[theirs]
        self.said[row] = other.said[theirs]
        self.history.take_over(row, other.history, theirs)


class Judge:
    """The judgement of one feed; `reset` forgets all it remembers.

    What changes with every decision is its row of a :class:`Standing`, all else its attributes.

    A label is said when the smoothed probability reaches ``enter`` and stays until it falls below
    ``exit``, even if by then another of its kind has reached ``enter``; when none is sure enough
    for ``unknown_after_s``, ``unknown`` is, and at once where the sound is surely of another kind
    than what was said. The kind of ``unknown`` is that of which the sound surely is: music may be
    heard before its genre is known. Where a segment
    begins is estimated when it is announced, which is later: as the maximum-likelihood change
    point between the two labels (Page, "Continuous Inspection Schemes", Biometrika 1954).
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        by: JudgementSettings,
        standing: Standing | None = None,
        row: int = 0,
    ) -> None:
        self.by = by
        self._standing = standing or Standing(metadata, 1)
        self._row = row
        self._labels = metadata.label_names
        self._kinds = {label.name: label.kind.value for label in metadata.labels}
        self._kinds |= {SILENCE: Kind.SILENCE.value, UNKNOWN: Kind.UNKNOWN.value}
        self._members: dict[str, list[int]] = {}
        for number, each in enumerate(metadata.labels):
            self._members.setdefault(each.kind.value, []).append(number)
        self._window_s = metadata.window / metadata.sample_rate
        self._hop_s = metadata.hop / metadata.sample_rate
        self.gate = Gate()
        self._segment: Segment | None = None
        self._started = False
        self._unsure_since: float | None = None

    @property
    def segment(self) -> Segment | None:
        """What is on, as sure as it is by now."""
        segment = self._segment
        if segment is not None:
            confidence = self._standing.confidence.item(self._row)
            if segment.confidence != confidence:
                segment = self._segment = replace(segment, confidence=confidence)
        return segment

    @segment.setter
    def segment(self, segment: Segment | None) -> None:
        self._segment = segment
        confidence = segment.confidence if segment is not None else 0.0
        self._standing.confidence[self._row] = confidence

    @property
    def steady(self) -> int:
        """What stands as long as belief and level alone say so; -1 where more must be asked.

        The number of a label; ``unknown`` follows the labels, once for each of the model's kinds in
        the order in which they first appear, and once more where not even the kind is known. That
        is while the gate is open, there is no dead air and nothing is in doubt. As long as
        :meth:`Holding.holds` says so of the next belief and the level keeps the gate open,
        :meth:`Standing.hold` does what :meth:`listen` and :meth:`decide` would.
        """
        segment = self._segment
        if segment is None or not self.gate.open or self.gate.dead_air:
            return -1
        if segment.label == UNKNOWN:
            if self._unsure_since is None:
                return -1
            kinds = [*self._members]
            kind = kinds.index(segment.kind) if segment.kind in self._members else len(kinds)
            return len(self._labels) + kind
        if segment.label not in self._labels or self._unsure_since is not None:
            return -1
        return self._labels.index(segment.label)

    def hold(self, raw: Floats, confidence: float, end: float) -> None:
        """Go on as it is for one more decision, as :meth:`Standing.hold` does for many."""
        standing, row = self._standing, self._row
        standing.end[row] = end
        standing.history.add(row, end, raw)
        standing.confidence[row] = confidence
        standing.total[row] += confidence
        standing.said[row] += 1

    def move(self, standing: Standing, row: int) -> None:
        """Have another row from now on, which is as the one before."""
        standing.take_over(row, self._standing, self._row)
        self._standing, self._row = standing, row

    def reset(self) -> list[Change]:
        """Forget everything, as after a gap; tells what has ended by that, dead air included."""
        changes = []
        if self.segment is not None and self._started:
            end = self._standing.end.item(self._row)
            changes.append(Change(EventType.ENDED, self._over(self.segment, end)))
        self.gate = Gate()
        self.segment = None
        self._started = False
        self._unsure_since = None
        self._standing.history.clear(self._row)
        return changes

    def shift(self, seconds: float) -> None:
        """Move all remembered times: the clock that they were taken from was set."""
        if self.gate.since is not None:
            self.gate = replace(self.gate, since=self.gate.since + seconds)
        if self.segment is not None:
            self.segment = replace(self.segment, start=self.segment.start + seconds)
        if self._unsure_since is not None:
            self._unsure_since += seconds
        self._standing.end[self._row] += seconds
        self._standing.history.shift(self._row, seconds)

    def listen(self, level: float, end: float) -> Gate:
        """Take in the level of the newest hop; before :meth:`decide`."""
        self._standing.end[self._row] = end
        self.gate = self.gate.step(level, end - self._hop_s, end, self.by)
        return self.gate

    def decide(self, raw: Floats | None, belief: Floats, was_dead_air: bool) -> list[Change]:
        """Say what is on, given the decision's ``raw`` probabilities and ``belief`` ``[labels]``.

        ``raw`` is None while the gate is closed. Returns what has changed, oldest first.
        """
        standing, row = self._standing, self._row
        end = standing.end.item(row)
        if raw is not None:
            standing.history.add(row, end, raw)
        label, confidence = self._choose(belief, end)
        kind = self._kind_of_unknown(belief) if label == UNKNOWN else self._kinds[label]
        changes = []
        if self.gate.dead_air != was_dead_air:
            event = EventType.DEAD_AIR if self.gate.dead_air else EventType.RECOVERED
            changes.append(Change(event, self._silence(end)))
        if self.segment is not None and label == self.segment.label:
            self.segment = replace(self.segment, kind=kind, confidence=confidence)
            standing.total[row] += confidence
            standing.said[row] += 1
            return changes
        previous = self.segment
        start = self._beginning(label, previous, end)
        over = None if previous is None else self._over(previous, start)
        self.segment = Segment(label, kind, start, None, confidence)
        standing.total[row], standing.said[row] = confidence, 1
        if self._started:
            changes.append(Change(EventType.CHANGED, self.segment, over))
        elif label != UNKNOWN:
            # Not to know yet at the beginning is no news: nothing that could be named has started.
            self._started = True
            changes.append(Change(EventType.STARTED, self.segment))
        return changes

    def _over(self, segment: Segment, end: float) -> Segment:
        """A segment that ends; its confidence is the mean over all of it."""
        standing, row = self._standing, self._row
        return replace(
            segment, end=end, confidence=standing.total.item(row) / standing.said.item(row)
        )

    def _choose(self, belief: Floats, end: float) -> tuple[str, float]:
        """The label to say now and how sure it is."""
        if self.gate.silent(end, self.by):
            self._unsure_since = None
            return SILENCE, 1.0
        top = int(belief.argmax())
        best = float(belief[top])
        current = self.segment.label if self.segment is not None else UNKNOWN
        stands = self.segment.confidence if self.segment is not None else best
        held = float(belief[self._labels.index(current)]) if current in self._labels else 0.0
        other = self._sure_kind(belief) not in {None, self._kinds[current]}
        if held >= self.by.exit and not other:
            self._unsure_since = None
            return current, held
        if best >= self.by.enter:
            self._unsure_since = None
            return self._labels[top], best
        if not self.gate.open:
            # Too short to be silence, and nothing to judge by: what was said stands.
            return current, stands
        if self._unsure_since is None:
            self._unsure_since = end
        waited = end - self._unsure_since >= self.by.unknown_after_s
        if waited or current == UNKNOWN or other:
            return UNKNOWN, best
        return current, held if current in self._labels else stands

    def _mass(self, belief: Floats, kind: str) -> float:
        return float(belief[self._members[kind]].sum())

    def _sure_kind(self, belief: Floats) -> str | None:
        """The kind of which the sound surely is."""
        for kind in self._members:
            # A kind of one label is sure when that is: it would be unknown for a moment before.
            single = len(self._members[kind]) == 1
            if self._mass(belief, kind) >= (self.by.enter if single else self.by.kind_enter):
                return kind
        return None

    def _kind_of_unknown(self, belief: Floats) -> str:
        sure = self._sure_kind(belief)
        if sure is not None:
            return sure
        segment = self.segment
        stands = segment is not None and segment.label == UNKNOWN and segment.kind in self._members
        if segment is not None and stands and self._mass(belief, segment.kind) >= self.by.exit:
            return segment.kind
        return Kind.UNKNOWN.value

    def _beginning(self, label: str, previous: Segment | None, end: float) -> float:
        """Where in the audio the segment that is announced at ``end`` began."""
        earliest = previous.start if previous is not None else end - self._window_s
        if label == SILENCE:
            start = self.gate.since if self.gate.since is not None else end
        elif previous is not None and previous.label == SILENCE:
            start = self.gate.since if self.gate.open and self.gate.since is not None else end
        elif label == UNKNOWN:
            start = self._unsure_since if self._unsure_since is not None else end
        else:
            start = self._change_point(label, previous, end)
        return min(max(start, earliest), end)

    def _change_point(self, label: str, previous: Segment | None, end: float) -> float:
        """Maximum-likelihood time of the change to ``label`` within the remembered decisions.

        The cumulative log-likelihood ratio of the new label against the old one falls while the
        old one is on and rises afterwards; its minimum is the change. A decision speaks for the
        middle of its window.
        """
        earliest = previous.start if previous is not None else end - self._window_s
        ends, logs, everything = self._standing.history.since(self._row, earliest)
        if previous is None or not ends:
            return earliest
        new = self._labels.index(label)
        if previous.label in self._labels:
            against = logs[:, self._labels.index(previous.label)]
        else:
            against = np.delete(logs, new, axis=1).max(axis=1)
        total = np.cumsum(logs[:, new] - against)
        lowest = int(np.argmin(total))
        if total[lowest] >= 0:
            # Likelier ever since: from the beginning, or from as far back as is remembered.
            return ends[0] - self._window_s / 2 if everything else earliest
        return ends[min(lowest + 1, len(ends) - 1)] - self._window_s / 2

    def _silence(self, end: float) -> Segment:
        start = self.gate.since if self.gate.since is not None else end
        return Segment(SILENCE, Kind.SILENCE.value, start, None, 1.0)


class _History:
    """The newest decisions of each row: their times, and the probabilities of all labels."""

    def __init__(self, metadata: ModelMetadata, rows: int) -> None:
        self._depth = round(HISTORY_S * metadata.sample_rate / metadata.hop)
        self._raw = np.zeros((rows, self._depth, len(metadata.labels)), np.float32)
        self._ends = np.zeros((rows, self._depth))
        self._count = np.zeros(rows, np.int64)

    def add(self, rows: NDArray[np.int64] | int, end: Times | float, raw: Floats) -> None:
        """Add one decision to each of ``rows``, none of them twice, or to a single one."""
        place = self._count[rows] % self._depth
        self._raw[rows, place] = raw
        self._ends[rows, place] = end
        self._count[rows] += 1

    def since(self, row: int, moment: float) -> tuple[list[float], Times, bool]:
        """Times and log-probabilities after ``moment``, and whether these are all there are."""
        count = self._count.item(row)
        order = np.arange(max(0, count - self._depth), count) % self._depth
        ends = self._ends[row, order]
        late = ends > moment
        return (
            ends[late].tolist(),
            logs(self._raw[row, order[late]]),
            bool(late.all()),
        )

    def shift(self, row: int, seconds: float) -> None:
        self._ends[row] += seconds

    def clear(self, row: int) -> None:
        self._count[row] = 0

    def take_over(self, row: int, other: _History, theirs: int) -> None:
        self._raw[row] = other._raw[theirs]
        self._ends[row] = other._ends[theirs]
        self._count[row] = other._count[theirs]
