"""Makes a model file small without another result: fewer bits, and tables that are computed.

Weights are rounded to 16 or 8 bits *before* the network is judged and compared, so that what is
written is what was measured; onnxruntime widens them once, when it loads the file. The cosines of
the Fourier transform are written as the formula that they are, and computed then as well.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils import fusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred_train.export.spectrum import FoldedLogMel
    from genred_train.networks.base import Network
    from genred_train.recipe import Weights

# Smaller tensors are not worth a node.
_LEAST = 256

# What 8 bits hold, to either side; and 2 to the number of a scale's own bits.
_STEPS = 127
_SCALE_BITS = np.float32(2**12)


def rounded(network: Network, weights: Weights) -> Network:
    """A copy for judging and export: batch normalisation folded in, large tensors rounded.

    With ``float32`` nothing is rounded. In ``int8`` each output channel of a matrix or a kernel has
    a scale, its largest number by 127; what has one dimension has 16 bits then. Standardisation of
    the input and all that is smaller than a few hundred numbers stay as they are.
    """
    copied: Network = copy.deepcopy(network).cpu().eval()
    copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # for modules
    for module in list(copied.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.numel() < _LEAST or weights == "float32":
                continue
            if weights == "int8" and parameter.ndim > 1:
                parameter.copy_(torch.from_numpy(_in_steps(parameter.numpy())))
            else:
                parameter.copy_(parameter.half().float())
    return copied


def _in_steps(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``values`` ``[channels, ...]`` rounded to whole steps of each channel's scale."""
    rows = values.reshape(len(values), -1)
    scale = np.abs(rows).max(axis=1, keepdims=True) / np.float32(_STEPS)
    scale[scale == 0] = 1
    # Scales of few bits: their multiples are then exact, and can be told from the numbers alone.
    fraction, exponent = np.frexp(scale)
    scale = np.ldexp(np.rint(fraction * _SCALE_BITS) / _SCALE_BITS, exponent)
    steps = np.clip(np.rint(rows / scale), -_STEPS, _STEPS)
    return np.asarray((steps * scale).reshape(values.shape), np.float32)


def _fold(layers: nn.Sequential) -> None:
    """Fold each batch normalisation into the convolution or linear layer before it."""
    for number in range(len(layers) - 1):
        before, after = layers[number], layers[number + 1]
        if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
            layers[number] = fusion.fuse_conv_bn_eval(before, after)
            layers[number + 1] = nn.Identity()
        elif isinstance(before, nn.Linear) and isinstance(after, nn.BatchNorm1d):
            layers[number] = fusion.fuse_linear_bn_eval(before, after)
            layers[number + 1] = nn.Identity()


def narrow(model: ModelProto) -> None:
    """Write each large tensor in the fewest bits that lose nothing, with nodes that widen it."""
    graph = model.graph
    nodes, kept = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _LEAST:
            kept.append(tensor)
            continue
        name = tensor.name
        stepped = _steps_of(values)
        if stepped is not None:
            steps, scale = stepped
            kept.append(numpy_helper.from_array(steps, f"{name}.steps"))
            kept.append(numpy_helper.from_array(scale, f"{name}.scale"))
            whole = helper.make_node(
                "Cast", [f"{name}.steps"], [f"{name}.whole"], to=TensorProto.FLOAT
            )
            # Not DequantizeLinear: onnxruntime would compute that anew in every step.
            nodes += [whole, helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name])]
        elif np.array_equal(values.astype(np.float16).astype(np.float32), values):
            kept.append(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        else:
            kept.append(tensor)
    _replace(model, kept, nodes)


def _steps_of(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    """Whole steps, and the scale along one axis that they are of; None where there are none."""
    for axis in range(values.ndim if values.ndim > 1 else 0):
        others = tuple(n for n in range(values.ndim) if n != axis)
        scale = np.abs(values).max(axis=others, keepdims=True) / np.float32(_STEPS)
        scale[scale == 0] = 1
        steps = np.rint(values / scale)
        if np.array_equal((steps * scale).astype(np.float32), values):
            return steps.astype(np.int8), scale
    return None


def compute_tables(model: ModelProto, front_end: FoldedLogMel, prefix: str) -> None:
    """Write the tables of cosines as formulas: of whole numbers, exact, then rounded to 32 bits.

    ``prefix`` is what the graph calls the front end.
    """
    size = front_end.settings.n_fft
    made: list[onnx.NodeProto] = []
    constants: dict[str, TensorProto] = {}
    tables = {f"{prefix}.{name}": table for name, table in front_end.tables().items()}

    def constant(name: str, values: NDArray[Any]) -> str:
        constants[name] = numpy_helper.from_array(values, name)
        return name

    for name, (rows, columns, function) in tables.items():
        if not any(tensor.name == name for tensor in model.graph.initializer):
            continue
        row = constant(f"{name}.rows", rows.astype(np.int64)[:, None])
        column = constant(f"{name}.columns", columns.astype(np.int64)[None, :])
        whole = constant("turn", np.array(size, np.int64))
        turn = constant("radians", np.array(2 * math.pi / size, np.float64))
        steps = [
            ("Mul", [row, column], f"{name}.product", {}),
            ("Mod", [f"{name}.product", whole], f"{name}.place", {}),
            ("Cast", [f"{name}.place"], f"{name}.wide", {"to": TensorProto.DOUBLE}),
            ("Mul", [f"{name}.wide", turn], f"{name}.angle", {}),
            (function, [f"{name}.angle"], f"{name}.value", {}),
            ("Cast", [f"{name}.value"], name, {"to": TensorProto.FLOAT}),
        ]
        made += [helper.make_node(kind, given, [out], **more) for kind, given, out, more in steps]
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in tables]
    _replace(model, [*kept, *constants.values()], made)


def _replace(model: ModelProto, kept: list[TensorProto], first: list[onnx.NodeProto]) -> None:
    """Give the graph other initialisers, and nodes that come before all others."""
    graph = model.graph
    nodes = [*first, *graph.node]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(rest)
