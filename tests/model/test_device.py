"""States that stay on a device: the same code, on the CPU provider."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from genred.analysis import Analyser
from genred.model.device import DeviceStream, masked
from genred.model.session import FILE_NAME, Model, load_model, shipped_model
from genred.settings.judgement import JudgementSettings

DATA = (shipped_model() / FILE_NAME).read_bytes()


@pytest.fixture(scope="module")
def shipped():
    return load_model()


@pytest.fixture(scope="module")
def session(shipped):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        masked(DATA, shipped.metadata), options, providers=["CPUExecutionProvider"]
    )


def noise(meta, *shape):
    rng = np.random.default_rng(7)
    return (0.1 * rng.standard_normal((*shape, meta.hop))).astype(np.float32)


def test_the_masked_model_is_a_valid_one(shipped):
    model = onnx.load_from_string(masked(DATA, shipped.metadata))
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.output] == ["logits", "logmel", "state_after"]


def test_feeds_that_are_late_begin_anew_or_move_are_as_on_the_host(shipped, session):
    """Any rows, resets before a row is ready again, and rows taken on into another arrangement."""
    meta, feeds = shipped.metadata, 6
    rng = np.random.default_rng(0)
    device = DeviceStream(session, meta, feeds, "cpu")
    host = shipped.stream(feeds)
    sound = noise(meta, 30, feeds)
    for step, audio in enumerate(sound):
        count = len(audio)
        rows = np.sort(rng.permutation(count)[: rng.integers(1, count + 1)])
        if step % 4 == 3:
            row = int(rng.integers(0, count))
            device.reset(row)
            host.reset(row)
        if step == 15:
            for stream in (device, host):
                stream.arrange([4, None, 0, 1, 2, 5])
        device.inbox[: len(rows)] = audio[rows]
        host.inbox[: len(rows)] = audio[rows]
        ours, frames = device.step(rows)
        theirs, expected = host.step(rows)
        np.testing.assert_allclose(frames, expected, atol=4e-4)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_one_row_through_a_file_is_as_on_the_host(shipped, session):
    sound = noise(shipped.metadata, 6)
    device = DeviceStream(session, shipped.metadata, 2, "cpu")
    ours, frames = device.run(1, sound)
    theirs, expected = shipped.stream(2).run(1, sound)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    np.testing.assert_allclose(frames, expected, atol=4e-4)


def test_feeds_are_judged_alike_on_device_and_host(shipped, session, monkeypatch):
    """Through the analyser, pictures left where they are."""
    meta, by = shipped.metadata, [JudgementSettings()] * 3
    host = Analyser(shipped, by)

    def resident(self, feeds, *, pictures):
        return DeviceStream(session, meta, feeds, "cpu", pictures=pictures)

    monkeypatch.setattr(Model, "stream", resident)
    device = Analyser(shipped, by, pictures=False)
    hop_s = meta.hop / meta.sample_rate
    for step, audio in enumerate(noise(meta, 8, 3)):
        ends = [(step + 1) * hop_s] * 3
        ours, theirs = (each.step([0, 1, 2], audio, ends) for each in (device, host))
        for mine, other in zip(ours, theirs, strict=True):
            assert not mine.logmel.any()
            assert (mine.smoothed is None) == (other.smoothed is None)
            if mine.smoothed is not None:
                np.testing.assert_allclose(mine.smoothed, other.smoothed, atol=1e-3)
