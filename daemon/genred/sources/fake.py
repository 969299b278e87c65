"""A source for tests: does what its script says, in steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from genred.clock import Clock
    from genred.errors import GenredError
    from genred.sources.base import Intake, StreamInfo


@dataclass(frozen=True, slots=True, eq=False)
class Play:
    """Deliver ``samples`` ``[n]`` in blocks, the clock moving on by each block's length."""

    samples: NDArray[np.float32]
    block: int = 1600
    captured_at: float | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio is missing for ``seconds``."""

    seconds: float = 0.0
    reason: str = "scripted gap"


@dataclass(frozen=True, slots=True)
class Overflow:
    """The device was overrun by ``frames`` samples."""

    frames: int = 0


@dataclass(frozen=True, slots=True)
class Tell:
    """The source tells something new of itself."""

    info: StreamInfo


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing comes for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The source breaks; what follows is played when it is opened again."""

    error: GenredError


@dataclass(frozen=True, slots=True)
class End:
    """The source ends; what follows is played when it is opened again."""


Step = Play | Gap | Overflow | Tell | Wait | Fail | End


class FakeSource:
    """Plays ``script`` once, in order; after its last step every further run waits to be stopped.

    ``clock`` is moved on where it is a :class:`~genred.clock.FakeClock` and waited on where it is
    real. With ``lossless`` samples wait for room instead of overwriting.
    """

    def __init__(
        self,
        script: Iterable[Step],
        clock: Clock,
        *,
        live: bool = True,
        synthetic: bool = False,
        lossless: bool = True,
        description: str = "fake source",
    ) -> None:
        self.description = description
        self.live = live
        self.synthetic = synthetic
        self.runs = 0
        """Times it was opened."""
        self._steps = iter(script)
        self._clock = clock
        self._lossless = lossless

    def run(self, intake: Intake) -> None:
        """Take the steps up to the next :class:`Fail` or :class:`End`, or to the end."""
        self.runs += 1
        first = True
        for step in self._steps:
            if first and not isinstance(step, Fail):
                intake.listening()
            first = False
            if isinstance(step, Fail):
                raise step.error
            if isinstance(step, End) or intake.stopping.is_set():
                return
            self._take(step, intake)
        if self.live:
            intake.stopping.wait()

    def _take(self, step: Step, intake: Intake) -> None:
        match step:
            case Play():
                self._play(step, intake)
            case Gap():
                intake.gap(step.reason)
                self._clock.wait(intake.stopping, step.seconds)
            case Overflow():
                intake.overflowed(step.frames)
            case Tell():
                intake.info(step.info)
            case Wait():
                self._clock.wait(intake.stopping, step.seconds)
            case _:
                pass

    def _play(self, step: Play, intake: Intake) -> None:
        captured_at = step.captured_at
        for at in range(0, len(step.samples), step.block):
            block = step.samples[at : at + step.block]
            self._clock.wait(intake.stopping, len(block) / intake.rate)
            if intake.stopping.is_set():
                return
            if self._lossless:
                intake.write_all(block, captured_at)
            else:
                intake.write(block, captured_at)
            captured_at = None
