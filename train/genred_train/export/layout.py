"""Lays time out before bands, so that what a step keeps and joins lies together in memory.

PyTorch's pictures are ``[batch, channels, bands, frames]``. A streamed network cuts off and joins
frames at every stage; with frames innermost that copies two numbers here and five there, thousands
of times a step, and costs as much as the convolutions. With time and bands swapped the same frames
are a few long rows. The arithmetic is the same; so is the length of the state, but the order of
numbers within it is another.

Only graphs of operators that are understood are changed, the others are left as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

from genred.errors import InternalError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIKE: Final = frozenset({"Relu", "Sigmoid", "Tanh", "Clip", "Add", "Sub", "Mul"})
"""What works number by number, whatever the order."""

SWAP: Final = {2: 3, 3: 2}

TOLERANCE: Final = 1e-4
"""Logits of both may differ by this much, relative to the largest if that is above 1: sums are
added up in another order."""

STEPS_TRIED: Final = 6


class _NotUnderstood(Exception):  # noqa: N818 - no fault: the graph is then left as it is
    pass


def time_first(model: ModelProto) -> ModelProto:
    """The same model with time before bands, or ``model`` itself where that cannot be done.

    Raises :class:`InternalError` where the two do not come to the same logits.
    """
    try:
        changed = _Swapped(model).model
    except _NotUnderstood:
        return model
    onnx.checker.check_model(changed, full_check=True)
    ours, theirs = _listen(changed), _listen(model)
    difference = float(np.abs(ours - theirs).max()) / max(1.0, float(np.abs(theirs).max()))
    if not difference <= TOLERANCE:
        raise InternalError(f"laying time out first changes logits by {difference:.2g}")
    return changed


class _Swapped:
    """Walks through the nodes in their order and swaps the last axes of all pictures."""

    def __init__(self, model: ModelProto) -> None:
        self.model = ModelProto()
        self.model.CopyFrom(model)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        self._shapes = {
            value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            for value in (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input)
        }
        self._constants = {t.name: t for t in self.model.graph.initializer}
        self._shapes |= {name: tuple(t.dims) for name, t in self._constants.items()}
        self._state_only = self._leading_to_state_alone()
        self._swapped: set[str] = set()
        nodes = list(self.model.graph.node)
        del self.model.graph.node[:]
        for node in nodes:
            self._node(node)
            self.model.graph.node.append(node)
        if not self._swapped:
            raise _NotUnderstood
        del self.model.graph.value_info[:]
        _drop_unused(self.model)

    def _leading_to_state_alone(self) -> set[str]:
        """Tensors that go into the next state and nowhere else."""
        found = {"next_state"}
        takers: dict[str, list[NodeProto]] = {}
        for node in self.model.graph.node:
            for name in node.input:
                takers.setdefault(name, []).append(node)
        for node in reversed(self.model.graph.node):
            if node.op_type in {"Concat", "Reshape"} and set(node.output) <= found:
                found |= {name for name in node.input if all(each is node for each in takers[name])}
        return found

    def _node(self, node: NodeProto) -> None:
        taken = [name for name in node.input if name in self._swapped]
        shape = self._shapes.get(node.output[0], ())
        match node.op_type:
            case "Unsqueeze" if not taken and self._is_picture(node, shape):
                node.input[0] = self._transposed(node.input[0], (0, 2, 1))
            case "Reshape" if not taken and len(shape) == 4 and self._of_state(node.input[0]):
                sizes = self._values(node.input[1]).tolist()
                sizes[2], sizes[3] = sizes[3], sizes[2]
                node.input[1] = self._constant(np.array(sizes, np.int64), node.input[1])
            case "Reshape" if taken:
                self._flattened(node)
                return
            case _ if not taken:
                return
            case kind if kind in ALIKE:
                self._others(node)
            case "Conv":
                self._convolution(node)
            case "Concat":
                self._others(node)
                axis = next(a for a in node.attribute if a.name == "axis")
                axis.i = SWAP.get(axis.i, axis.i)
            case "Slice":
                axes = self._values(node.input[3])
                node.input[3] = self._constant(
                    np.array([SWAP.get(int(axis), int(axis)) for axis in axes], np.int64),
                    node.input[3],
                )
            case _:
                raise _NotUnderstood
        if any(name in {o.name for o in self.model.graph.output} for name in node.output):
            raise _NotUnderstood
        self._swapped.update(node.output)

    def _is_picture(self, node: NodeProto, shape: tuple[int, ...]) -> bool:
        """Does it make ``[batch, 1, bands, frames]`` of ``[batch, bands, frames]``?"""
        return len(shape) == 4 and self._values(node.input[1]).tolist() == [1]

    def _of_state(self, name: str) -> bool:
        """Is it cut out of the state?"""
        makers = {output: node for node in self.model.graph.node for output in node.output}
        node = makers.get(name)
        return node is not None and node.op_type == "Slice" and node.input[0] == "state"

    def _others(self, node: NodeProto) -> None:
        """Whatever a picture is joined with must be one too, or a single number."""
        for name in node.input:
            shape = self._shapes.get(name)
            if name and name not in self._swapped and (shape is None or len(shape) > 0):
                raise _NotUnderstood

    def _convolution(self, node: NodeProto) -> None:
        if node.input[0] not in self._swapped or len(self._shapes[node.input[1]]) != 4:
            raise _NotUnderstood
        weight = self._constants.get(node.input[1])
        if weight is None:
            # Weights that are computed from smaller ones; onnxruntime does that once.
            node.input[1] = self._transposed(node.input[1], (0, 1, 3, 2))
        else:
            values = numpy_helper.to_array(weight).swapaxes(2, 3)
            node.input[1] = self._constant(np.ascontiguousarray(values), node.input[1])
        for attribute in node.attribute:
            if attribute.name in {"kernel_shape", "strides", "dilations"}:
                attribute.ints[:] = attribute.ints[::-1]
            elif attribute.name == "pads":
                top, left, bottom, right = attribute.ints
                attribute.ints[:] = [left, top, right, bottom]
            elif attribute.name == "auto_pad" and attribute.s != b"NOTSET":
                raise _NotUnderstood

    def _flattened(self, node: NodeProto) -> None:
        """A picture becomes a row of numbers: in any order where it is kept for the next step."""
        shape = self._shapes[node.input[0]]
        kept = set(node.output) <= self._state_only
        if not kept and 1 not in shape[2:]:
            node.input[0] = self._transposed(node.input[0], (0, 1, 3, 2))

    def _transposed(self, name: str, order: tuple[int, ...]) -> str:
        made = f"{name}_time_first_{len(self.model.graph.node)}"
        self.model.graph.node.append(
            helper.make_node("Transpose", [name], [made], name=made, perm=list(order))
        )
        return made

    def _values(self, name: str) -> NDArray[np.int64]:
        if name not in self._constants:
            raise _NotUnderstood
        values: NDArray[np.int64] = numpy_helper.to_array(self._constants[name])
        return values

    def _constant(self, values: NDArray[np.generic], like: str) -> str:
        """A constant of its own: others may share the one it takes the place of."""
        name = f"{like}_time_first_{len(self.model.graph.node)}"
        tensor = numpy_helper.from_array(values, name)
        self.model.graph.initializer.append(tensor)
        self._constants[name] = tensor
        self._shapes[name] = tuple(values.shape)
        return name


def _drop_unused(model: ModelProto) -> None:
    """Take constants out of ``model`` that no node takes any more."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _listen(model: ModelProto) -> NDArray[np.float32]:
    """Logits ``[steps, feeds, labels]`` of some noise."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    sizes = {each.name: each.shape[1] for each in session.get_inputs()}
    generator = np.random.default_rng(0)
    state = np.zeros((2, sizes["state"]), np.float32)
    heard = []
    for _ in range(STEPS_TRIED):
        audio = (0.2 * generator.standard_normal((2, sizes["audio"]))).astype(np.float32)
        logits, state = session.run(("logits", "next_state"), {"audio": audio, "state": state})
        heard.append(logits)
    return np.stack(heard)
