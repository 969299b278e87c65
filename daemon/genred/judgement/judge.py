"""What is said of one feed: thresholds with hysteresis, segments, and what has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.judgement.gate import Gate
from genred.labels import SILENCE, UNKNOWN, Kind
from genred.messages import EventType
from genred.views import Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.model.metadata import ModelMetadata
    from genred.settings.judgement import JudgementSettings

    Floats = NDArray[np.float32]

HISTORY_S: Final = 20.0
"""How far back the beginning of a segment is looked for; longer than any label takes to be said."""

LEAST: Final = np.float32(1e-6)
"""A probability below this says no more than this."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something to tell: what happened, the segment that began and the one that is over."""

    event: EventType
    segment: Segment
    """The segment it speaks of: the new one, or for ``ended`` the one that is over."""
    previous: Segment | None = None


class Judge:
    """The judgement of one feed; all it remembers is in its attributes, `reset` forgets it.

    A label is said when the smoothed probability reaches ``enter`` and stays until it falls below
    ``exit``, even if by then another of its kind has reached ``enter``; when none is sure enough
    for ``unknown_after_s``, ``unknown`` is, and at once where the sound is surely of another kind
    than what was said. The kind of ``unknown`` is that of which the sound surely is: music may be
    heard before its genre is known. Where a segment
    begins is estimated when it is announced, which is later: as the maximum-likelihood change
    point between the two labels (Page, "Continuous Inspection Schemes", Biometrika 1954).
    """

    def __init__(self, metadata: ModelMetadata, by: JudgementSettings) -> None:
        self.by = by
        self._labels = metadata.label_names
        self._kinds = {label.name: label.kind.value for label in metadata.labels}
        self._kinds |= {SILENCE: Kind.SILENCE.value, UNKNOWN: Kind.UNKNOWN.value}
        self._members: dict[str, list[int]] = {}
        for number, each in enumerate(metadata.labels):
            self._members.setdefault(each.kind.value, []).append(number)
        self._window_s = metadata.window / metadata.sample_rate
        self._hop_s = metadata.hop / metadata.sample_rate
        self._history = _History(round(HISTORY_S / self._hop_s), len(self._labels))
        self.gate = Gate()
        self._segment: Segment | None = None
        self._confidence = 0.0
        self._started = False
        self._unsure_since: float | None = None
        self._end = 0.0
        self._sum, self._count = 0.0, 0

    @property
    def segment(self) -> Segment | None:
        """What is on, as sure as it is by now."""
        segment = self._segment
        if segment is not None and segment.confidence != self._confidence:
            segment = self._segment = replace(segment, confidence=self._confidence)
        return segment

    @segment.setter
    def segment(self, segment: Segment | None) -> None:
        self._segment = segment
        self._confidence = segment.confidence if segment is not None else 0.0

    @property
    def steady(self) -> int:
        """The number of the label that stands as long as belief and level alone say so, else -1.

        That is while the gate is open, there is no dead air and nothing is in doubt. Where the
        next belief in this label reaches ``exit``, no other kind ``enter``, and the level keeps the
        gate open, :meth:`hold` does what :meth:`listen` and :meth:`decide` would.
        """
        segment = self._segment
        if (
            segment is None
            or segment.label not in self._labels
            or not self.gate.open
            or self.gate.dead_air
            or self._unsure_since is not None
        ):
            return -1
        return self._labels.index(segment.label)

    def hold(self, raw: Floats, confidence: float, end: float) -> None:
        """Go on as it is for one more decision; see :attr:`steady`."""
        self._end = end
        self._history.add(end, raw)
        self._confidence = confidence
        self._sum += confidence
        self._count += 1

    def reset(self) -> list[Change]:
        """Forget everything, as after a gap; tells what has ended by that, dead air included."""
        changes = []
        if self.segment is not None and self._started:
            changes.append(Change(EventType.ENDED, self._over(self.segment, self._end)))
        self.gate = Gate()
        self.segment = None
        self._started = False
        self._unsure_since = None
        self._history.clear()
        return changes

    def shift(self, seconds: float) -> None:
        """Move all remembered times: the clock that they were taken from was set."""
        if self.gate.since is not None:
            self.gate = replace(self.gate, since=self.gate.since + seconds)
        if self.segment is not None:
            self.segment = replace(self.segment, start=self.segment.start + seconds)
        if self._unsure_since is not None:
            self._unsure_since += seconds
        self._end += seconds
        self._history.shift(seconds)

    def listen(self, level: float, end: float) -> Gate:
        """Take in the level of the newest hop; before :meth:`decide`."""
        self._end = end
        self.gate = self.gate.step(level, end - self._hop_s, end, self.by)
        return self.gate

    def decide(self, raw: Floats | None, belief: Floats, was_dead_air: bool) -> list[Change]:
        """Say what is on, given the decision's ``raw`` probabilities and ``belief`` ``[labels]``.

        ``raw`` is None while the gate is closed. Returns what has changed, oldest first.
        """
        end = self._end
        if raw is not None:
            self._history.add(end, raw)
        label, confidence = self._choose(belief, end)
        kind = self._kind_of_unknown(belief) if label == UNKNOWN else self._kinds[label]
        changes = []
        if self.gate.dead_air != was_dead_air:
            event = EventType.DEAD_AIR if self.gate.dead_air else EventType.RECOVERED
            changes.append(Change(event, self._silence(end)))
        if self.segment is not None and label == self.segment.label:
            self.segment = replace(self.segment, kind=kind, confidence=confidence)
            self._sum, self._count = self._sum + confidence, self._count + 1
            return changes
        previous = self.segment
        start = self._beginning(label, previous, end)
        over = None if previous is None else self._over(previous, start)
        self.segment = Segment(label, kind, start, None, confidence)
        self._sum, self._count = confidence, 1
        if self._started:
            changes.append(Change(EventType.CHANGED, self.segment, over))
        elif label != UNKNOWN:
            # Not to know yet at the beginning is no news: nothing that could be named has started.
            self._started = True
            changes.append(Change(EventType.STARTED, self.segment))
        return changes

    def _over(self, segment: Segment, end: float) -> Segment:
        """A segment that ends; its confidence is the mean over all of it."""
        return replace(segment, end=end, confidence=self._sum / self._count)

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
        """The kind of which the sound is, as surely as a label must be to be said."""
        for kind in self._members:
            if self._mass(belief, kind) >= self.by.enter:
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
        ends, logs, everything = self._history.since(earliest)
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
    """The newest decisions: their times and the probabilities ``[decisions, labels]``."""

    def __init__(self, decisions: int, labels: int) -> None:
        self._raw = np.zeros((decisions, labels), np.float32)
        self._ends = np.zeros(decisions)
        self._count = 0

    def add(self, end: float, raw: Floats) -> None:
        place = self._count % len(self._ends)
        self._raw[place] = raw
        self._ends[place] = end
        self._count += 1

    def since(self, moment: float) -> tuple[list[float], Floats, bool]:
        """Times and log-probabilities after ``moment``, and whether these are all there are."""
        held = len(self._ends)
        order = np.arange(max(0, self._count - held), self._count) % held
        ends = self._ends[order]
        late = ends > moment
        return (
            ends[late].tolist(),
            np.log(np.maximum(self._raw[order[late]], LEAST)),
            bool(late.all()),
        )

    def shift(self, seconds: float) -> None:
        self._ends += seconds

    def clear(self) -> None:
        self._count = 0
