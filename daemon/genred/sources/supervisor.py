"""What a feed's source is doing, told by what comes of it rather than by what it believes.

::

    starting ──► listening ◄──► silent        every sample is zero
                  ▲   │  ▲
                  │   │  └────► stalled       open, but nothing comes
                  │   ▼            │
                  reconnecting ◄───┘          broken or ended, being opened again
                  │   │
                  │   ▼
                  retrying                    the same, for long already

and, where there is nothing to open again, ``ended`` or ``failed``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from genred.messages import SourceStatus

if TYPE_CHECKING:
    from genred.clock import Clock
    from genred.intake import FeedIntake

logger = logging.getLogger("genred.sources")

STALLED_S: Final = 3.0
"""Open, and no samples for so long: stalled. Above the 1.5 s that a device was seen to take to its
first sample and the 2 s of lateness that are caught up with; below what each source itself takes
for a broken connection."""
SILENT_S: Final = 10.0
"""Nothing but zeros for so long: silent. A pause between two songs is shorter, and a receiver,
however quiet, has noise; zeros for long are a muted input or a cable that is not there."""
ZERO_DBFS: Final = -119.9
"""Peaks below this are zeros: less than the last bit of 20."""
DRIFT_PPM: Final = 1000.0
"""A source that is faster or slower than its nominal rate by more is told of: quartzes differ by
200 ppm at most, so that a rate is wrong or samples are lost."""
DRIFT_HYSTERESIS: Final = 0.8
"""It is well again below this share of that."""


class Supervisor:
    """Watches one feed's intake, on the engine's thread, which looks several times a second.

    It only tells: opening again is the runner's business, and each source's to notice that it has
    broken.
    """

    def __init__(self, intake: FeedIntake, clock: Clock) -> None:
        self.status = intake.status
        """As of the last look."""
        self._intake = intake
        self._clock = clock
        self._zeros_s = 0.0
        self._drifts = False

    @property
    def reason(self) -> str:
        """Why it is as it is, where the source itself has not said so."""
        if self.status is SourceStatus.STALLED:
            return f"open, but no audio for {STALLED_S:.0f} s"
        if self.status is SourceStatus.SILENT:
            return f"nothing but zeros for {SILENT_S:.0f} s"
        return ""

    def heard(self, peak_dbfs: float, seconds: float) -> None:
        """So much audio has come, with this peak."""
        self._zeros_s = self._zeros_s + seconds if peak_dbfs <= ZERO_DBFS else 0.0

    def look(self) -> SourceStatus:
        """What the source is doing now; a line in the log where that has changed."""
        before, self.status = self.status, self._status()
        if self.status is not before:
            self._say(before)
        self._watch_rate()
        return self.status

    def _status(self) -> SourceStatus:
        intake = self._intake
        # The source's own word: its thread says it, and may change it at any moment.
        said = intake.status
        if said is not SourceStatus.LISTENING:
            self._zeros_s = 0.0
            return said
        # Who reads faster than is analysed waits for room, and has not stalled; who has said that
        # audio is missing, or delivers as it hears, should not be quiet for long.
        quiet_s = self._clock.monotonic() - intake.last_write
        if (
            quiet_s > STALLED_S
            and (intake.realtime or intake.interrupted)
            and intake.available() < intake.hop
        ):
            self._zeros_s = 0.0
            return SourceStatus.STALLED
        return SourceStatus.SILENT if self._zeros_s >= SILENT_S else said

    def _say(self, before: SourceStatus) -> None:
        feed = self._intake.feed
        if self.status in {SourceStatus.STALLED, SourceStatus.SILENT}:
            logger.warning("feed %s: %s: %s", feed, self.status.value, self.reason)
        elif self.status is SourceStatus.LISTENING and before in {
            SourceStatus.STALLED,
            SourceStatus.SILENT,
        }:
            logger.info("feed %s: no longer %s", feed, before.value)

    def _watch_rate(self) -> None:
        drift = abs(self._intake.drift_ppm)
        limit = DRIFT_PPM * (DRIFT_HYSTERESIS if self._drifts else 1.0)
        drifts = drift > limit
        if drifts and not self._drifts:
            logger.warning(
                "feed %s: delivers %s %% against what its rate promises; is it right?",
                self._intake.feed,
                f"{self._intake.drift_ppm / 1e4:+.2f}",
            )
        self._drifts = drifts
