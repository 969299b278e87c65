"""Between a source and the analysis: samples in order with what must not be separated from them.

One thread (the source's) writes, one (the engine's) takes. The samples themselves go through a
:class:`~genred.ring.Ring` without a lock. What is rare and belongs to a place among them (gaps
with their time of capture, station and title) goes beside it as marks at ring positions, under a
lock that is held for a few instructions.

Time is the audio's: an *epoch* is a stretch without a gap, anchored to the time at which its first
sample was captured; from there on samples are counted, and :mod:`genred.timeline` keeps that count
and the system clock from drifting apart.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from genred.clock import SUSPENDED_S
from genred.messages import SourceStatus
from genred.ring import Ring
from genred.sources.base import StreamInfo
from genred.sources.supervisor import STALLED_S
from genred.timeline import Anchor, Offsets, Timeline, offset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genred.clock import Clock

logger = logging.getLogger("genred.sources")

HOPS_HELD = 4
"""A ring holds at least this many hops, however short ``buffer_s`` is: one being read, one being
written, and half of the ring left to jump to."""
ROOM_WAIT_S = 0.1
"""How often a fast source that waits for room looks whether it must stop."""


class Chunk(NamedTuple):
    """One hop of audio, as taken; the samples are in the caller's array."""

    start: float
    """Unix time at which its first sample was captured."""
    end: float
    """Unix time of the sample after its last."""
    fresh: bool
    """First chunk of an epoch: what was heard before does not continue into it."""
    arrived: float
    """The clock's monotonic time at which its last sample was written."""
    info: StreamInfo
    """What the source told of itself as of its end."""
    shifted: float = 0.0
    """By how many seconds all times before it were wrong, as is now known (the system clock was
    set): whoever keeps some must move them."""


class FeedIntake:
    """The way in of one feed; :class:`~genred.sources.base.Intake` for the source.

    ``rate`` and ``hop`` are the model's, mono. ``wake`` is set whenever the consumer has something
    to do, and the intake is then in ``ready`` (once, as a rule): a whole hop, a change of status.
    The consumer takes it out, calls :meth:`taken_up` and looks after it; feeds of one consumer may
    share ``offsets``. All counters only grow and may be read by any thread.
    """

    def __init__(
        self,
        feed: str,
        rate: int,
        hop: int,
        buffer_s: float,
        wake: threading.Event,
        clock: Clock,
        ready: deque[FeedIntake] | None = None,
        offsets: Offsets | None = None,
    ) -> None:
        self.feed = feed
        self.rate = rate
        self.hop = hop
        self.stopping = threading.Event()
        self.status = SourceStatus.STARTING
        self.last_error = ""
        self.reconnects = 0
        self.heard_samples = 0
        """Samples taken by the consumer."""
        self.realtime = False
        """Does the source deliver as it hears, waiting for nobody."""
        self.last_write = clock.monotonic()
        """The clock's monotonic time at which audio came last, or the source was opened."""
        self._clock = clock
        self._suspended = clock.suspended()
        self._wake = wake
        self._ready = ready
        self._queued = False
        self._ring = Ring(max(round(buffer_s * rate), HOPS_HELD * hop), piece=hop)
        self._lock = threading.Lock()
        # Lists: there is hardly ever more than one, and an empty deque takes ten times the room.
        self._epochs: list[Anchor] = []
        self._infos: list[tuple[int, StreamInfo]] = []
        self._arrivals: deque[tuple[int, float]] = deque()
        self._broken = True
        self._epoch_at = 0
        self._pending_info: StreamInfo | None = None
        self._source_gaps = 0
        self._source_overflows = 0
        self._source_dropped = 0
        self._room_freed: threading.Event | None = None
        self._timeline = Timeline(rate, offsets or Offsets(clock))
        self._info = StreamInfo()
        self._arrival = (0, 0.0)
        self._fresh = True

    # ---- counters -------------------------------------------------------------------------------

    @property
    def overflows(self) -> int:
        """Times the sound card or the ring was overrun."""
        return self._source_overflows + self._ring.laps

    @property
    def dropped_samples(self) -> int:
        """Samples lost by those."""
        return self._source_dropped + self._ring.lost

    @property
    def written_samples(self) -> int:
        """Samples that the source has delivered."""
        return self._ring.written

    @property
    def interrupted(self) -> bool:
        """Has the source said that audio is missing, and not delivered any since?"""
        return self._broken

    @property
    def drift_ppm(self) -> float:
        """By how much the source is faster than its nominal rate; 0 until it was measured."""
        return self._timeline.drift_ppm

    @property
    def gaps(self) -> int:
        """Times audio was missing, overflows included."""
        return self._source_gaps + self._ring.laps

    # ---- the source's side ----------------------------------------------------------------------

    def write(self, samples: NDArray[np.float32], captured_at: float | None = None) -> None:
        """Add ``samples`` ``[n]``; never waits, the oldest unread audio is overwritten.

        After a pause of more than :data:`~genred.sources.supervisor.STALLED_S` audio is missing,
        whether the source has noticed or not.
        """
        if len(samples) == 0:
            return
        self.realtime = True
        now = self._clock.monotonic()
        if now - self.last_write - len(samples) / self.rate > STALLED_S:
            self.gap("nothing came for a while")
        self._mark(len(samples), captured_at)
        self._ring.write(samples)
        self._written()

    def write_all(self, samples: NDArray[np.float32], captured_at: float | None = None) -> bool:
        """Add ``samples`` ``[n]``, waiting for room; False when told to stop meanwhile."""
        if len(samples) == 0:
            return not self.stopping.is_set()
        self.realtime = False
        if self._room_freed is None:
            self._room_freed = threading.Event()
        self._mark(len(samples), captured_at)
        while len(samples):
            wanted = min(len(samples), self.hop)
            while not self.stopping.is_set():
                self._room_freed.clear()
                if self._ring.room() >= wanted:
                    break
                self._room_freed.wait(ROOM_WAIT_S)
            if self.stopping.is_set():
                return False
            piece = samples[: self._ring.room()]
            self._ring.write(piece)
            self._written()
            samples = samples[len(piece) :]
        return True

    def due(self) -> float:
        """Seconds of audio that are still to come until there is a whole hop to take."""
        # A hop never reaches across a gap: the one under way begins where its epoch does.
        begun = max(self._ring.position, self._epoch_at)
        held = 0 if self._broken else (self._ring.written - begun) % self.hop
        return (self.hop - held) / self.rate

    def gap(self, reason: str) -> None:
        """Audio is missing here; the next block begins a new epoch."""
        if not self._broken:
            self._broken = True
            self._source_gaps += 1
            logger.debug("feed %s: gap: %s", self.feed, reason)

    def overflowed(self, frames: int = 0) -> None:
        """The device was overrun and ``frames`` samples were lost (0 if unknown): a gap."""
        self._source_overflows += 1
        self._source_dropped += frames
        self.gap("overflow")

    def info(self, info: StreamInfo) -> None:
        """What the source tells of itself from the next sample on."""
        self._pending_info = info

    def listening(self) -> None:
        """The source is open."""
        if self.status is SourceStatus.LISTENING:
            return
        if self.status in {SourceStatus.RECONNECTING, SourceStatus.RETRYING}:
            self.reconnects += 1
        self.last_write = self._clock.monotonic()
        logger.info("feed %s: listening", self.feed)
        self.set_status(SourceStatus.LISTENING)

    def set_status(self, status: SourceStatus, error: str = "") -> None:
        """Say what the source is doing; ``error`` is kept as :attr:`last_error` where given."""
        if error:
            self.last_error = error
        if status is not self.status:
            self.status = status
            self._call()

    def _mark(self, count: int, captured_at: float | None) -> None:
        """Set down what changes with the next sample, before that sample can be read."""
        index = self._ring.written
        suspended = self._clock.suspended()
        if suspended - self._suspended > SUSPENDED_S:
            self._suspended = suspended
            self.gap("the machine was suspended")
        with self._lock:
            if self._broken:
                now, monotonic = self._clock.now(), self._clock.monotonic()
                if captured_at is None:
                    captured_at = now - count / self.rate
                told = offset(self._clock)
                self._epochs.append(
                    Anchor(
                        index,
                        captured_at,
                        arrived=(index + count, monotonic),
                        offset=now - monotonic - suspended if told is None else told,
                    )
                )
                self._broken = False
                self._epoch_at = index
            if self._pending_info is not None:
                self._infos.append((index, self._pending_info))
                self._pending_info = None
            # A consumer that has fallen asleep must not let the marks pile up: those before the
            # oldest sample left matter only as far as the newest of them is concerned.
            oldest = self._ring.oldest
            while len(self._epochs) > 1 and self._epochs[1].index <= oldest:
                self._epochs.pop(0)
            while len(self._infos) > 1 and self._infos[1][0] <= oldest:
                self._infos.pop(0)
            while len(self._arrivals) > 1 and self._arrivals[1][0] <= oldest:
                self._arrivals.popleft()

    def _written(self) -> None:
        self.last_write = self._clock.monotonic()
        with self._lock:
            self._arrivals.append((self._ring.written, self.last_write))
        if not self._queued and self._ring.available() >= self.hop:
            self._call()

    def _call(self) -> None:
        """Have the consumer look here."""
        if self._ready is not None:
            self._queued = True
            self._ready.append(self)
        # Setting it takes a lock. Where it is set already the consumer has yet to clear it, and
        # looks at what is ready only after that.
        if not self._wake.is_set():
            self._wake.set()

    # ---- the engine's side ----------------------------------------------------------------------

    def taken_up(self) -> None:
        """The consumer has it out of ``ready``: what comes from now on calls anew."""
        self._queued = False

    def call_again(self) -> None:
        """Another hop is there already."""
        if not self._queued:
            self._call()

    def available(self) -> int:
        """Samples waiting, at most what the ring holds."""
        return self._ring.available()

    def take(self, out: NDArray[np.float32]) -> Chunk | None:
        """Fill ``out`` ``[hop]`` with the oldest audio not yet taken; None if there is no hop.

        A chunk never reaches across a gap: a rest before one that is shorter than a hop is thrown
        away. Once None is returned, :meth:`available` is less than a hop.
        """
        hop = self.hop
        while True:
            # First how much there is, then the marks: those of later samples cannot matter.
            limit = self._ring.written
            start = self._ring.position
            with self._lock:
                self._pass_epochs(start)
                following = self._epochs[0].index if self._epochs else None
            if following is not None and following - start < hop:
                self._ring.skip_to(following)
            elif limit - start < hop:
                return None
            elif self._ring.read(out):
                break
            else:
                self._fresh = True
                logger.debug("feed %s: analysis was overtaken by the audio", self.feed)
            self._free_room()
        self._free_room()
        self.heard_samples += hop
        return self._chunk(start)

    def _free_room(self) -> None:
        # Only sources that wait for room have it and clear it; setting it takes a lock.
        freed = self._room_freed
        if freed is not None and not freed.is_set():
            freed.set()

    def _chunk(self, start: int) -> Chunk:
        end = start + self.hop
        with self._lock:
            while self._infos and self._infos[0][0] < end:
                self._info = self._infos.pop(0)[1]
            while self._arrivals and self._arrivals[0][0] < end:
                self._arrivals.popleft()
            if self._arrivals:
                self._arrival = self._arrivals[0]
        fresh, self._fresh = self._fresh, False
        began = self._timeline.time(start)
        shifted = self._timeline.observe(
            *self._arrival, self.hop / self.rate, realtime=self.realtime
        )
        return Chunk(
            began + shifted, self._timeline.time(end), fresh, self._arrival[1], self._info, shifted
        )

    def _pass_epochs(self, position: int) -> None:
        while self._epochs and self._epochs[0].index <= position:
            self._timeline.begin(self._epochs.pop(0))
            self._fresh = True
