"""A model file of genred's format that a test can steer: it tells the sign of a steady signal.

Three labels: ``rock`` for samples above zero, ``speech`` for those below, ``noise`` for neither.
The window is four hops of 0.25 s at 1600 Hz; its state holds the means of the last three hops.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from genred.model.metadata import (
    METADATA_KEY,
    Calibration,
    FrontEnd,
    LabelInfo,
    ModelMetadata,
    Network,
    Training,
)

RATE = 1600
HOP = 400
MELS = 4
FRAMES = 20


def metadata(**changes) -> ModelMetadata:
    values = {
        "name": "tiny",
        "sample_rate": RATE,
        "hop": HOP,
        "window": 4 * HOP,
        "state_size": 3,
        "front_end": FrontEnd(
            n_fft=40, hop_length=HOP // FRAMES, n_mels=MELS, f_min=0, f_max=800, floor=1e-6
        ),
        "labels": (
            LabelInfo(name="rock", kind="music"),
            LabelInfo(name="speech", kind="speech"),
            LabelInfo(name="noise", kind="noise"),
        ),
        "calibration": Calibration(temperature=1.0),
        "network": Network(
            name="tiny", parameters=6, network_macs_per_step=3, front_end_macs_per_step=HOP
        ),
        "training": Training(data_fingerprint="none", recipe="none", seed=0, created="2026-01-01"),
        "license": "Apache-2.0",
    }
    return ModelMetadata(**(values | changes))


def build(meta: ModelMetadata | None = None, *, weight: float = 8.0) -> onnx.ModelProto:
    """The graph as a protobuf; ``weight`` says how sure it is."""
    meta = meta or metadata()

    def constant(name, values, kind=np.float32):
        return numpy_helper.from_array(np.array(values, kind), name)

    nodes = [
        helper.make_node("ReduceMean", ["audio", "last"], ["mean"], keepdims=1),
        helper.make_node("Concat", ["state", "mean"], ["means"], axis=1),
        helper.make_node("Slice", ["means", "one", "four", "last"], ["next_state"]),
        helper.make_node("ReduceMean", ["means", "last"], ["whole"], keepdims=1),
        helper.make_node("MatMul", ["whole", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
        helper.make_node("Unsqueeze", ["mean", "last"], ["mean3"]),
        helper.make_node("Mul", ["mean3", "ones"], ["logmel"]),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("audio", floats, ["feeds", HOP]),
            helper.make_tensor_value_info("state", floats, ["feeds", 3]),
        ],
        [
            helper.make_tensor_value_info("logits", floats, ["feeds", 3]),
            helper.make_tensor_value_info("logmel", floats, ["feeds", MELS, FRAMES]),
            helper.make_tensor_value_info("next_state", floats, ["feeds", 3]),
        ],
        [
            constant("last", [1], np.int64),
            constant("one", [1], np.int64),
            constant("four", [4], np.int64),
            constant("weights", [[weight, -weight, 0.0]]),
            constant("bias", [0.0, 0.0, weight / 8]),
            constant("ones", np.ones((1, MELS, FRAMES))),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, meta.to_json()
    return model


def write(path, model: onnx.ModelProto | None = None):
    """Write a model file and return its path."""
    path.write_bytes((model or build()).SerializeToString())
    return path
