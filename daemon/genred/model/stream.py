"""The states of some feeds, and one step of them: what runs every hop.

A :class:`Stream` keeps a state for each of its rows and takes the new samples of any of them one
step on. On the CPU rows go through the network in batches that fit the caches
(:class:`HostStream`). On a device the states never leave it, and all rows go in one batch
(:class:`genred.model.device.DeviceStream`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import onnxruntime
from numpy.lib.stride_tricks import as_strided

from genred.model.front_end import LogMel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import ModelMetadata
    from genred.model.stretch import Stretch

    Floats = NDArray[np.float32]

BATCH: Final = 16
"""Rows that go through the network at once on the CPU. More make a step of one feed no cheaper;
they only take more room in a core's own cache, which other work on the machine may need."""

ROOM: Final = 128
"""Rows of one step on the CPU, which go through the network in several batches. What follows it is
told for all of them in one call each, which take longer to call than to do."""


LONG: Final = 48
"""Steps from which on a stretch is taken in parts side by side: what that needs is made first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A session and where its graph is entered."""

    session: onnxruntime.InferenceSession
    samples: str | None = None
    """The input of joined samples, where the graph is entered behind its front end."""
    resident: onnxruntime.InferenceSession | None = None
    """Another of the same model between masks, for states that stay on a device."""
    stretch: Callable[[], Stretch | None] | None = None
    """The way through long stretches of a recording, made when it is first asked for."""


class Stream(Protocol):
    """States of feeds, a row each, and their steps; for one thread at a time."""

    batch: int
    """Rows that one step takes at most."""
    inbox: Floats
    """``[batch, hop]``: where the new samples of the next step go."""

    def step(self, rows: Sequence[int]) -> tuple[Floats, Floats]:
        """Take ``rows`` one step on with the first ``len(rows)`` of :attr:`inbox`.

        A row may stand there once. Returns logits ``[rows, labels]`` and log-mel frames
        ``[rows, n_mels, frames]``; both are overwritten by the next step.
        """
        ...

    def run(self, row: int, audio: Floats) -> tuple[Floats, Floats]:
        """Take ``row`` through ``audio`` ``[steps, hop]``, one step after the other.

        Returns logits ``[steps, labels]`` and log-mel frames ``[steps, n_mels, frames]``.
        """
        ...

    def reset(self, row: int) -> None:
        """Let ``row`` have heard nothing."""
        ...

    def arrange(self, rows: Sequence[int | None]) -> None:
        """Have ``len(rows)`` rows; a number takes one on as it is, None begins a new one."""
        ...


class HostStream:
    """Feeds on the CPU: rows that are ready are gathered, stepped and put back."""

    def __init__(self, entry: Entry, metadata: ModelMetadata, feeds: int) -> None:
        self._session, self._joined = entry.session, entry.samples
        self._stretch = entry.stretch
        self._metadata = metadata
        self._front_end = LogMel(metadata.front_end, metadata.sample_rate, metadata.hop)
        self._tail = self._front_end.tail if self._joined else 0
        self._state = np.zeros((feeds, metadata.state_size), np.float32)
        self._allocate(max(1, min(feeds, ROOM)))

    def _allocate(self, batch: int) -> None:
        metadata = self._metadata
        self.batch = batch
        self._samples = np.zeros((batch, self._tail + metadata.hop), np.float32)
        self.inbox = self._samples[:, self._tail :]
        frames = (metadata.front_end.n_mels, metadata.hop // metadata.front_end.hop_length)
        self._logmel = np.zeros((batch, *frames), np.float32)
        self._logits = np.zeros((batch, len(metadata.labels)), np.float32)
        self._before = np.zeros((min(batch, BATCH), metadata.state_size), np.float32)
        self._after = np.zeros_like(self._before)
        self._bound: dict[tuple[int, int], Any] = {}

    def step(self, rows: Sequence[int]) -> tuple[Floats, Floats]:
        """See :class:`Stream`."""
        index = np.asarray(rows)
        for first in range(0, len(rows), BATCH):
            part = index[first : first + BATCH]
            # "clip" lets numpy write straight into the buffer; the rows are the caller's own.
            np.take(self._state, part, axis=0, out=self._before[: len(part)], mode="clip")
            self._run(first, len(part))
            self._state[part] = self._after[: len(part)]
        return self._logits[: len(rows)], self._logmel[: len(rows)]

    def run(self, row: int, audio: Floats) -> tuple[Floats, Floats]:
        """See :class:`Stream`; the front end takes all steps at once."""
        steps, hop = audio.shape
        logits = np.empty((steps, self._logits.shape[1]), np.float32)
        logmel = np.empty((steps, *self._logmel.shape[1:]), np.float32)
        self._before[0] = self._state[row]
        samples = np.concatenate((self._before[0, : self._tail], audio.reshape(-1)))
        # Each step's samples begin with the tail of those before; a view needs no copy.
        joined = as_strided(samples, (steps, self._tail + hop), (4 * hop, 4), writeable=False)
        if self._joined:
            self._front_end(joined, logmel)
        stretch = self._stretch() if self._stretch is not None and steps >= LONG else None
        if stretch is not None and stretch.parts(steps) > 1:
            logits, self._state[row] = stretch.run(joined, logmel, self._before[0])
            return logits, logmel
        binding = self._bound.get((0, 1)) or self._bind(0, 1)
        for step in range(steps):
            self._samples[0] = joined[step]
            if self._joined:
                self._logmel[0] = logmel[step]
            self._session.run_with_iobinding(binding)
            logits[step] = self._logits[0]
            if not self._joined:
                logmel[step] = self._logmel[0]
            self._before[0] = self._after[0]
        self._state[row] = self._before[0]
        return logits, logmel

    def through(self, audio: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """One step of at most :data:`BATCH`, whose states are the caller's; see `Model.step`."""
        count = len(audio)
        self.inbox[:count], self._before[:count] = audio, state
        self._run(0, count)
        return self._logits[:count].copy(), self._logmel[:count].copy(), self._after[:count].copy()

    def _run(self, first: int, count: int) -> None:
        """Take the rows from ``first`` on of what came in through front end and network."""
        if self._joined:
            samples = self._samples[first : first + count]
            samples[:, : self._tail] = self._before[:count, : self._tail]
            self._front_end(samples, self._logmel[first : first + count])
        binding = self._bound.get((first, count)) or self._bind(first, count)
        self._session.run_with_iobinding(binding)

    def _bind(self, first: int, count: int) -> Any:
        """Inputs and outputs of a batch: always the same memory, nothing is copied."""
        binding = self._session.io_binding()
        inputs: dict[str, Floats] = {
            self._joined or "audio": self._samples[first : first + count],
            "state": self._before[:count],
        }
        outputs: dict[str, Floats] = {
            "logits": self._logits[first : first + count],
            "next_state": self._after[:count],
        }
        (inputs if self._joined else outputs)["logmel"] = self._logmel[first : first + count]
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, _value(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, _value(array))
        self._bound[first, count] = binding
        return binding

    def reset(self, row: int) -> None:
        """See :class:`Stream`."""
        self._state[row] = 0

    def arrange(self, rows: Sequence[int | None]) -> None:
        """See :class:`Stream`."""
        state = np.zeros((len(rows), self._metadata.state_size), np.float32)
        for row, former in enumerate(rows):
            if former is not None:
                state[row] = self._state[former]
        batch = max(1, min(len(rows), ROOM))
        if batch != self.batch:
            self._allocate(batch)
        self._state = state


def _value(array: Floats) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
