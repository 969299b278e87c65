"""The thread of a source, and what happens when the source ends or breaks."""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from genred.errors import GenredError, InternalError
from genred.masking import mask
from genred.messages import SourceStatus

if TYPE_CHECKING:
    from genred.clock import Clock
    from genred.intake import FeedIntake
    from genred.sources.base import Source

logger = logging.getLogger("genred.sources")

FIRST_RETRY_S = 1.0
"""Pause before the first new try: most losses are over at once."""
LONGEST_RETRY_S = 60.0
"""Longest pause: a station that comes back after a night is heard within a minute."""
RETRY_GROWTH = 2.0
"""Each pause is this many times the last."""
JITTER = 0.25
"""Pauses vary by this share, so that many ears do not knock at one server at the same moment."""
FAILING_S = 30.0
"""Away for so long, a source is no longer reconnecting but failing: a server that restarts or a
cable that is put back is heard again before that."""
STABLE_S = 10.0
"""Audio for so long counts as recovered: after it the pauses begin anew. A source that opens and
breaks again at once does not get there."""


@runtime_checkable
class Interruptible(Protocol):
    """A source that may sit in a blocking read which only another thread can end."""

    def interrupt(self) -> None:
        """End the read, soon and from any thread; ``intake.stopping`` is set already."""
        ...


class FeedRunner:
    """Keeps one source running into its intake, on a daemon thread.

    A live source is opened again whenever it ends or breaks, for ever, with growing pauses. One
    that is not live (file, standard input) runs once: its status becomes ``ended``, or ``failed``
    with the reason in :attr:`error`. With ``retry`` off a live source, too, fails when the very
    first try brings no audio: what was just typed on a command line should say at once that it is
    wrong.
    """

    def __init__(self, source: Source, intake: FeedIntake, clock: Clock, *, retry: bool) -> None:
        self.source = source
        self.intake = intake
        self.error: GenredError | None = None
        self._clock = clock
        self._retry = retry
        self._thread = threading.Thread(
            target=self._run, name=f"genred-source-{intake.feed}", daemon=True
        )
        self._said = ""
        self._lost_at = 0.0

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Is the thread alive: False once the source has ended for good."""
        return self._thread.is_alive()

    def stop(self, timeout: float | None = None) -> bool:
        """Tell the source to stop and wait at most ``timeout`` seconds; has it stopped."""
        self.intake.stopping.set()
        if isinstance(self.source, Interruptible):
            self.source.interrupt()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = FIRST_RETRY_S
        stopping = self.intake.stopping
        while not stopping.is_set():
            opened = self._clock.monotonic()
            error = self._once()
            if stopping.is_set():
                return
            if not self.source.live:
                self._finish(error)
                return
            self.intake.gap("the source ended" if error is None else error.message)
            if error is not None and not self._retry and self.intake.written_samples == 0:
                self._finish(error)
                return
            self._retry = True
            if self._clock.monotonic() - opened >= STABLE_S:
                pause = FIRST_RETRY_S
            self._say_lost(error)
            spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - guards nothing
            self._clock.wait(stopping, pause * spread)
            pause = min(pause * RETRY_GROWTH, LONGEST_RETRY_S)

    def _once(self) -> GenredError | None:
        try:
            self.source.run(self.intake)
        except GenredError as error:
            return error
        except Exception as error:
            fault = InternalError(f"a fault in genred: {type(error).__name__}: {mask(str(error))}")
            if fault.message != self._said:
                logger.exception("feed %s: %s", self.intake.feed, self.source.description)
            return fault
        return None

    def _finish(self, error: GenredError | None) -> None:
        self.error = error
        if error is None:
            logger.info("feed %s: %s has ended", self.intake.feed, self.source.description)
            self.intake.set_status(SourceStatus.ENDED)
        else:
            logger.error("feed %s: %s", self.intake.feed, error)
            self.intake.set_status(SourceStatus.FAILED, error=error.message)

    def _say_lost(self, error: GenredError | None) -> None:
        reason = f"{self.source.description}: it ended" if error is None else error.message
        now, before = self._clock.monotonic(), self.intake.status
        away = {SourceStatus.RECONNECTING, SourceStatus.RETRYING}
        if before not in away:
            self._lost_at = now
        lasting = now - self._lost_at >= FAILING_S
        status = SourceStatus.RETRYING if lasting else SourceStatus.RECONNECTING
        if lasting and before is SourceStatus.RECONNECTING:
            logger.warning(
                "feed %s: %s; for %d s already, going on trying",
                self.intake.feed,
                reason,
                now - self._lost_at,
            )
        elif before not in away or reason != self._said:
            logger.warning("feed %s: %s; trying again", self.intake.feed, reason)
        self._said = reason
        self.intake.set_status(status, error=reason)
