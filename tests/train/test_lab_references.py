"""The reference systems: each as its facts say, each trained, exported, tagged with and run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import rich.console
import torch
from train_data import sound, write_wav

from genred.model.session import load_model
from genred.settings.judgement import JudgementSettings
from genred.tagging import tag_file
from genred_train import recipe as recipes
from genred_train import run
from genred_train.console import Console
from genred_train.data import corpus as corpora
from genred_train.front_end import LogMel
from genred_train.recipe import Recipe

RECIPES = Path(__file__).parents[2] / "configs" / "train"
NAMES = ("cnn3", "crnn", "sequential", "mfcc-mlp", "melgram-cnn")
GTZAN = 10

# The crnn as it is takes minutes on a small CPU; its kind is the same with fewer channels.
SMALLER = {"crnn": {"widths": [8, 8, 16], "hidden": 16, "dense": 16}}


def quiet() -> Console:
    return Console(rich.console.Console(file=io.StringIO()))


def load(name: str) -> Recipe:
    return recipes.load(RECIPES / f"{name}.toml")


def few_steps(name: str) -> Recipe:
    """The recipe as it stands, but for two batches of training on the labels of the test."""
    raw = load(name).model_dump()
    raw["data"] |= {"labels": [], "min_clips": 3}
    raw["split"] |= {"val": 0.2, "test": 0.2}
    raw["training"] |= {"epochs": 1, "crops_per_epoch": 8, "batch_size": 4, "val_windows": 1}
    raw["network"]["options"] |= SMALLER.get(name, {})
    return Recipe.model_validate(raw)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips far shorter than half a minute."""
    data = tmp_path_factory.mktemp("clips")
    for label in ("high", "low", "noise"):
        for number in range(5):
            write_wav(data / label / f"{number}.wav", heard(label, 5.0, seed=number))
    return data


def heard(label: str, seconds: float, seed: int) -> np.ndarray:
    """A sound in a quiet room: where there is nothing at all, decibels tell rounding errors."""
    audio = sound(label, seconds, seed)
    room = np.random.default_rng(seed).normal(size=audio.size) * 0.003
    return (audio + room).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_trained_exported_tagged_with_and_run(name, clips, tmp_path, genred):
    """From a recipe to a model file that hears files, short and long, and runs in the daemon."""
    made = few_steps(name)
    corpus = corpora.load(made, clips, tmp_path / "cache", quiet())
    run.settle(1, threads=1)
    fitted = run.fit(made, corpus, tmp_path, torch.device("cpu"), quiet())
    path = tmp_path / "model.onnx"
    # Holds it against PyTorch on whole windows, or raises.
    _, differences = run.export(made, corpus, fitted.network, fitted.temperature, path)
    assert differences["logits"] < 1e-4

    model = load_model(path, feeds=3)
    audio = np.zeros((3, model.metadata.hop), np.float32)
    assert model.step(audio, model.new_state(3))[0].shape == (3, 3)

    # Longer than the window of any, and shorter than that of most.
    by = JudgementSettings()
    window = model.metadata.window / model.metadata.sample_rate
    long = write_wav(tmp_path / "long.wav", heard("low", 36.0, seed=50))
    for file in (long, clips / "low" / "0.wav"):
        result = tag_file(model, file, by, decisions=True)
        assert result.label in {"high", "low", "noise"}
        assert sum(result.scores.values()) == pytest.approx(1.0, abs=1e-3)
        assert result.decisions
        assert result.decisions[-1].t <= result.duration + 1e-3
        assert result.duration == pytest.approx(36.0 if file is long else 5.0, abs=0.3)
    done = genred("run", "--source", long, "--fast", "--json", "--model", path)
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    decisions = max(message.get("decisions", 0) for message in messages)
    hop = model.metadata.hop / model.metadata.sample_rate
    assert decisions == pytest.approx((36.0 - window) / hop, abs=2)


@pytest.mark.slow
def test_a_short_file_is_heard_again_as_in_training(clips, tmp_path):
    """What tag says of a short file is the network's answer to the file repeated."""
    made = few_steps("cnn3")
    corpus = corpora.load(made, clips, tmp_path / "cache", quiet())
    run.settle(1, threads=1)
    fitted = run.fit(made, corpus, tmp_path, torch.device("cpu"), quiet())
    path = tmp_path / "model.onnx"
    run.export(made, corpus, fitted.network, fitted.temperature, path)
    model = load_model(path)
    file = clips / "high" / "1.wav"
    result = tag_file(model, file, JudgementSettings(), decisions=True)
    assert len(result.decisions) == 1

    position = next(n for n, e in enumerate(corpus.entries) if e.clip.path == file)
    heard = corpus.audio(position)
    assert heard.size == -(-made.audio.window // made.audio.hop) * made.audio.hop
    length = corpus.entries[position].stored.length
    assert np.array_equal(heard[length : 2 * length], heard[:length])
    assert corpus.starts(position, made.audio.window, made.audio.window).tolist() == [0]
    ending = heard[heard.size - made.audio.window :].astype(np.float32) / 32768
    picture = LogMel(made.front_end, made.audio.sample_rate)(torch.from_numpy(ending)[None])
    with torch.no_grad():
        logits = fitted.network(picture[:, :, -fitted.network.frames :]).numpy()
    expected = model.probabilities(logits)[0]
    # The file is decoded to 16 bits in training and to floats here.
    assert list(result.decisions[0].raw.values()) == pytest.approx(expected, abs=2e-3)


def test_the_crnn_is_that_of_its_facts():
    """(256, 16, 160) after three stages, two bidirectional layers of 128, 256-128-labels."""
    made = load("crnn")
    network = run.build_network(made, GTZAN)
    assert (network.n_mels, network.frames) == (128, 1280)
    with torch.no_grad():
        assert network.stages(torch.zeros(1, 1, 128, 1280)).shape == (1, 256, 16, 160)
    gru = network.recurrent.gru
    assert (gru.hidden_size, gru.num_layers, gru.bidirectional) == (128, 2, True)
    linear = [m for m in network.head if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(256, 128), (128, GTZAN)]
    training, augment = made.training, made.augment
    assert (training.optimiser, training.learning_rate, training.batch_size) == ("adam", 3e-4, 32)
    assert (training.schedule, training.step_epochs, training.step_factor) == ("step", 10, 0.5)
    assert (training.patience, training.select) == (5, "macro_f1")
    assert (augment.gain, augment.noise_sigma) == (0.1, 0.02)
    assert (augment.time_masks, augment.time_mask_least, augment.time_mask) == (1, 10, 40)


def test_recurrent_layers_are_operators_of_their_own(tmp_path):
    """A model file has one GRU node a layer, not one a frame."""
    made = few_steps("crnn")
    network = run.build_network(made, 3).eval()
    from genred_train.export import model_file
    from genred_train.export.step import Step

    step = Step(network, made.front_end, made.audio.sample_rate, made.audio.hop)
    graph = model_file.build_graph(step)
    assert [node.op_type for node in graph.graph.node].count("GRU") == 2
    onnx.checker.check_model(graph)


def test_the_others_are_those_of_their_facts():
    """Shapes, widths, epochs and what chooses the epoch."""
    cnn3, sequential = load("cnn3"), load("sequential")
    assert (cnn3.audio.sample_rate, cnn3.audio.window_s) == (22_050, 30.0)
    assert (cnn3.training.epochs, cnn3.training.select) == (20, "accuracy")
    kinds = [type(m).__name__ for m in run.build_network(cnn3, GTZAN).blocks]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] * 3

    network = run.build_network(sequential, GTZAN)
    assert (network.n_mels, network.frames) == (128, 128)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [16, 32, 64]
    assert {m.kernel_size for m in convolutions} == {(3, 3)}

    for name in ("mfcc-mlp", "mfcc-mlp-arrays"):
        made = load(name)
        network = run.build_network(made, 4)
        linear = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
        shapes = [(m.in_features, m.out_features) for m in linear]
        assert shapes == [(26, 128), (128, 32), (32, 4)]
        assert network.frames == 20
        training = made.training
        assert (training.optimiser, training.learning_rate) == ("sgd", 0.002)
        assert (training.epochs, training.select, training.snapshots) == (30, "macro_f1", True)

    melgram = run.build_network(load("melgram-cnn"), 4)
    assert (melgram.frames, melgram.n_mels) == (21, 128)


def test_mfcc_statistics_are_torchaudios():
    """Means and deviations of the MFCC that torchaudio computes."""
    import torchaudio

    made = load("mfcc-mlp")
    front, rate = made.front_end, made.audio.sample_rate
    audio = torch.from_numpy(sound("high", 1.0, seed=3))[None]
    logmel = LogMel(front, rate)(audio)
    dct = torchaudio.functional.create_dct(13, front.n_mels, norm="ortho")
    mfcc = torch.einsum("bmt,mk->bkt", logmel, dct)
    got = run.build_network(made, 4).transform(logmel)[0, :, 0]
    assert mfcc.shape[2] == 20
    assert torch.allclose(got[:13], mfcc.mean(dim=2)[0], atol=1e-4)
    assert torch.allclose(got[13:], mfcc.std(dim=2, unbiased=False)[0], atol=1e-4)
