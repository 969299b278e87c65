"""A model file is one file: what lies outside of it is never read."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from genred.errors import ModelError
from genred.model.session import load_model
from rigs import tiny_model


@pytest.mark.parametrize("where", ["beside", "absolute", "above"])
def test_weights_outside_of_the_file_are_refused(tmp_path, monkeypatch, where):
    folder = tmp_path / "model"
    folder.mkdir()
    weights = (tmp_path if where == "above" else folder) / "weights.bin"
    weights.write_bytes(np.array([[8.0, -8.0, 0.0]], np.float32).tobytes())
    location = {"beside": "weights.bin", "absolute": str(weights), "above": "../weights.bin"}[where]
    model = tiny_model.build()
    tensor = next(each for each in model.graph.initializer if each.name == "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    monkeypatch.chdir(folder)
    with pytest.raises(ModelError, match="keeps some of its data in other files"):
        load_model(tiny_model.write(folder / "model.onnx", model))
