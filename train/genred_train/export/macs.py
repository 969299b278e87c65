"""Counts the multiply-adds of a graph, node by node, from the shapes in the graph itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto

_Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Macs:
    """Multiply-adds of one step of one feed."""

    front_end: int
    network: int


def count(model: ModelProto) -> Macs:
    """Count the multiply-adds of one step of one feed.

    What the output ``logmel`` depends on is the front end, the rest is the network. Counted are
    ``Conv``, ``MatMul``, ``Gemm`` and, one a number, ``Mul`` of two tensors; additions, ReLU,
    pooling and logarithms are not multiply-adds. A recurrent layer (``GRU``, ``LSTM``) counts
    its matrix products. What depends on no input is not counted. Raises ``ValueError`` for a node
    whose shapes the graph does not tell.
    """
    single = ModelProto()
    single.CopyFrom(model)
    for value in (*single.graph.input, *single.graph.output):
        dimension = value.type.tensor_type.shape.dim[0]
        dimension.Clear()
        dimension.dim_value = 1
    del single.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(single, strict_mode=True, data_prop=True)
    shapes = _shapes(inferred)
    front = _ancestors(inferred, "logmel")
    counts = {True: 0, False: 0}
    live = _live(inferred)
    for position, node in enumerate(inferred.graph.node):
        if position in live:
            counts[position in front] += _node(node, shapes)
    return Macs(front_end=counts[True], network=counts[False])


def _live(model: ModelProto) -> set[int]:
    """Nodes that depend on an input; onnxruntime computes the others once, when it loads."""
    known = {value.name for value in model.graph.input}
    found: set[int] = set()
    for position, node in enumerate(model.graph.node):
        if known.intersection(node.input):
            known.update(node.output)
            found.add(position)
    return found


def _shapes(model: ModelProto) -> dict[str, _Shape]:
    shapes: dict[str, _Shape] = {}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    for tensor in model.graph.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
    return shapes


def _ancestors(model: ModelProto, name: str) -> set[int]:
    maker = {
        output: position for position, node in enumerate(model.graph.node) for output in node.output
    }
    found: set[int] = set()
    wanted = [name]
    while wanted:
        position = maker.get(wanted.pop())
        if position is not None and position not in found:
            found.add(position)
            wanted.extend(model.graph.node[position].input)
    return found


def _node(node: NodeProto, shapes: dict[str, _Shape]) -> int:
    def shape(name: str) -> _Shape:
        known = shapes.get(name)
        if known is None or 0 in known:
            raise ValueError(f"the shape of {name!r} at node {node.name!r} is not known")
        return known

    match node.op_type:
        case "Conv":
            # weight: [out, in / groups, *kernel]
            return math.prod(shape(node.output[0])) * math.prod(shape(node.input[1])[1:])
        case "MatMul":
            return math.prod(shape(node.output[0])) * shape(node.input[0])[-1]
        case "Gemm":
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            inner = shape(node.input[0])[0 if transposed else -1]
            return math.prod(shape(node.output[0])) * inner
        case "Mul":
            return math.prod(shape(node.output[0]))
        case "GRU" | "LSTM":
            steps = shape(node.input[0])[0]
            matrices = math.prod(shape(node.input[1])) + math.prod(shape(node.input[2]))
            return steps * matrices
        case _:
            return 0
