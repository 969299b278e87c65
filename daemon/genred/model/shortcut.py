"""The CPU's shortcut into a model: past its front end, whose work an FFT does faster.

A file of the contract begins alike whatever its network is: the tail of the last samples, kept in
the first part of the state, is joined with the new ones, and log-mel frames are made of both. The
graph is cut open behind that, at the joined samples and at ``logmel``. What does not look like it,
or does not give the same numbers, runs whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.errors import ModelError
from genred.model.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import ModelMetadata

    Floats = NDArray[np.float32]
    Step = tuple[Floats, Floats, Floats]

LOGMEL: Final = "logmel"

LOGMEL_TOLERANCE: Final = 1e-3
"""Log-mel frames by FFT and by the graph may differ by this much, in natural logarithms or
decibels: five times what two ways of adding up 32-bit numbers come to, and far below what a
network notices."""

TOLERANCE: Final = 1e-3
"""The same for logits and states, relative to the largest of them if that is above 1."""


@dataclass(frozen=True, slots=True)
class Short:
    """A graph behind its front end."""

    model: bytes
    """The serialised model; it takes the samples, ``logmel`` and ``state``, and returns ``logits``
    and ``next_state``."""
    samples: str
    """The input of joined samples, ``[feeds, tail + hop]``."""


def cut(data: bytes, metadata: ModelMetadata) -> Short | None:
    """The graph behind its front end; None where it has no such place."""
    front_end = metadata.front_end
    tail = front_end.n_fft - front_end.hop_length
    frames = metadata.hop // front_end.hop_length
    if not 0 <= tail <= metadata.state_size:
        return None
    try:
        graph = Graph(data)
        takers = graph.consumers("audio")
        if len(takers) != 1 or takers[0].type != "Concat" or takers[0].inputs[1:] != ("audio",):
            return None
        samples = takers[0].outputs[0]
        if samples not in graph.needs((LOGMEL,)):
            return None
        inputs = {
            samples: (tail + metadata.hop,),
            LOGMEL: (front_end.n_mels, frames),
            "state": (metadata.state_size,),
        }
        return Short(graph.cut(inputs, ("logits", "next_state")), samples)
    except ModelError:
        return None


def agrees(ours: Step, theirs: Sequence[Floats]) -> bool:
    """Do two ways of one step give the same? They do not where one gives what is no number."""
    logits, logmel, state = (
        float(np.abs(one - other).max(initial=0.0)) for one, other in zip(ours, theirs, strict=True)
    )
    largest = max(1.0, float(np.abs(theirs[0]).max(initial=0.0)))
    within = max(1.0, float(np.abs(theirs[2]).max(initial=0.0)))
    return (
        logmel <= LOGMEL_TOLERANCE and logits <= TOLERANCE * largest and state <= TOLERANCE * within
    )
