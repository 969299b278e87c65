"""Feeds on a device: their states never leave it, and all go in one batch of a fixed shape.

The graph runs whole, log-mel included, between two masks: a row that begins anew sees zeros in the
place of its state, and one that is not ready keeps the state it has. So every step has the same
shapes and the same memory, which is what CUDA graphs ask for (a captured step is played back as one
launch), and nothing is gathered or put back.

Nothing here is CUDA's alone: on the CPU provider the same code runs, and is tested there.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from genred.model.graph import BOOL, Graph, Input, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import ModelMetadata

    Floats = NDArray[np.float32]

FRESH: Final = "fresh"
READY: Final = "ready"
BEFORE: Final = "state_before"
AFTER: Final = "state_after"
ZERO: Final = "genred_zero"

_graphs = count(1)


def masked(data: bytes, metadata: ModelMetadata) -> bytes:
    """The model with both masks.

    It takes ``audio`` ``[feeds, hop]``, ``state_before`` ``[feeds, state_size]``, ``fresh`` and
    ``ready`` ``[feeds, 1]``, and returns ``logits``, ``logmel`` and ``state_after``.
    Raises :class:`genred.errors.ModelError` where ``data`` is no model.
    """
    size, front_end = (metadata.state_size,), metadata.front_end
    frames = metadata.hop // front_end.hop_length
    return Graph(data).wrapped(
        inputs=(
            Input("audio", (metadata.hop,)),
            Input(BEFORE, size),
            Input(FRESH, (1,), BOOL),
            Input(READY, (1,), BOOL),
        ),
        outputs=(
            Input("logits", (len(metadata.labels),)),
            Input("logmel", (front_end.n_mels, frames)),
            Input(AFTER, size),
        ),
        before=(Node("Where", (FRESH, ZERO, BEFORE), ("state",)),),
        after=(Node("Where", (READY, "next_state", BEFORE), (AFTER,)),),
        zeros=(ZERO,),
    )


class DeviceStream:
    """Feeds whose states stay on ``device``; see :class:`genred.model.stream.Stream`.

    ``session`` is that of a :func:`masked` model. Without ``pictures`` the log-mel frames are not
    fetched, and those that are returned are zeros: a host that shows none need not carry them.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        metadata: ModelMetadata,
        feeds: int,
        device: str,
        *,
        pictures: bool = True,
    ) -> None:
        self._session, self._metadata, self._device = session, metadata, device
        self._pictures = pictures
        self._allocate(max(1, feeds))

    def _allocate(self, feeds: int, state: Floats | None = None) -> None:
        metadata = self._metadata
        self.batch = feeds
        frames = (metadata.front_end.n_mels, metadata.hop // metadata.front_end.hop_length)
        self.inbox, self._inbox_value = self._host((feeds, metadata.hop))
        self._staged, self._staged_value = self._host((feeds, metadata.hop))
        self._fresh = np.ones((feeds, 1), np.bool_)
        self._ready = np.zeros((feeds, 1), np.bool_)
        self._blank = np.broadcast_to(np.float32(0), (feeds, *frames))
        if state is None:
            state = np.zeros((feeds, metadata.state_size), np.float32)
        else:
            self._fresh[:] = False
        put = onnxruntime.OrtValue.ortvalue_from_numpy
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        # A copy, so that on the CPU as well nobody else holds what is written to.
        self._state = put(state.copy(), self._device)
        self._audio = make((feeds, metadata.hop), np.float32, self._device)
        self._fresh_value = put(self._fresh.copy(), self._device)
        self._ready_value = put(self._ready.copy(), self._device)
        self._logits = make((feeds, len(metadata.labels)), np.float32, self._device)
        self._logmel = make((feeds, *frames), np.float32, self._device)
        binding = self._session.io_binding()
        inputs = {
            "audio": self._audio,
            BEFORE: self._state,
            FRESH: self._fresh_value,
            READY: self._ready_value,
        }
        # The next states go where the last ones were. Each number of them is made of its own
        # place by the last node, and the first has read them all before.
        outputs = {"logits": self._logits, "logmel": self._logmel, AFTER: self._state}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        self._binding = binding
        self._options = onnxruntime.RunOptions()
        if self._device != "cpu":
            # A captured graph is of one memory: whoever has other buffers captures another.
            self._options.add_run_config_entry("gpu_graph_id", str(next(_graphs)))

    def _host(self, shape: tuple[int, ...]) -> tuple[Floats, Any]:
        """Memory of the host from which the device copies by itself, where there is such."""
        memory = pinned_memory() if self._device != "cpu" else None
        if memory is None:
            return np.zeros(shape, np.float32), None
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            shape, np.float32, memory_info=memory
        )
        array: Floats = value.numpy()
        array[:] = 0
        return array, value

    def step(self, rows: Sequence[int]) -> tuple[Floats, Floats]:
        """See :class:`genred.model.stream.Stream`; rows in rising order are not copied about."""
        size = len(rows)
        index = np.asarray(rows)
        everyone = size == self.batch and bool((index == np.arange(size)).all())
        if not everyone:
            self._staged[index] = self.inbox[:size]
        self._ready[:] = False
        self._ready[index] = True
        self._audio.update_inplace(self.inbox if everyone else self._staged)
        self._fresh_value.update_inplace(self._fresh)
        self._ready_value.update_inplace(self._ready)
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding, self._options)
        self._binding.synchronize_outputs()
        # Rows that were not ready still have to begin anew.
        self._fresh[index] = False
        logits: Floats = self._logits.numpy()
        logmel: Floats = self._logmel.numpy() if self._pictures else self._blank
        return (logits, logmel) if everyone else (logits[index], logmel[index])

    def run(self, row: int, audio: Floats) -> tuple[Floats, Floats]:
        """See :class:`genred.model.stream.Stream`."""
        logits, logmel = [], []
        for hop in audio:
            self.inbox[0] = hop
            one, picture = self.step([row])
            logits.append(one[0].copy())
            logmel.append(picture[0].copy())
        return np.stack(logits), np.stack(logmel)

    def reset(self, row: int) -> None:
        """See :class:`genred.model.stream.Stream`."""
        self._fresh[row] = True

    def arrange(self, rows: Sequence[int | None]) -> None:
        """See :class:`genred.model.stream.Stream`."""
        former_state, former_fresh = self._state.numpy(), self._fresh
        state = np.zeros((max(1, len(rows)), self._metadata.state_size), np.float32)
        fresh = np.ones((len(state), 1), np.bool_)
        for row, former in enumerate(rows):
            if former is not None:
                state[row], fresh[row] = former_state[former], former_fresh[former]
        self._allocate(len(state), state)
        self._fresh[:] = fresh


def pinned_memory() -> Any | None:
    """Where the CUDA provider allocates memory of the host that the device reads by itself.

    None where this onnxruntime offers none.
    """
    kinds = getattr(onnxruntime, "OrtDeviceMemoryType", None)
    listed = getattr(onnxruntime, "get_ep_devices", None)
    if kinds is None or listed is None:
        return None
    for each in listed():
        if each.ep_name == "CUDAExecutionProvider":
            return each.memory_info(kinds.HOST_ACCESSIBLE)
    return None
