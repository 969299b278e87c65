"""The CPU's way past the front end gives what the whole graph gives, or is not taken."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx.utils
import onnxruntime
import pytest
import torch

from genred.errors import ModelError
from genred.model.front_end import LogMel, mel_filters
from genred.model.graph import Graph
from genred.model.metadata import FrontEnd
from genred.model.session import FILE_NAME, OUTPUTS, load_model, shipped_model
from genred.model.shortcut import cut
from genred.station.programme import render
from genred_train.front_end import LogMel as Reference
from genred_train.front_end import mel_filters as reference_filters
from rigs import tiny_model

SHIPPED = shipped_model() / FILE_NAME


@pytest.fixture(scope="module")
def shipped():
    return load_model(SHIPPED)


def whole(data):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def sounds(feeds, rate, hop, steps):
    """A radio's music and speech, a tone that is cut off, silence, and noise at all levels."""
    rng = np.random.default_rng(3)
    played = np.stack([render(style, steps * hop / rate, 5, rate) for style in ("metal", "speech")])
    for step in range(steps):
        audio = rng.standard_normal((feeds, hop)) * np.logspace(-5, 0, feeds)[:, None]
        audio[:2] = played[:, step * hop : (step + 1) * hop]
        audio[2] = np.sin(np.arange(hop) * 0.7) * (step % 3)
        audio[3] = 0
        yield audio.astype(np.float32)


def in_64_bits(samples, meta):
    """The natural log-mel of ``samples [feeds, tail + hop]``, by the book."""
    settings = meta.front_end
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.n_fft) / settings.n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(
        samples.astype(np.float64), settings.n_fft, axis=1
    )[:, :: settings.hop_length]
    power = np.abs(np.fft.rfft(frames * window)) ** settings.power
    mel = power @ mel_filters(settings, meta.sample_rate)
    return np.log(mel + settings.floor).transpose(0, 2, 1)


def test_the_shipped_model_takes_it_and_says_the_same(shipped):
    """Over forty steps of every feed: logits within 1e-5 of the largest, and log-mel within 1e-4 of
    what 64 bits make of it. The graph's own is up to 2e-4 away from that."""
    assert shipped.shortened
    reference = whole(SHIPPED.read_bytes())
    feeds, meta = 8, shipped.metadata
    stream, state = shipped.stream(feeds), shipped.new_state(feeds)
    tail = meta.front_end.n_fft - meta.front_end.hop_length
    for audio in sounds(feeds, meta.sample_rate, meta.hop, 40):
        exact = in_64_bits(np.concatenate([state[:, :tail], audio], axis=1), meta)
        logits, logmel, state = reference.run(OUTPUTS, {"audio": audio, "state": state})
        stream.inbox[:feeds] = audio
        ours, frames = stream.step(range(feeds))
        np.testing.assert_allclose(frames, exact, rtol=0, atol=1e-4)
        np.testing.assert_allclose(frames, logmel, rtol=0, atol=4e-4)
        largest = max(1.0, float(np.abs(logits).max()))
        np.testing.assert_allclose(ours / largest, logits / largest, rtol=0, atol=1e-5)


def test_states_of_both_ways_are_alike(shipped):
    """A state that was stepped one way goes on in the other."""
    reference = whole(SHIPPED.read_bytes())
    meta = shipped.metadata
    ours = theirs = shipped.new_state(4)
    for step, audio in enumerate(sounds(4, meta.sample_rate, meta.hop, 6)):
        _, _, one = shipped.step(audio, ours)
        other = reference.run(OUTPUTS, {"audio": audio, "state": theirs})[2]
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)
        ours, theirs = (other, one) if step % 2 else (one, other)


def test_rows_that_are_late_keep_their_place(shipped):
    """Some rows at a time, in any order and beyond one batch, come to what each comes to alone."""
    meta, feeds = shipped.metadata, 40
    rng = np.random.default_rng(2)
    audio = (0.1 * rng.standard_normal((5, feeds, meta.hop))).astype(np.float32)
    expected = []
    state = shipped.new_state(feeds)
    for hop in audio:
        logits, _, state = shipped.step(hop, state)
        expected.append(logits)
    stream, heard = shipped.stream(feeds), np.zeros(feeds, int)
    while (heard < len(audio)).any():
        ready = rng.permutation(np.flatnonzero(heard < len(audio)))
        rows = ready[: rng.integers(1, stream.batch + 1)]
        stream.inbox[: len(rows)] = audio[heard[rows], rows]
        logits, _ = stream.step(rows)
        for position, row in enumerate(rows):
            np.testing.assert_allclose(logits[position], expected[heard[row]][row], atol=1e-4)
        heard[rows] += 1


FRONT_ENDS = {
    "shipped": (16_000, 4000, {}),
    "decibels at 22 kHz": (
        22_050,
        5120,
        {"n_fft": 2048, "hop_length": 512, "n_mels": 128, "f_max": 11_025.0, "log": "decibel"},
    ),
    "Slaney's mel, areas alike": (16_000, 4000, {"mel_scale": "slaney", "norm": "slaney"}),
    "magnitude": (16_000, 1600, {"power": 1.0, "n_fft": 400, "hop_length": 160, "n_mels": 40}),
}


@pytest.mark.parametrize("case", FRONT_ENDS)
def test_log_mel_is_torchaudios(case):
    rate, hop, changes = FRONT_ENDS[case]
    values = {"n_fft": 512, "hop_length": 200, "n_mels": 64, "f_min": 40.0, "f_max": 7200.0}
    settings = FrontEnd(**(values | {"floor": 1e-2} | changes))
    ours = LogMel(settings, rate, hop)
    samples = np.stack(
        [render(style, 1.0, 1, rate)[: ours.tail + hop] for style in ("metal", "jazz", "rain")]
    ).astype(np.float32)
    out = np.empty((3, settings.n_mels, ours.frames), np.float32)
    ours(samples, out)
    expected = Reference(settings, rate)(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-4 * (4.4 if "log" in changes else 1))
    filters = reference_filters(settings, rate).numpy()
    np.testing.assert_allclose(mel_filters(settings, rate), filters, rtol=0, atol=2e-5)


def test_the_cut_is_that_of_the_onnx_package(shipped, tmp_path):
    """The same nodes and weights as ``onnx.utils.extract_model`` keeps, and a valid model."""
    short = cut(SHIPPED.read_bytes(), shipped.metadata)
    mine = onnx.load_from_string(short.model)
    onnx.checker.check_model(mine, full_check=True)
    theirs = tmp_path / "theirs.onnx"
    onnx.utils.extract_model(
        SHIPPED, theirs, [short.samples, "logmel", "state"], ["logits", "next_state"]
    )
    model = onnx.load(theirs)
    assert {node.output[0] for node in mine.graph.node} == {n.output[0] for n in model.graph.node}
    assert {t.name for t in mine.graph.initializer} == {t.name for t in model.graph.initializer}
    assert len(short.model) < SHIPPED.stat().st_size


def test_what_does_not_begin_with_a_front_end_runs_whole(tmp_path):
    assert not load_model(tiny_model.write(tmp_path / "model.onnx")).shortened


@pytest.mark.parametrize("change", [{"floor": 0.02}, {"f_max": 7000.0}, {"log": "decibel"}])
def test_metadata_that_is_wrong_of_its_graph_is_not_believed(change, tmp_path):
    """The graph has the last word: what it computes is what is heard."""
    model = onnx.load(SHIPPED)
    said = json.loads(model.metadata_props[0].value)
    said["front_end"] |= change
    model.metadata_props[0].value = json.dumps(said)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    loaded = load_model(path)
    assert not loaded.shortened
    audio = next(iter(sounds(4, 16_000, loaded.metadata.hop, 1)))
    state = loaded.new_state(4)
    expected = whole(SHIPPED.read_bytes()).run(OUTPUTS, {"audio": audio, "state": state})
    for mine, theirs in zip(loaded.step(audio, state), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_no_bytes_make_the_cut_stumble(shipped):
    """Cut off or scrambled, a file is refused in words or cut, never a traceback or a hang."""
    data = SHIPPED.read_bytes()
    rng = np.random.default_rng(0)
    short = cut(data, shipped.metadata)
    for _ in range(60):
        broken = bytearray(data[: rng.integers(0, len(data))] if rng.random() < 0.5 else data)
        for place in rng.integers(0, max(1, len(broken)), 20):
            if broken:
                broken[place] = rng.integers(0, 256)
        cut(bytes(broken), shipped.metadata)
    with pytest.raises(ModelError, match="no ONNX model"):
        Graph(data[: len(data) // 2])
    with pytest.raises(ModelError, match="need audio as well"):
        Graph(data).cut({"logmel": (64, 20), "state": (1,)}, ("logits", "next_state"))
    assert short is not None
