"""One feed as the engine keeps it: what has been said of it, what was counted, and its messages."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.judgement.gate import FLOOR_DBFS
from genred.labels import UNKNOWN, Kind
from genred.messages import (
    EventType,
    FeedEvent,
    FeedHealth,
    FeedScores,
    FeedState,
    SourceStatus,
)
from genred.service.pulse import FeedPulse
from genred.sources.supervisor import ZERO_DBFS
from genred.views import FeedView, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from genred.analysis import Judged
    from genred.intake import FeedIntake
    from genred.judgement.judge import Change, Judge
    from genred.model.metadata import ModelMetadata
    from genred.settings.feeds import FeedSettings
    from genred.settings.judgement import JudgementSettings
    from genred.sources.base import Source, StreamInfo
    from genred.sources.runner import FeedRunner
    from genred.sources.supervisor import Supervisor

EVENTS_KEPT: Final = 50
"""Events a display can scroll through; the history of a feed is another's business."""

MOST_CHUNKS: Final = 1_000_000
"""More log-mel than any display keeps: what is asked for without a bound."""

PEAK_HOLD_S: Final = 1.5
"""How long the level meter's peak stands, as on a studio's meter."""


_NOTHING: Final[deque[NDArray[np.float32]]] = deque(maxlen=0)
"""The pictures of all feeds that are not shown; an empty deque of its own takes 700 bytes."""


@dataclass(frozen=True, slots=True)
class FeedSetup:
    """What the engine is given to make a feed of."""

    settings: FeedSettings
    judgement: JudgementSettings
    source: Source
    retry: bool = True
    """Open it again for ever, even if it cannot be opened the first time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A feed that is there already and stays, with another judgement perhaps."""

    id: str
    judgement: JudgementSettings


@dataclass(frozen=True, slots=True)
class Display:
    """How much of the past is kept for a display; all zero where there is none."""

    logmel_s: float = 0.0
    strip_s: float = 0.0


class Ledger:
    """What was heard of many feeds last, and how much: a row each, written for all at once."""

    def __init__(self, metadata: ModelMetadata, rows: int) -> None:
        labels = len(metadata.labels)
        self.hop_s = metadata.hop / metadata.sample_rate
        self.there = np.zeros(rows, np.bool_)
        """Is anything on: false once the audio is away."""
        self.whole = np.zeros(rows, np.bool_)
        self.heard = np.zeros(rows, np.bool_)
        self.end = np.zeros(rows)
        self.level = np.full(rows, FLOOR_DBFS, np.float32)
        self.peaks = np.full((rows, max(1, round(PEAK_HOLD_S / self.hop_s))), FLOOR_DBFS, "f4")
        self.raw = np.zeros((rows, labels), np.float32)
        self.smoothed = np.zeros((rows, labels), np.float32)
        self.lag_ms = np.zeros(rows)
        self.judged = np.zeros(rows, np.int64)
        """Hops."""
        self.decisions = np.zeros(rows, np.int64)
        """Hops at whose end a whole window had been heard."""
        self._zeros = np.zeros(rows, np.bool_)

    def take(self, judged: Judged, lags_s: NDArray[np.float64]) -> NDArray[np.intp]:
        """Set down what some feeds came to, and how late each was.

        Returns the places in ``judged`` of those that were nothing but zeros, now or before.
        """
        rows = judged.where
        self.there[rows] = True
        self.whole[rows] = judged.whole
        self.heard[rows] = judged.heard
        self.end[rows] = judged.ends
        self.level[rows] = judged.levels
        self.raw[rows] = judged.raw
        self.smoothed[rows] = judged.smoothed
        self.lag_ms[rows] = lags_s * 1000
        place = self.judged[rows] % self.peaks.shape[1]
        self.peaks[judged.rows, place] = judged.peaks
        self.judged[rows] += 1
        self.decisions[rows] += judged.whole
        zeros = judged.peaks <= ZERO_DBFS
        either = zeros | self._zeros[rows]
        self._zeros[rows] = zeros
        return np.flatnonzero(either)

    def forget(self, row: int) -> None:
        """Nothing that was heard is on any more."""
        self.there[row] = False
        self.peaks[row] = FLOOR_DBFS

    def take_over(self, row: int, other: Ledger, theirs: int) -> None:
        """Let ``row`` be as ``theirs`` of ``other``."""
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray):
                column[row] = getattr(other, name)[theirs]


class Feed:
    """A feed's memory on the analysis side; touched by the engine's thread alone."""

    def __init__(
        self,
        setup: FeedSetup,
        intake: FeedIntake,
        runner: FeedRunner,
        judge: Judge,
        metadata: ModelMetadata,
        display: Display,
        supervisor: Supervisor,
        ledger: Ledger,
        row: int,
    ) -> None:
        self.id = setup.settings.id
        self.settings = setup.settings
        self.source = setup.source
        self.intake = intake
        self.runner = runner
        self.supervisor = supervisor
        self.closed = False
        self.status_told: SourceStatus | None = None
        self._judge = judge
        self._labels = metadata.label_names
        self._n_mels = metadata.front_end.n_mels
        # Displays know one scale, the natural logarithm.
        self._to_natural = np.float32(
            np.log(10) / 10 if metadata.front_end.log == "decibel" else 1.0
        )
        self._frame_rate = metadata.sample_rate / metadata.front_end.hop_length
        self._display = display
        self._ledger, self._row = ledger, row
        shown = round(display.logmel_s / ledger.hop_s)
        self._logmel: deque[NDArray[np.float32]] = deque(maxlen=shown) if shown else _NOTHING
        self._segments: list[Segment] = []
        self._events: deque[FeedEvent] = deque(maxlen=EVENTS_KEPT)
        self._seq = {"state": 0, "event": 0, "scores": 0, "health": 0}
        self.info: StreamInfo | None = None
        """What the source told of itself as of what was heard last."""
        self._state_told: tuple[object, ...] = ()

    def move(self, ledger: Ledger, row: int) -> None:
        """Have another row from now on, which is as the one before."""
        ledger.take_over(row, self._ledger, self._row)
        self._ledger, self._row = ledger, row

    def picture(self, logmel: NDArray[np.float32]) -> None:
        """Keep the new frames ``[n_mels, frames]`` for a display."""
        self._logmel.append(logmel.T * self._to_natural)

    def forget(self) -> None:
        """Nothing that was heard is on any more: the audio is away."""
        self._ledger.forget(self._row)

    @property
    def _there(self) -> bool:
        return bool(self._ledger.there[self._row])

    @property
    def _level_dbfs(self) -> float:
        return round(self._ledger.level.item(self._row), 1) if self._there else FLOOR_DBFS

    def _ts(self, now: float) -> float:
        """The end of what was heard last; ``now`` where nothing is being heard."""
        return self._ledger.end.item(self._row) if self._there else now

    def shift(self, seconds: float) -> None:
        """Move all that is remembered in time: the system clock was set."""
        self._judge.shift(seconds)
        self._segments = [
            replace(
                each,
                start=each.start + seconds,
                end=each.end + seconds if each.end is not None else None,
            )
            for each in self._segments
        ]

    def events(self, changes: Iterable[Change], ts: float) -> list[FeedEvent]:
        """Messages for ``changes`` that were noticed at ``ts``; remembers segments and events."""
        return [self._event(change, ts) for change in changes]

    def _event(self, change: Change, ts: float) -> FeedEvent:
        segment, previous = change.segment, change.previous
        if change.event in (EventType.STARTED, EventType.CHANGED):
            self._close_segment(segment.start)
        elif change.event is EventType.ENDED:
            self._close_segment(segment.end or ts)
        if segment.end is not None:
            # What is over ended when its audio did, however late that was noticed.
            ts = segment.end
        event = FeedEvent(
            feed=self.id,
            ts=ts,
            seq=self._next("event"),
            event_type=change.event.value,
            label=segment.label,
            kind=segment.kind,
            confidence=round(segment.confidence, 4),
            start=segment.start,
            end=segment.end,
            previous=previous.label if previous is not None else None,
            previous_seconds=(
                round((previous.end or ts) - previous.start, 3) if previous is not None else None
            ),
            title=self.info.title if self.info is not None else None,
        )
        if change.event in (EventType.STARTED, EventType.CHANGED):
            self._segments.append(segment)
        self._events.append(event)
        return event

    def _close_segment(self, end: float) -> None:
        if self._segments and self._segments[-1].end is None:
            last = self._segments.pop()
            if end > last.start:
                self._segments.append(
                    Segment(last.label, last.kind, last.start, end, last.confidence)
                )
        while self._segments and (self._segments[0].end or end) < end - self._display.strip_s:
            self._segments.pop(0)

    def state(self, now: float) -> FeedState:
        """What is on, as a message; ``now`` is its time where nothing is being heard."""
        ledger, row, segment = self._ledger, self._row, self._judge.segment
        smoothed = ledger.smoothed[row] if self._there and ledger.whole[row] else None
        return FeedState(
            feed=self.id,
            ts=self._ts(now),
            seq=self._next("state"),
            label=segment.label if segment is not None else UNKNOWN,
            kind=segment.kind if segment is not None else Kind.UNKNOWN.value,
            confidence=round(segment.confidence, 4) if segment is not None else 0.0,
            since=segment.start if segment is not None else None,
            scores=self._scores(smoothed),
            level_dbfs=self._level_dbfs,
            dead_air=self._judge.gate.dead_air,
            station=self.info.station if self.info is not None else None,
            title=self.info.title if self.info is not None else None,
        )

    def state_if_changed(self, now: float) -> FeedState | None:
        """The state, if something in it has changed that people would call a change."""
        segment, info = self._judge.segment, self.info
        telling = (
            segment.label if segment is not None else None,
            segment.kind if segment is not None else None,
            segment.start if segment is not None else None,
            self._judge.gate.dead_air,
            info.station if info is not None else None,
            info.title if info is not None else None,
            self.supervisor.status.online,
        )
        if telling == self._state_told:
            return None
        self._state_told = telling
        return self.state(now)

    def scores(self) -> FeedScores | None:
        """The newest decision in full; None where it is not one."""
        ledger, row = self._ledger, self._row
        if not (self._there and ledger.whole[row]):
            return None
        segment = self._judge.segment
        return FeedScores(
            feed=self.id,
            ts=ledger.end.item(row),
            seq=self._next("scores"),
            raw=self._scores(ledger.raw[row] if ledger.heard[row] else None),
            smoothed=self._scores(ledger.smoothed[row]),
            label=segment.label if segment is not None else UNKNOWN,
            level_dbfs=self._level_dbfs,
        )

    def health(self, now: float) -> FeedHealth:
        """How well it is being heard, as a message."""
        intake, ledger, row = self.intake, self._ledger, self._row
        return FeedHealth(
            feed=self.id,
            ts=self._ts(now),
            seq=self._next("health"),
            status=self.supervisor.status.value,
            heard_seconds=round(intake.heard_samples / intake.rate, 3),
            decisions=ledger.decisions.item(row),
            overflows=intake.overflows,
            dropped_seconds=round(intake.dropped_samples / intake.rate, 3),
            gaps=intake.gaps,
            reconnects=intake.reconnects,
            lag_ms=round(ledger.lag_ms.item(row), 2),
            level_dbfs=self._level_dbfs,
            drift_ppm=round(intake.drift_ppm, 1),
            last_error=self.supervisor.reason or intake.last_error,
        )

    def count_on_from(self, former: Feed) -> None:
        """Take the place of ``former``, a feed of the same id: its readers see one sequence."""
        self._seq = former._seq

    def pulse(self) -> FeedPulse:
        """How far it has got, and what is heard."""
        segment = self._judge.segment
        return FeedPulse(
            id=self.id,
            status=self.supervisor.status,
            interrupted=self.intake.interrupted,
            written=self.intake.written_samples,
            judged=self._ledger.judged.item(self._row),
            waiting=self.intake.available() >= self.intake.hop,
            label=segment.label if segment is not None else UNKNOWN,
            confidence=segment.confidence if segment is not None else 0.0,
            dead_air=self._judge.gate.dead_air,
        )

    def view(self, now: float, logmel_s: float = math.inf) -> FeedView:
        """Everything a display shows of the feed; does not count as a message.

        ``logmel_s`` is how much of the newest log-mel is wanted: to copy all there is takes longer
        than all the rest.
        """
        seq = dict(self._seq)
        state, health = self.state(now), self.health(now)
        self._seq = seq
        chunks = min(len(self._logmel), math.ceil(min(logmel_s / self._ledger.hop_s, MOST_CHUNKS)))
        logmel = (
            np.concatenate([self._logmel[at] for at in range(-chunks, 0)])
            if chunks
            else np.zeros((0, self._n_mels), np.float32)
        )
        segments = list(self._segments)
        current = self._judge.segment
        if segments and segments[-1].end is None and current is not None:
            segments[-1] = current
        return FeedView(
            id=self.id,
            source=self.source.description,
            synthetic=self.source.synthetic,
            state=state,
            health=health,
            now=state.ts,
            peak_dbfs=self._ledger.peaks[self._row].max().item(),
            logmel=logmel,
            frame_rate=self._frame_rate,
            segments=tuple(segments),
            events=tuple(self._events),
            truth=self.info.truth if self.info is not None else None,
        )

    def _scores(self, values: NDArray[np.float32] | None) -> dict[str, float]:
        if values is None:
            return {}
        return dict(zip(self._labels, np.round(values.astype(float), 4).tolist(), strict=True))

    def _next(self, topic: str) -> int:
        self._seq[topic] += 1
        return self._seq[topic]
