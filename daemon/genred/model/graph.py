"""Cutting an ONNX graph open at some of its tensors, without the ``onnx`` package.

onnxruntime feeds nothing but a graph's own inputs. To enter one further down, its file is copied
field by field, leaving out what is then no longer needed, and the tensor becomes an input. Only the
few fields of ``onnx.proto`` that name tensors are understood, all others pass as they are (Protocol
Buffers, "Encoding": keys, varints, lengths). The package would cost 30 MB of memory for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from genred.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FEEDS: Final = "feeds"
"""What the free first dimension of every input is called."""

# Numbers of fields in onnx.proto.
_MODEL_GRAPH: Final = 7
_GRAPH_NODE, _GRAPH_INITIALISER, _GRAPH_SPARSE = 1, 5, 15
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_GRAPHS: Final = frozenset({6, 11})
_TENSOR_NAME: Final = 8
_VALUE_NAME: Final = 1
FLOAT: Final = 1
BOOL: Final = 9

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: its type and the names of the tensors it takes and makes."""

    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nested: bool = False
    """Does it hold a graph of its own (``If``, ``Loop``), which may use any tensor."""


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor that goes in or out; its first dimension is free."""

    name: str
    shape: tuple[int, ...]
    """After the first dimension."""
    type: int = 1
    """Of ``TensorProto.DataType``."""


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    value: memoryview
    """The payload, without key and length."""
    whole: memoryview
    """As it stands in the file."""


class Graph:
    """The graph of a serialised model, as far as names go."""

    def __init__(self, data: bytes) -> None:
        """Read the model's bytes; raises :class:`ModelError` where they are no such message."""
        self._model = tuple(_fields(memoryview(data)))
        graphs = [field for field in self._model if field.number == _MODEL_GRAPH]
        if len(graphs) != 1:
            raise ModelError("this is no ONNX model: it has no graph")
        self._fields = tuple(_fields(graphs[0].value))
        self._nodes = [
            (_node(field.value), field) for field in self._fields if field.number == _GRAPH_NODE
        ]
        self.nodes = tuple(node for node, _ in self._nodes)
        self._maker = {name: node for node in self.nodes for name in node.outputs}

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that take ``tensor``."""
        return tuple(node for node in self.nodes if tensor in node.inputs)

    def needs(self, tensors: Sequence[str], given: frozenset[str] = frozenset()) -> frozenset[str]:
        """All tensors that ``tensors`` are made of, themselves included, as far as ``given``."""
        found: set[str] = set()
        wanted = list(tensors)
        while wanted:
            name = wanted.pop()
            if name in found:
                continue
            found.add(name)
            if name not in given and name in self._maker:
                wanted.extend(each for each in self._maker[name].inputs if each)
        return frozenset(found)

    def cut(self, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> bytes:
        """The model between ``inputs`` and ``outputs``, serialised.

        ``inputs`` gives each its shape after the first dimension, float32; ``outputs`` are any of
        its tensors, float32 too. What nothing leads to any more is left out.

        Raises :class:`ModelError` where the outputs need more than these inputs, or nodes hold
        graphs of their own.
        """
        if any(node.nested for node in self.nodes):
            raise ModelError("its graph holds others inside nodes")
        needed = self.needs(outputs, frozenset(inputs))
        own = {_name(each.value, _VALUE_NAME) for each in self._of(_GRAPH_INPUT)}
        if missing := (needed & own) - set(inputs):
            raise ModelError(f"its outputs need {', '.join(sorted(missing))} as well")
        kept: list[bytes | memoryview] = []
        for field in self._fields:
            match field.number:
                case n if n == _GRAPH_NODE:
                    continue
                case n if n == _GRAPH_INITIALISER:
                    keep = _name(field.value, _TENSOR_NAME) in needed - set(inputs)
                case n if n == _GRAPH_OUTPUT:
                    keep = _name(field.value, _VALUE_NAME) in outputs
                case n:
                    keep = n not in {_GRAPH_INPUT, _GRAPH_VALUE, _GRAPH_SPARSE}
            if keep:
                kept.append(field.whole)
        for node, field in self._nodes:
            made = set(node.outputs)
            if made & needed and not made & set(inputs):
                kept.append(field.whole)
        kept += [_message(_GRAPH_INPUT, _value(name, shape)) for name, shape in inputs.items()]
        told = {_name(each.value, _VALUE_NAME) for each in self._of(_GRAPH_OUTPUT)}
        kept += [_message(_GRAPH_OUTPUT, _shapeless(name)) for name in outputs if name not in told]
        graph = b"".join(kept)
        model = [field.whole for field in self._model if field.number != _MODEL_GRAPH]
        return b"".join([*model, _message(_MODEL_GRAPH, graph)])

    def wrapped(
        self,
        inputs: Sequence[Input],
        outputs: Sequence[Input],
        before: Sequence[Node],
        after: Sequence[Node],
        zeros: Sequence[str],
    ) -> bytes:
        """The whole model with some nodes before and after its own, serialised.

        ``inputs`` and ``outputs`` take the place of the graph's; ``zeros`` are single numbers 0.
        """
        own: list[bytes | memoryview] = [
            field.whole
            for field in self._fields
            if field.number not in {_GRAPH_NODE, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE}
        ]
        nodes: list[bytes | memoryview] = [_message(_GRAPH_NODE, _written(node)) for node in before]
        nodes += [field.whole for _, field in self._nodes]
        nodes += [_message(_GRAPH_NODE, _written(node)) for node in after]
        values = [
            _message(_GRAPH_INPUT, _value(each.name, each.shape, each.type)) for each in inputs
        ]
        values += [
            _message(_GRAPH_OUTPUT, _value(each.name, each.shape, each.type)) for each in outputs
        ]
        constants = [_message(_GRAPH_INITIALISER, _zero(name)) for name in zeros]
        graph = b"".join([*own, *nodes, *constants, *values])
        model = [field.whole for field in self._model if field.number != _MODEL_GRAPH]
        return b"".join([*model, _message(_MODEL_GRAPH, graph)])

    def _of(self, number: int) -> list[_Field]:
        return [field for field in self._fields if field.number == number]


def _fields(data: memoryview) -> Iterator[_Field]:
    position, end = 0, len(data)
    while position < end:
        start = position
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            begin = position
            _, position = _varint(data, position)
        elif kind == _BYTES:
            length, begin = _varint(data, position)
            position = begin + length
        elif kind in {_FIXED64, _FIXED32}:
            begin = position
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ModelError(f"this is no ONNX model: wire type {kind}")
        if position > end:
            raise ModelError("this is no ONNX model: it ends too soon")
        yield _Field(key >> 3, data[begin:position], data[start:position])


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ModelError("this is no ONNX model: it ends too soon")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _node(data: memoryview) -> Node:
    inputs, outputs, kind, nested = [], [], "", False
    for field in _fields(data):
        if field.number == _NODE_INPUT:
            inputs.append(_text(field.value))
        elif field.number == _NODE_OUTPUT:
            outputs.append(_text(field.value))
        elif field.number == _NODE_TYPE:
            kind = _text(field.value)
        elif field.number == _NODE_ATTRIBUTE:
            nested = nested or any(
                each.number in _ATTRIBUTE_GRAPHS for each in _fields(field.value)
            )
    return Node(kind, tuple(inputs), tuple(outputs), nested)


def _name(data: memoryview, number: int) -> str:
    return next((_text(each.value) for each in _fields(data) if each.number == number), "")


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", "replace")


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _message(number: int, payload: bytes) -> bytes:
    return _number(number << 3 | _BYTES) + _number(len(payload)) + payload


def _value(name: str, shape: Sequence[int], kind: int = FLOAT) -> bytes:
    """A ``ValueInfoProto``: a tensor ``[feeds, *shape]``."""
    dimensions = [_message(2, FEEDS.encode())] + [_number(1 << 3) + _number(n) for n in shape]
    sizes = b"".join(_message(1, each) for each in dimensions)
    tensor = _number(1 << 3) + _number(kind) + _message(2, sizes)
    return _message(1, name.encode()) + _message(2, _message(1, tensor))


def _shapeless(name: str) -> bytes:
    """A ``ValueInfoProto``: a tensor, float32, whose shape is left to be inferred."""
    return _message(1, name.encode()) + _message(2, _message(1, _number(1 << 3) + _number(FLOAT)))


def _written(node: Node) -> bytes:
    """A ``NodeProto`` without attributes."""
    fields = [_message(_NODE_INPUT, name.encode()) for name in node.inputs]
    fields += [_message(_NODE_OUTPUT, name.encode()) for name in node.outputs]
    return b"".join([*fields, _message(_NODE_TYPE, node.type.encode())])


def _zero(name: str) -> bytes:
    """A ``TensorProto``: the number 0, float32, without dimensions."""
    return (
        _number(2 << 3)
        + _number(FLOAT)
        + _message(_TENSOR_NAME, name.encode())
        + _message(9, bytes(4))
    )
