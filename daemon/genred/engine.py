"""The daemon's heart: takes hops from all feeds, has them judged in one batch, tells publishers.

One thread runs :meth:`Engine.run`. Sources write on threads of their own; publishers take
messages without waiting. A display asks for a :class:`NodeView` from yet another thread.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from genred import __version__
from genred.analysis import Analyser
from genred.clock import SUSPENDED_S
from genred.feed import Display, Feed, FeedSetup, Kept, Ledger
from genred.intake import Chunk, FeedIntake
from genred.messages import Message, NodeInfo, SourceStatus
from genred.publishers.base import FeedInfo
from genred.service.pulse import Pulse
from genred.sources.runner import FeedRunner
from genred.sources.supervisor import Supervisor
from genred.timeline import Offsets
from genred.views import NodeView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred.clock import Clock
    from genred.errors import GenredError
    from genred.model.session import Model
    from genred.publishers.base import Publisher

log = logging.getLogger("genred.engine")

GATHER_S: Final = 0.0005
"""For each feed there is, the first that becomes ready waits so long for others to share a batch: a
handful does not wait, and twenty wait 10 ms. A batch costs a third less for each of 16 than for
each of 4."""

MOST_GATHER_S: Final = 0.04
"""They never wait longer, however many there are: a decision within 100 ms leaves the larger part
to the work itself."""

LEAST_GATHER_S: Final = 0.001
"""No wait is shorter: to wake costs as much as a few feeds do."""

COALESCE_S: Final = 0.01
"""While they wait, it is seen so often whether enough have come. Windows that end at the same
moment are all there by then."""

POLL_S: Final = 0.4
"""How often states, heartbeats and ends are looked after when no audio comes. Longer than a hop as
a rule, so that where it does come nobody wakes for nothing."""

LOOK_AT_ALL_S: Final = 1.0
"""How often feeds are looked after that are heard without a break; of those only the source's rate
can be wrong, which takes a minute to measure."""

STOP_SOURCES_S: Final = 2.0
"""All sources together get so long to return; a read that hangs must not hold up the end."""

MAX_TICKS_IN_A_ROW: Final = 64
"""After so many batches without a pause (files read fast) the rest gets its turn."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What the engine shall work with from now on.

    Feeds that are neither kept nor set up anew end; publishers that it does not name are told
    nothing more, but are not stopped.
    """

    feeds: Sequence[FeedSetup | Kept]
    publishers: Sequence[Publisher]
    heartbeat_s: float
    scores: bool
    made: threading.Event = field(default_factory=threading.Event)
    """Set when it holds."""
    ended: list[Feed] = field(default_factory=list)
    """The feeds that have ended by it; their sources may still be about to return."""


class Engine:
    """Listens to all feeds until they end or it is told to stop."""

    def __init__(
        self,
        model: Model,
        setups: Sequence[FeedSetup],
        publishers: Sequence[Publisher],
        clock: Clock,
        *,
        node: str,
        heartbeat_s: float,
        scores: bool = False,
        display: Display | None = None,
    ) -> None:
        self.model = model
        self.publishers = tuple(publishers)
        self._clock = clock
        self._node = node
        self._heartbeat_s = heartbeat_s
        self._scores = scores
        self._wake = threading.Event()
        self._ready: deque[FeedIntake] = deque()
        self._offsets = Offsets(clock)
        self._look_at = self._look_at_all = 0.0
        self._news = True
        self._lock = threading.Lock()
        self._display = display or Display()
        self._arrangement: Arrangement | None = None
        self._turns = 0
        self._started_at = clock.now()
        self._suspended = clock.suspended()
        self._next_heartbeat = clock.monotonic() + heartbeat_s
        self._analyser = Analyser(
            model,
            [setup.judgement for setup in setups],
            pictures=self._display.logmel_s > 0,
        )
        self._ledger = Ledger(model.metadata, len(setups))
        self.feeds = [self._feed(row, setup) for row, setup in enumerate(setups)]
        self._index()

    def _index(self) -> None:
        """Set down by row what is asked of feeds with every hop."""
        self._rows = {feed.intake: row for row, feed in enumerate(self.feeds)}
        self._intakes = [feed.intake for feed in self.feeds]
        self._infos = [feed.info for feed in self.feeds]
        self._told = [feed.status_told for feed in self.feeds]
        self._slots = list(self._analyser.inbox)
        self._attend = np.ones(len(self.feeds), np.bool_)
        self._seen = np.full(len(self.feeds), -1)

    def _feed(self, row: int, setup: FeedSetup) -> Feed:
        metadata = self.model.metadata
        intake = FeedIntake(
            setup.settings.id,
            metadata.sample_rate,
            metadata.hop,
            setup.settings.buffer_s,
            self._wake,
            self._clock,
            self._ready,
            self._offsets,
        )
        runner = FeedRunner(setup.source, intake, self._clock, retry=setup.retry)
        return Feed(
            setup,
            intake,
            runner,
            self._analyser.judges[row],
            metadata,
            self._display,
            Supervisor(intake, self._clock),
            self._ledger,
            row,
        )

    @property
    def info(self) -> NodeInfo:
        """What runs here, as a message."""
        return NodeInfo(
            feed="",
            ts=self._started_at,
            seq=1,
            version=__version__,
            model=self.model.metadata.summary(),
            labels=list(self.model.metadata.label_names),
            provider=self.model.provider,
            started_at=self._started_at,
        )

    @property
    def finished(self) -> bool:
        """Have all feeds come to their end?"""
        return all(feed.closed for feed in self.feeds)

    @property
    def error(self) -> GenredError | None:
        """What a feed that has failed for good has failed of."""
        return next((feed.runner.error for feed in self.feeds if feed.runner.error), None)

    def run(self, stop: threading.Event) -> None:
        """Listen until ``stop`` is set or all feeds have ended; publishers are told of the end."""
        for publisher in self.publishers:
            publisher.start(self.info, self.feed_infos())
        for feed in self.feeds:
            feed.runner.start()
        try:
            while not stop.is_set() and not self.finished:
                self._clock.wait(self._wake, POLL_S)
                self._wake.clear()
                self._turns += 1
                self._notice_suspension()
                self._make_arrangement()
                self._gather(stop)
                for _ in range(MAX_TICKS_IN_A_ROW):
                    if stop.is_set() or not self.tick():
                        break
                else:
                    self._wake.set()
                if self._news or self._clock.monotonic() >= self._look_at:
                    self.look_after()
        finally:
            self._stop()

    def _gather(self, stop: threading.Event) -> None:
        """Wait for feeds to share a batch with those that are ready, while more keep coming."""
        feeds = len(self.feeds)
        most = min(feeds, len(self._slots))
        patience_s = min(feeds * GATHER_S, MOST_GATHER_S) if feeds > 1 else 0.0
        while patience_s > 0 and 0 < len(self._ready) < most and not stop.is_set():
            fills_s = (most - len(self._ready)) * self._ledger.hop_s / feeds
            slice_s = min(patience_s, max(fills_s, LEAST_GATHER_S), COALESCE_S)
            self._clock.wait(stop, slice_s)
            patience_s -= slice_s

    def feed_infos(self) -> list[FeedInfo]:
        """What publishers are told of the feeds before anything is heard."""
        return [FeedInfo(id=feed.id, source=feed.source.description) for feed in self.feeds]

    def arrange(self, arrangement: Arrangement) -> None:
        """Ask for another arrangement, from any thread; the engine's own makes it, soon.

        Feeds that stay lose nothing: window, belief, segment, counters and what waits in their
        ring go on.
        """
        self._arrangement = arrangement
        self._wake.set()

    def _make_arrangement(self) -> None:
        wanted, self._arrangement = self._arrangement, None
        if wanted is None:
            return
        former = {feed.id: row for row, feed in enumerate(self.feeds)}
        kept = {each.id for each in wanted.feeds if isinstance(each, Kept)}
        gone = {feed.id: feed for feed in self.feeds if feed.id not in kept}
        for feed in gone.values():
            feed.runner.stop(0)
            feed.intake.set_status(SourceStatus.ENDED)
            self._close(feed)
        judgements = [each.judgement for each in wanted.feeds]
        rows = [former[each.id] if isinstance(each, Kept) else None for each in wanted.feeds]
        fresh = []
        with self._lock:
            self._analyser.arrange(rows, judgements)
            self._ledger = Ledger(self.model.metadata, len(rows))
            feeds = []
            for row, each in enumerate(wanted.feeds):
                if isinstance(each, Kept):
                    feeds.append(self.feeds[former[each.id]])
                    feeds[-1].move(self._ledger, row)
                    continue
                feed = self._feed(row, each)
                if feed.id in gone:
                    feed.count_on_from(gone[feed.id])
                feeds.append(feed)
                fresh.append(feed)
            self.feeds = feeds
            self._index()
        self._news = True
        self._heartbeat_s, self._scores = wanted.heartbeat_s, wanted.scores
        self._next_heartbeat = self._clock.monotonic()  # all is told anew, at once
        for publisher in wanted.publishers:
            if publisher in self.publishers:
                publisher.rearrange(self.info, self.feed_infos())
        self.publishers = tuple(wanted.publishers)
        for feed in fresh:
            feed.runner.start()
        wanted.ended.extend(gone.values())
        wanted.made.set()

    def _stop(self) -> None:
        for feed in self.feeds:
            feed.runner.stop(0)
        until = self._clock.monotonic() + STOP_SOURCES_S
        for feed in self.feeds:
            if not feed.runner.stop(max(0.0, until - self._clock.monotonic())):
                log.warning("feed %s: its source does not stop; left behind", feed.id)
            self._close(feed)
        for publisher in self.publishers:
            publisher.stop()

    def tick(self) -> int:
        """Judge one hop of every feed that has one ready; returns how many had.

        Who is late holds nobody up: a feed is looked at only once it has called.
        """
        judged = 0
        waiting = len(self._ready)
        while waiting > 0:
            rows: list[int] = []
            chunks: list[Chunk] = []
            most = len(self._slots)
            called = {self._rows.get(self._ready.popleft()) for _ in range(min(waiting, most))}
            waiting -= most
            # In their order: a batch of all rows is then taken as it is.
            for row in sorted(each for each in called if each is not None):
                chunk = self._take(row, self._slots[len(rows)])
                if chunk is not None:
                    rows.append(row)
                    chunks.append(chunk)
            if rows:
                self._judge(rows, chunks)
                judged += len(rows)
        return judged

    def _take(self, row: int, out: NDArray[np.float32]) -> Chunk | None:
        """Take a hop of a feed that has called, if that was why."""
        intake = self._intakes[row]
        intake.taken_up()
        if intake.status is not self._told[row]:
            self._news = self._attend[row] = True
        chunk = intake.take(out)
        if chunk is None:
            return None
        if chunk.fresh:
            self._begin_anew(row, chunk.start)
        elif chunk.shifted:
            self._shift(self.feeds[row], chunk.shifted)
        if intake.available() >= intake.hop:
            intake.call_again()
        return chunk

    def _judge(self, rows: list[int], chunks: list[Chunk]) -> None:
        """Judge a batch as it lies in the analyser's inbox, and tell what has come of it.

        Feeds of which there is nothing to say are not even looked at: what they came to goes into
        the ledger, all at once.
        """
        # Before the network has taken the caches.
        ends = [chunk.end for chunk in chunks]
        arrived = np.array([chunk.arrived for chunk in chunks])
        news = [
            place
            for place, (row, chunk) in enumerate(zip(rows, chunks, strict=True))
            if chunk.info is not self._infos[row] or chunk.shifted
        ]
        judged = self._analyser.take(rows, ends)
        lags_s = self._clock.monotonic() - arrived
        told: list[Message | None] = []
        with self._lock:
            for place in self._ledger.take(judged, lags_s).tolist():
                supervisor = self.feeds[rows[place]].supervisor
                supervisor.heard(judged.peaks.item(place), self._ledger.hop_s)
                self._attend[rows[place]] = True
            for place in news:
                self._infos[rows[place]] = self.feeds[rows[place]].info = chunks[place].info
            if self._display.logmel_s > 0:
                for row, logmel in zip(rows, judged.logmel, strict=True):
                    self.feeds[row].picture(logmel)
            for place in sorted({*judged.changes, *news}):
                feed = self.feeds[rows[place]]
                told += feed.events(judged.changes.get(place, ()), ends[place])
                told.append(feed.state_if_changed(ends[place]))
            if self._scores:
                told += [self.feeds[row].scores() for row in rows]
        if told:
            self._tell(*told)

    def look_after(self) -> None:
        """Tell of sources that came, went or ended, and send heartbeats when they are due."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._look_at = monotonic + POLL_S
        self._news = False
        due = monotonic >= self._next_heartbeat
        if due:
            self._next_heartbeat = monotonic + self._heartbeat_s
        if due or monotonic >= self._look_at_all:
            self._look_at_all = monotonic + LOOK_AT_ALL_S
            self._attend[:] = True
        # What is heard as it was, and was heard again since the last look, is well.
        rows = np.flatnonzero(self._attend | (self._seen == self._ledger.judged)).tolist()
        self._seen = self._ledger.judged.copy()
        for row in rows:
            feed = self.feeds[row]
            if feed.intake.status.final and not feed.closed:
                if feed.intake.available() >= self.model.metadata.hop:
                    self._news = self._attend[row] = True  # look again once that is judged
                    continue
                self._close(feed)
            status = feed.supervisor.look()
            self._attend[row] = status is not SourceStatus.LISTENING
            if status is not feed.status_told:
                went = feed.status_told is not None and feed.status_told.online
                self._told[row] = feed.status_told = status
                if went and not status.online:
                    self._begin_anew(row, now)
                with self._lock:
                    health, state = feed.health(now), feed.state_if_changed(now)
                self._tell(health, state)
            elif due:
                with self._lock:
                    health, state = feed.health(now), feed.state(now)
                self._tell(health, state)

    def pulse(self) -> Pulse:
        """How far everything has got; may be called from any thread."""
        with self._lock:
            return Pulse(self._turns, tuple(feed.pulse() for feed in self.feeds))

    def view(self, logmel_s: float = math.inf) -> NodeView:
        """Everything a display shows, at this moment; may be called from any thread.

        ``logmel_s`` bounds the log-mel in it: seconds of the newest.
        """
        now = self._clock.now()
        with self._lock:
            feeds = tuple(feed.view(now, logmel_s) for feed in self.feeds)
        metadata = self.model.metadata
        return NodeView(
            node=self._node,
            version=__version__,
            model=metadata.name,
            provider=self.model.provider,
            labels=metadata.label_names,
            kinds={label.name: label.kind.value for label in metadata.labels},
            started_at=self._started_at,
            clock=now,
            publishers=tuple(publisher.status() for publisher in self.publishers),
            feeds=feeds,
        )

    def _begin_anew(self, row: int, ts: float) -> None:
        """Forget what a feed's window held; what was on has ended."""
        feed = self.feeds[row]
        with self._lock:
            events = feed.events(self._analyser.reset(row), ts)
            feed.forget()
        self._tell(*events)

    def _notice_suspension(self) -> None:
        """What was on when the machine was suspended has ended then."""
        suspended = self._clock.suspended()
        for_s, self._suspended = suspended - self._suspended, suspended
        if for_s <= SUSPENDED_S:
            return
        log.warning("this machine was suspended for %.0f s: all feeds begin anew", for_s)
        now = self._clock.now()
        for row, feed in enumerate(self.feeds):
            self._begin_anew(row, now)
            with self._lock:
                state = feed.state_if_changed(now)
            self._tell(state)

    def _shift(self, feed: Feed, seconds: float) -> None:
        log.info("feed %s: the clock was set, times move by %s s", feed.id, f"{seconds:+.1f}")
        with self._lock:
            feed.shift(seconds)

    def _close(self, feed: Feed) -> None:
        if feed.closed:
            return
        feed.closed = True
        row = self.feeds.index(feed)
        now = self._clock.now()
        self._begin_anew(row, now)
        self._told[row] = feed.status_told = feed.supervisor.look()
        with self._lock:
            state, health = feed.state_if_changed(now), feed.health(now)
        self._tell(state, health)

    def _tell(self, *messages: Message | None) -> None:
        for message in messages:
            if message is None:
                continue
            for publisher in self.publishers:
                publisher.offer(message)
