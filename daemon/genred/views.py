"""What a display needs to know at one moment: plain frozen values, no behaviour.

The engine makes a new :class:`NodeView` when asked; the dashboard is a pure function of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genred.messages import FeedEvent, FeedHealth, FeedState


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one label. Times are Unix seconds of the audio; ``end`` is None while on."""

    label: str
    kind: str
    start: float
    end: float | None
    confidence: float


@dataclass(frozen=True, slots=True)
class FeedView:
    """One feed at one moment."""

    id: str
    source: str
    """The source in words, without credentials."""
    synthetic: bool
    """Is this the project's own synthesised station."""
    state: FeedState
    health: FeedHealth
    now: float
    """Capture time of the newest audio heard, Unix seconds."""
    peak_dbfs: float
    """Peak hold: the highest level of the last moments."""
    logmel: NDArray[np.float32]
    """The newest log-mel frames, ``[frames, mels]``, oldest first, at ``frame_rate`` a second;
    in the natural logarithm whatever the model's front end says."""
    frame_rate: float
    segments: tuple[Segment, ...]
    """The last minutes, oldest first; the last one may be still on."""
    events: tuple[FeedEvent, ...]
    """The newest events, oldest first."""
    truth: str | None = None
    """What the synthesised station says is on (a label); None for real sources."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """The whole daemon at one moment."""

    node: str
    version: str
    model: str
    provider: str
    labels: tuple[str, ...]
    kinds: dict[str, str]
    """Kind of each label, by label."""
    started_at: float
    clock: float
    """Unix seconds at the moment of the view."""
    publishers: tuple[str, ...]
    """One line for each publisher: where it sends and how it is doing."""
    feeds: tuple[FeedView, ...]
