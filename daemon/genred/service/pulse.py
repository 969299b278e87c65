"""Is there progress, and what is heard: from a look at the engine to watchdog and status line.

A ping on a timer would prove only that a timer runs. Here the watchdog is fed when the engine's
loop has gone round, and no feed is stuck without knowing it:

* a feed whose source delivers has its audio judged;
* a feed that is *listening* gets audio, unless its source itself has said that it is missing
  (a gap, a new attempt, an end): then that is known, told, and being mended.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from genred.labels import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from genred.clock import Clock
    from genred.messages import SourceStatus
    from genred.service.manager import ServiceManager

log = logging.getLogger("genred.service")

LOOK_S: Final = 1.0
"""How often the engine is looked at: the status line changes at most so often."""

LOOKS_A_PERIOD: Final = 3
"""A watchdog's period holds at least so many looks, however short it is: one may come late."""

UNJUDGED_S: Final = 10.0
"""Audio that has arrived is judged within a fraction of a second; so long means a fault."""

SOUNDLESS_S: Final = 60.0
"""Every source notices by itself, within less than this, that nothing comes any more."""


@dataclass(frozen=True, slots=True)
class FeedPulse:
    """How far a feed has got. Counters only grow."""

    id: str
    status: SourceStatus
    interrupted: bool
    """Has the source itself said that audio is missing."""
    written: int
    """Samples that the source has delivered."""
    judged: int
    """Hops that have come to a decision."""
    waiting: bool
    """Is there a whole hop that has not."""
    label: str = UNKNOWN
    confidence: float = 0.0
    dead_air: bool = False

    def words(self) -> str:
        """What is heard, for people: ``radio: jazz 0.83``, ``web: reconnecting``."""
        if not self.status.online:
            return f"{self.id}: {self.status.value}"
        if self.dead_air:
            return f"{self.id}: dead air"
        if self.label == UNKNOWN:
            return f"{self.id}: {UNKNOWN}"
        return f"{self.id}: {self.label} {self.confidence:.1f}"


@dataclass(frozen=True, slots=True)
class Pulse:
    """How far the engine has got."""

    turns: int
    """Times its loop has gone round; several a second, whatever the feeds do."""
    feeds: tuple[FeedPulse, ...]

    def words(self) -> str:
        """What is heard, in one line."""
        return "; ".join(feed.words() for feed in self.feeds)


@dataclass(slots=True)
class _Mark:
    """When counters of a feed last moved."""

    written: int
    written_at: float
    judged: int
    judged_at: float


class Progress:
    """Compares one look with those before."""

    def __init__(self) -> None:
        self._turns = -1
        self._marks: dict[str, _Mark] = {}

    def stuck(self, pulse: Pulse, now: float) -> str:
        """What has not moved for too long at ``now`` (monotonic seconds); empty if all is well."""
        reasons = []
        if pulse.turns == self._turns:
            reasons.append("the engine's loop stands still")
        self._turns = pulse.turns
        before, self._marks = self._marks, {}
        for feed in pulse.feeds:
            mark = before.get(feed.id) or _Mark(feed.written, now, feed.judged, now)
            self._marks[feed.id] = mark
            reasons += self._of_feed(feed, mark, now)
        return "; ".join(reasons)

    def _of_feed(self, feed: FeedPulse, mark: _Mark, now: float) -> list[str]:
        reasons = []
        if feed.judged != mark.judged or not feed.waiting:
            mark.judged, mark.judged_at = feed.judged, now
        elif now - mark.judged_at > UNJUDGED_S:
            reasons.append(f"audio of feed {feed.id} is not judged")
        # Stalled is what the engine sees, not what the source knows.
        known = not feed.status.open or feed.interrupted
        if feed.written != mark.written or known:
            mark.written, mark.written_at = feed.written, now
        elif now - mark.written_at > SOUNDLESS_S:
            reasons.append(f"feed {feed.id} is listening but gets no audio")
        return reasons


class Reporter:
    """Tells the service manager, from a thread of its own, as long as it runs.

    ``look`` may block when the engine hangs: then nothing is told, which is the point.
    """

    def __init__(self, manager: ServiceManager, look: Callable[[], Pulse], clock: Clock) -> None:
        self._manager = manager
        self._look = look
        self._clock = clock
        self._progress = Progress()
        self._stop = threading.Event()
        self._said = ""
        self._stuck = ""
        self._thread = threading.Thread(target=self._run, name="genred-service", daemon=True)

    def start(self) -> None:
        """Begin, if there is anybody to tell."""
        if self._manager.present:
            self._thread.start()

    def stop(self) -> None:
        """Tell nothing more."""
        self._stop.set()

    def report(self) -> None:
        """Look once, and tell what there is to tell."""
        pulse = self._look()
        stuck = self._progress.stuck(pulse, self._clock.monotonic())
        if stuck != self._stuck:
            self._stuck = stuck
            if stuck and self._manager.watchdog_s is not None:
                log.error("no progress: %s; the watchdog will restart this daemon", stuck)
            elif stuck:
                log.error("no progress: %s", stuck)
        if not stuck and self._manager.watchdog_s is not None:
            self._manager.watchdog()
        words = f"no progress: {stuck}" if stuck else pulse.words()
        if words != self._said:
            self._said = words
            self._manager.status(words)

    def _run(self) -> None:
        period = LOOK_S
        if self._manager.watchdog_s is not None:
            period = min(period, self._manager.watchdog_s / LOOKS_A_PERIOD)
        while True:
            self.report()
            if self._stop.wait(period):
                return
