"""A long stretch of one recording at once: its parts side by side, as if they were feeds.

Of what a network remembers, most is the last second and is overwritten by the next; whoever begins
a little earlier than he is asked about has it right. So a stretch is cut into parts that go through
the network as one batch, each with a lead. What remembers for longer cannot be cut like that. It is
a small thing at the end of a network, as a rule: the graph is cut open before it, and the rest is
taken through the stretch one step after the other.

Which part of the state is which is not known of a file. It is found out with noise, and the result
held against what the file gives step by step. A network of another kind keeps to that.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime
from numpy.lib.stride_tricks import as_strided

from genred.errors import ModelError
from genred.model.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from genred.model.metadata import ModelMetadata
    from genred.model.shortcut import Short

    Floats = NDArray[np.float32]
    Open = Callable[[bytes], InferenceSession]
    Step = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]

LOGMEL: Final = "logmel"
STATE: Final = "state"
LOGITS: Final = "logits"
NEXT: Final = "next_state"

PARTS: Final = 16
"""Parts at most: from so many rows of a batch on, one gets hardly cheaper."""

LEADS: Final = 4
"""A part is at least this many times as long as its lead, which is heard for nothing."""

LONGEST_LEAD: Final = 16
"""Steps that a lead may have. What is remembered for longer is taken for lasting."""

NOISES: Final = 4
"""Sounds whose states are compared, beside a state that has heard nothing."""

HEARD: Final = 40
"""Steps of noise that such a state has heard."""

PROVED: Final = 3
"""Parts over which the outcome is proved."""

SAME: Final = 1e-5
"""States that differ by more, relative to the largest of them, remember different things."""

TOLERANCE: Final = 1e-4
"""Logits and states may differ by this much from those of single steps, relative to the largest:
what 32 bits allow in sums of another order, over all layers."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """A part of the state that lasts: where it stands, and what it is called before and after."""

    begin: int
    end: int
    before: str
    after: str


class Stretch:
    """A graph behind its front end in two pieces; may be used from any thread.

    ``body`` is all of it, and tells besides what ``tail`` begins with: of that and of what lasts,
    ``tail`` makes the logits and what lasts after it.
    """

    def __init__(
        self,
        body: InferenceSession,
        tail: InferenceSession | None,
        between: Mapping[str, tuple[int, ...]],
        lasting: Sequence[Lasting],
        samples: str,
        lead: int,
    ) -> None:
        self._body, self._tail = body, tail
        self._between = dict(between)
        self._lasting = tuple(lasting)
        self._samples, self.lead = samples, lead
        self._lock = threading.Lock()

    def parts(self, steps: int) -> int:
        """Into how many parts a stretch is cut; one is better taken step by step."""
        return min(PARTS, steps // (LEADS * self.lead))

    def run(self, joined: Floats, logmel: Floats, state: Floats) -> tuple[Floats, Floats]:
        """Take ``state`` ``[state_size]`` through a stretch of at least two :meth:`parts`.

        ``joined`` ``[steps, tail + hop]`` are the samples of each step and those before them,
        ``logmel`` ``[steps, n_mels, frames]`` its frames. Returns logits ``[steps, labels]`` and
        the state after the last step.
        """
        with self._lock:
            told, after = self._side_by_side(joined, logmel, state)
            logits = told.pop(LOGITS)
            if self._tail is not None:
                self._one_by_one(self._tail, told, state, after, logits)
        return logits, after

    def _side_by_side(
        self, joined: Floats, logmel: Floats, state: Floats
    ) -> tuple[dict[str, Floats], Floats]:
        """All that the body tells of each step, and the state at the end."""
        steps, parts, lead = len(joined), self.parts(len(joined)), self.lead
        # Part p begins at p * length. The first has no need of a lead, and is longer by that.
        length = -(-(steps - lead) // parts)
        last = (steps - 1 - lead) // length  # the part that the last step belongs to
        sound = np.zeros((parts, joined.shape[1]), np.float32)
        frames = np.zeros((parts, *logmel.shape[1:]), np.float32)
        states = np.zeros((2, parts, len(state)), np.float32)
        states[0, 0] = state
        out = {name: np.zeros((parts, *shape), np.float32) for name, shape in self._between.items()}
        told = {
            name: np.zeros((steps, *array.shape[1:]), np.float32) for name, array in out.items()
        }
        bindings = [
            _bound(
                self._body,
                {self._samples: sound, LOGMEL: frames, STATE: states[turn]},
                {**out, NEXT: states[1 - turn]},
            )
            for turn in range(2)
        ]
        after = np.empty_like(state)
        for step in range(length + lead):
            there = len(range(step, steps, length)[:parts])
            sound[:there] = joined[step::length][:there]
            frames[:there] = logmel[step::length][:there]
            self._body.run_with_iobinding(bindings[step % 2])
            # What is said in a lead is said by the part before it.
            count = there if step >= lead else min(there, 1)
            for name, array in out.items():
                told[name][step::length][:count] = array[:count]
            if step + last * length == steps - 1:
                after[:] = states[1 - step % 2, last]
        return told, after

    def _one_by_one(
        self,
        tail: InferenceSession,
        between: Mapping[str, Floats],
        state: Floats,
        after: Floats,
        logits: Floats,
    ) -> None:
        """Take what lasts through all steps; fills ``logits`` and its own part of ``after``."""
        given = {
            name: np.zeros((1, *array.shape[1:]), np.float32) for name, array in between.items()
        }
        before = {each.before: state[None, each.begin : each.end].copy() for each in self._lasting}
        made = {each.after: np.zeros_like(before[each.before]) for each in self._lasting}
        said = np.zeros((1, logits.shape[1]), np.float32)
        binding = _bound(tail, {**given, **before}, {**made, LOGITS: said})
        moves = [(before[each.before], made[each.after]) for each in self._lasting]
        columns = [(given[name], array) for name, array in between.items()]
        for step in range(len(logits)):
            for place, array in columns:
                place[0] = array[step]
            tail.run_with_iobinding(binding)
            logits[step] = said[0]
            for old, new in moves:
                old[:] = new
        for each in self._lasting:
            after[each.begin : each.end] = before[each.before][0]


def find(short: Short, metadata: ModelMetadata, step: Step, opened: Open) -> Stretch | None:
    """The way through long stretches for a graph behind its front end; None where there is none.

    ``step`` takes the model one step on, as :meth:`genred.model.session.Model.step`; ``opened``
    makes a session of a serialised model.
    """
    try:
        differs, lead = _memory(metadata, step)
        lead = max(lead + 1, -(-metadata.window // metadata.hop))
        if lead > LONGEST_LEAD:
            return None
        made = _cut(short, metadata, differs, lead, opened)
    except ModelError:
        return None
    return made if _proved(made, metadata, step) else None


def _noise(metadata: ModelMetadata, steps: int, rows: int, seed: int) -> Floats:
    """``[steps, rows, hop]``: noise that swells and fades."""
    random = np.random.default_rng(seed)
    loudness = 10 ** random.uniform(-3, -0.5, (steps, rows, 1))
    return (random.normal(size=(steps, rows, metadata.hop)) * loudness).astype(np.float32)


def _memory(metadata: ModelMetadata, step: Step) -> tuple[NDArray[np.bool_], int]:
    """Which of the state lasts, and after how many steps the rest is of what was heard in them."""
    states = np.zeros((NOISES, metadata.state_size), np.float32)
    for audio in _noise(metadata, HEARD, NOISES, 0):
        states = step(audio, states)[2]
    wild = np.random.default_rng(1).normal(size=states.shape).astype(np.float32)
    states = np.concatenate((np.zeros_like(states[:1]), states, wild * states.std()))
    differs = []
    for audio in _noise(metadata, LONGEST_LEAD, 1, 2):
        states = step(np.repeat(audio, len(states), axis=0), states)[2]
        scale = max(1.0, float(np.abs(states).max()))
        differs.append(np.abs(states - states[0]).max(axis=0) > SAME * scale)
    lasting = differs[-1]
    passing = [bool((each & ~lasting).any()) for each in differs]
    return lasting, max((number + 1 for number, any_ in enumerate(passing) if any_), default=0)


def _cut(
    short: Short, metadata: ModelMetadata, differs: NDArray[np.bool_], lead: int, opened: Open
) -> Stretch:
    """Raises :class:`ModelError` where the graph keeps its state in another way."""
    graph = Graph(short.model)
    front = metadata.front_end
    inputs = {
        short.samples: (front.n_fft - front.hop_length + metadata.hop,),
        LOGMEL: (front.n_mels, metadata.hop // front.hop_length),
        STATE: (metadata.state_size,),
    }
    lasting = _lasting(graph, inputs, differs, opened)
    given = {each.before for each in lasting}
    late = _after(graph, given)
    live = _after(graph, inputs)
    if lasting and LOGITS not in late:
        raise ModelError("what lasts has no part in what is said")
    wanted = graph.needs([LOGITS, *(each.after for each in lasting)])
    between = sorted(
        {
            name
            for node in graph.nodes
            if (late - given) & wanted & set(node.outputs)
            for name in node.inputs
            if name in live and name not in late
        }
    )
    if set(between) & set(inputs):
        raise ModelError("what lasts is made of the inputs themselves")
    body = opened(graph.cut(inputs, [LOGITS, NEXT, *between]))
    shapes = _shapes(body, inputs, [LOGITS, *between])
    tail = None
    if lasting:
        enters = {name: shapes[name] for name in between}
        enters |= {each.before: (each.end - each.begin,) for each in lasting}
        tail = opened(graph.cut(enters, [LOGITS, *(each.after for each in lasting)]))
    return Stretch(body, tail, shapes, lasting, short.samples, lead)


def _lasting(
    graph: Graph,
    inputs: Mapping[str, tuple[int, ...]],
    differs: NDArray[np.bool_],
    opened: Open,
) -> list[Lasting]:
    """The parts that the graph cuts its state into, as far as they last."""
    if not differs.any():
        return []
    takers = graph.consumers(STATE)
    joins = [node for node in graph.nodes if NEXT in node.outputs]
    if any(node.type != "Slice" for node in takers) or [node.type for node in joins] != ["Concat"]:
        raise ModelError("its state is not cut into slices and joined again")
    # What a slice takes shows in a state that is counted through.
    slices = [node.outputs[0] for node in takers]
    session = opened(graph.cut({STATE: inputs[STATE]}, slices))
    counted = np.arange(len(differs), dtype=np.float32)[None]
    places = [each[0].astype(int) for each in session.run(slices, {STATE: counted})]
    parts = list(joins[0].inputs)
    session = opened(graph.cut(inputs, parts))
    ends = np.cumsum([shape[0] for shape in _shapes(session, inputs, parts).values()]).tolist()
    stands = {(begin, end): name for begin, end, name in zip([0, *ends], ends, parts, strict=False)}
    found = []
    for name, place in zip(slices, places, strict=True):
        begin, end = int(place[0]), int(place[-1]) + 1
        if not differs[begin:end].any():
            continue
        if (begin, end) not in stands:
            raise ModelError("its state is joined in other parts than it is cut into")
        found.append(Lasting(begin, end, name, stands[begin, end]))
    if sum(int(differs[each.begin : each.end].sum()) for each in found) != differs.sum():
        raise ModelError("what lasts is in no part of its state")
    return found


def _after(graph: Graph, tensors: Collection[str]) -> set[str]:
    """All that is made of ``tensors``, themselves included; nodes stand in their order."""
    found = set(tensors)
    for node in graph.nodes:
        if found & set(node.inputs):
            found |= set(node.outputs)
    return found


def _shapes(
    session: InferenceSession, inputs: Mapping[str, tuple[int, ...]], names: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """The shape of each output after its first dimension."""
    zeros = {name: np.zeros((1, *shape), np.float32) for name, shape in inputs.items()}
    made = session.run(list(names), {each.name: zeros[each.name] for each in session.get_inputs()})
    return {name: array.shape[1:] for name, array in zip(names, made, strict=True)}


def _proved(made: Stretch, metadata: ModelMetadata, step: Step) -> bool:
    """Does it say what single steps do, on a stretch that begins in the middle of another?"""
    state = np.zeros((1, metadata.state_size), np.float32)
    for audio in _noise(metadata, HEARD, 1, 3):
        state = step(audio, state)[2]
    heard, begun = _noise(metadata, PROVED * LEADS * made.lead, 1, 4), state[0]
    tail = metadata.front_end.n_fft - metadata.front_end.hop_length
    samples = np.concatenate((begun[:tail], heard.reshape(-1)))
    joined = as_strided(samples, (len(heard), tail + metadata.hop), (4 * metadata.hop, 4))
    logits, logmel = [], []
    for audio in heard:
        said, frames, state = step(audio, state)
        logits.append(said[0])
        logmel.append(frames[0])
    ours = made.run(joined, np.stack(logmel), begun)
    return all(
        float(np.abs(one - other).max()) <= TOLERANCE * max(1.0, float(np.abs(other).max()))
        for one, other in zip(ours, (np.stack(logits), state[0]), strict=True)
    )


def _bound(
    session: InferenceSession, inputs: Mapping[str, Floats], outputs: Mapping[str, Floats]
) -> Any:
    """Always the same memory: nothing is copied."""
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for name, array in outputs.items():
        binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    return binding
