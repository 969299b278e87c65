"""The seam where sound comes in: what a source is, and what it pours into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source tells of itself while it plays."""

    station: str | None = None
    """Who is heard: a station's name, a device, a folder."""
    title: str | None = None
    """What it says is on now: a song title, a file name."""
    truth: str | None = None
    """The label the synthesised station knows is on; None for real sources."""


class Intake(Protocol):
    """The producer's side of a feed: what a source writes to, on its own thread."""

    rate: int
    """Samples a second that the source must deliver: mono float32, full scale 1.0."""
    stopping: threading.Event
    """Set when the source must return soon."""

    def write(self, samples: NDArray[np.float32], captured_at: float | None = None) -> None:
        """Add ``samples`` ``[n]``; never waits, the oldest unread audio is overwritten.

        ``captured_at`` is the Unix time of the first sample, where the source knows better than
        counting on from the last block; after a gap the next block is anchored to it, or to now.
        """
        ...

    def write_all(self, samples: NDArray[np.float32], captured_at: float | None = None) -> bool:
        """Add ``samples`` ``[n]`` and wait for room, so that nothing is lost (files read fast).

        False when ``stopping`` was set while it waited.
        """
        ...

    def due(self) -> float:
        """Seconds of audio that are still to come until there is a whole hop to analyse."""
        ...

    def gap(self, reason: str) -> None:
        """Audio is missing here: window, state and smoother start anew at the next block."""
        ...

    def overflowed(self, frames: int = 0) -> None:
        """The device was overrun; ``frames`` samples (at ``rate``) were lost, 0 if unknown."""
        ...

    def info(self, info: StreamInfo) -> None:
        """The source has something new to tell of itself, as of the next sample written."""
        ...

    def listening(self) -> None:
        """The source is open and audio is expected from now on."""
        ...


class Source(Protocol):
    """Something that can be listened to."""

    description: str
    """In words, credentials masked: ``microphone 'USB Audio'``, ``http://***@host/live``."""
    live: bool
    """Goes on for ever and is opened again when it ends; False for files and standard input."""
    synthetic: bool

    def run(self, intake: Intake) -> None:
        """Deliver audio until the source ends or ``intake.stopping`` is set.

        Runs on a thread of its own; may be called again to reopen a source. Raises
        :class:`genred.errors.GenredError` when it cannot be opened or breaks.
        """
        ...
