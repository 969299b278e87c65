"""Laying time out before bands: the same answers, and nothing that is not understood is touched."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch

from genred.model.metadata import FrontEnd
from genred.model.session import FILE_NAME, shipped_model
from genred_train.export.layout import time_first
from genred_train.export.model_file import build_graph
from genred_train.export.step import Step
from genred_train.networks.compact import Options, build
from rigs import tiny_model

FRONT_END = FrontEnd(n_fft=64, hop_length=20, n_mels=16, f_min=0, f_max=800, floor=1e-3)


def logits_of(model, steps=8):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    state = np.zeros((3, session.get_inputs()[1].shape[1]), np.float32)
    heard = []
    for _ in range(steps):
        audio = (0.3 * rng.standard_normal((3, 400))).astype(np.float32)
        logits, _, state = session.run(
            ("logits", "logmel", "next_state"), {"audio": audio, "state": state}
        )
        heard.append(logits)
    return np.stack(heard)


def test_a_streamed_network_answers_alike_in_either_layout():
    """Exported both ways, step by step; frames lie innermost in one and not in the other."""
    torch.manual_seed(0)
    network = build(16, 78, 3, Options(widths=(4, 4, 8, 8, 8, 8))).eval()
    changed = build_graph(Step(network, FRONT_END, 1600, 400))
    # Whoever swaps twice is back where it began.
    plain = time_first(changed)
    np.testing.assert_allclose(logits_of(changed), logits_of(plain), atol=1e-5)

    def axes(model):
        return {
            next(a.i for a in node.attribute if a.name == "axis")
            for node in model.graph.node
            if node.op_type == "Concat"
        }

    assert axes(plain) == {1, 3}
    assert axes(changed) == {1, 2}
    assert len(changed.SerializeToString()) < 1.1 * len(plain.SerializeToString())


def test_a_graph_without_pictures_is_left_as_it_is():
    model = tiny_model.build()
    assert time_first(model) is model


def test_an_operator_that_is_not_understood_leaves_all_as_it_is():
    model = onnx.load(shipped_model() / FILE_NAME)
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Softplus"
    assert time_first(model) is model
