"""Loading a model file, and refusing with a clear line what does not fit."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from genred.errors import InputError, ModelError, UnavailableError
from genred.model.metadata import ModelMetadata
from genred.model.session import load_model, shipped_model
from rigs import tiny_model


@pytest.fixture
def tiny(tmp_path):
    return tiny_model.write(tmp_path / "model.onnx")


def test_a_file_and_its_folder_load_alike(tiny):
    for path in (tiny, tiny.parent):
        model = load_model(path)
        assert model.metadata.label_names == ("rock", "speech", "noise")
        assert model.provider == "cpu"


@pytest.mark.parametrize("feeds", [1, 3, 17])
def test_rows_of_a_batch_do_not_touch_each_other(tiny, feeds):
    model = load_model(tiny)
    rng = np.random.default_rng(feeds)
    audio = rng.standard_normal((feeds, tiny_model.HOP)).astype(np.float32)
    state = rng.standard_normal((feeds, 3)).astype(np.float32)
    together = model.step(audio, state)
    for row in range(feeds):
        alone = model.step(audio[row : row + 1], state[row : row + 1])
        for mine, ours in zip(alone, together, strict=True):
            np.testing.assert_allclose(mine[0], ours[row], rtol=1e-5, atol=1e-6)


def test_temperature_flattens_and_rows_sum_to_one(tmp_path):
    hot = tiny_model.metadata(calibration={"temperature": 4.0})
    model = load_model(tiny_model.write(tmp_path / "hot.onnx", tiny_model.build(hot)))
    logits = np.array([[4.0, 0.0, 0.0], [800.0, 0.0, -800.0]], np.float32)
    values = model.probabilities(logits)
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(values[0, 0] / values[0, 1], np.e, rtol=1e-5)
    assert values[1, 0] == 1.0


def test_the_metadata_survives_the_round_trip():
    meta = tiny_model.metadata()
    assert ModelMetadata.from_json(meta.to_json()) == meta


def changed(key, value):
    """The metadata's JSON with one field replaced, past all checks."""
    data = json.loads(tiny_model.metadata().to_json())
    data[key] = value
    return json.dumps(data)


def with_metadata(text):
    model = tiny_model.build()
    model.metadata_props[0].value = text
    return model


def without_metadata():
    model = tiny_model.build()
    del model.metadata_props[:]
    return model


def with_input_shape(*shape):
    model = tiny_model.build()
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("audio", TensorProto.FLOAT, list(shape))
    )
    return model


def with_other_names():
    model = tiny_model.build()
    model.graph.output[0].name = model.graph.node[5].output[0] = "verdict"
    return model


REFUSED = {
    "no metadata": (without_metadata, "not one of genred's"),
    "not JSON": (lambda: with_metadata("{"), "Invalid JSON"),
    "a newer format": (lambda: with_metadata(changed("format_version", 2)), "format version 2"),
    "another format": (lambda: with_metadata(changed("format", "bird-model")), "format"),
    "no rate": (lambda: with_metadata(changed("sample_rate", 0)), "sample_rate"),
    "an unknown key": (lambda: with_metadata(changed("colour", "blue")), "colour"),
    "one label": (lambda: with_metadata(changed("labels", [])), "labels"),
    "another hop": (lambda: with_metadata(changed("hop", 800)), "input audio"),
    "a hop of broken frames": (lambda: with_metadata(changed("hop", 410)), "whole number"),
    "a fixed batch": (lambda: with_input_shape(1, tiny_model.HOP), "input audio"),
    "other names": (with_other_names, "outputs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_its_reason(case, tmp_path):
    make, reason = REFUSED[case]
    path = tiny_model.write(tmp_path / "odd.onnx", make())
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_that_are_genreds_own_words_are_refused():
    with pytest.raises(ValueError, match="silence"):
        tiny_model.metadata(
            labels=({"name": "silence", "kind": "noise"}, {"name": "rock", "kind": "music"})
        )


def test_values_that_are_no_numbers_are_refused(tmp_path):
    path = tiny_model.write(tmp_path / "nan.onnx", tiny_model.build(weight=float("nan")))
    with pytest.raises(ModelError, match="finite"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"RIFF1234WAVE", b"<html></html>"])
def test_a_file_that_is_not_onnx_is_refused(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        load_model(path)


def test_a_sparse_file_of_10_gb_is_refused_unread(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(ModelError, match="too large"):
        load_model(path)


def test_no_file_is_missing_input(tmp_path):
    for path in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(InputError, match="no model at"):
            load_model(path)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here"
)
def test_cuda_is_never_replaced_in_silence(tiny):
    with pytest.raises(UnavailableError, match="CUDA"):
        load_model(tiny, provider="cuda")
    assert load_model(tiny, provider="auto").provider == "cpu"


def test_the_shipped_model_hears_one_second_four_times_a_second():
    model = load_model(shipped_model(), feeds=2)
    meta = model.metadata
    assert meta.sample_rate == 16_000
    assert meta.decisions_per_second == 4
    assert meta.window <= 16_000
    assert meta.front_end.f_max < 8_000
    assert len(meta.labels) == 13
    assert {label.kind.value for label in meta.labels} == {"music", "speech", "noise"}
