"""A whole run on a small data set: what it writes, that it learns, that it repeats itself."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import rich.console
import torch
from train_data import recipe, sound, write_wav

from genred.errors import InputError, InternalError, OutputError
from genred.model.metadata import METADATA_KEY, ModelMetadata
from genred_train import __main__ as command
from genred_train import run, training
from genred_train.console import Console
from genred_train.data import corpus as corpora
from genred_train.export import model_file
from genred_train.precision import multiplies_bfloat16
from genred_train.training import Epoch, Trainer

TOML = """
name = "tiny"
front_end = { n_fft = 512, hop_length = 200, n_mels = 64, f_min = 40, f_max = 7200, floor = 0.01 }
[data]
min_clips = 3
[split]
val = 0.2
test = 0.2
[network]
name = "compact"
options = { widths = [8, 8, 16, 16, 16, 16] }
[training]
epochs = 2
crops_per_epoch = 64
batch_size = 32
"""


def quiet() -> Console:
    return Console(rich.console.Console(file=io.StringIO()))


def fitted(folder: Path, out: Path, **training: object) -> Trainer:
    made = recipe()
    made = recipe(training=made.training.model_dump() | training)
    out.mkdir()
    corpus = corpora.load(made, folder, out / "cache", quiet())
    run.settle(made.training.seed, threads=1)
    trainer = Trainer(made, corpus, run.build_network(made, 3), torch.device("cpu"))
    trainer.fit(out, lambda epoch: None)
    return trainer


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run, through the same function as the command's."""
    base = tmp_path_factory.mktemp("run")
    for label in ("high", "low", "noise"):
        for number in range(6):
            name = base / "data" / label / f"{label}.{number:05}.wav"
            write_wav(name, sound(label, 3.0, seed=number))
    (base / "data" / "low" / "broken.mp3").write_bytes(b"broken" * 100)
    made = recipe(card={"license": "CC0", "notes": "A test.", "limits": "Three sounds."})
    made = made.model_copy(
        update={"training": made.training.model_copy(update={"crops_per_epoch": 384})}
    )
    made = made.override(epochs=10)
    options = run.Options(
        data=base / "data", out=base / "out", cache=base / "cache", device="cpu", threads=1
    )
    return made, run.train(made, options, quiet()), base


def test_a_run_writes_all_it_promises(finished):
    """Model, metrics, card, pictures, page, history, logs and both checkpoints are there."""
    _, _, base = finished
    assert sorted(path.name for path in (base / "out").iterdir()) == [
        "MODEL_CARD.md",
        "best.pt",
        "confusion.png",
        "curves.png",
        "history.csv",
        "last.pt",
        "metrics.json",
        "model.onnx",
        "model_config.json",
        "performance_metrics.json",
        "reliability.png",
        "report.html",
        "spectrograms.png",
        "tensorboard",
        "training.log",
    ]
    with (base / "out" / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(n) for n in range(1, 11)]
    picture = (base / "out" / "confusion.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_it_learns(finished):
    """Tone, chord and noise are told apart on clips that were not trained on."""
    _, metrics, _ = finished
    assert metrics["test"]["track"]["macro_f1"] > 0.6
    assert metrics["data"]["unusable"][0]["file"] == "broken.mp3"


def test_the_model_file_runs_and_knows_itself(finished):
    """Metadata is whole, and the file hears what the network was taught."""
    made, metrics, base = finished
    path = base / "out" / "model.onnx"
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    metadata = ModelMetadata.from_json(properties[METADATA_KEY])
    assert metadata.label_names == ("high", "low", "noise")
    assert metadata.license == "CC0"
    assert metadata.window == 16_000
    assert metadata.training.data_fingerprint == metrics["data"]["fingerprint"]
    assert json.loads(metadata.training.recipe)["name"] == made.name
    assert metadata.calibration.temperature == metrics["calibration"]["temperature"]
    audio = np.stack([sound(name, 2.0, seed=77) for name in metadata.label_names])
    logits, _ = model_file.stream(model_file.session(path), audio, metadata)
    assert logits[-1].argmax(axis=1).tolist() == [0, 1, 2]


def test_metrics_and_card_are_one(finished):
    """The file is what was returned, and every figure of the card's tables is in it."""
    _, metrics, base = finished
    assert json.loads((base / "out" / "metrics.json").read_text()) == metrics
    card = (base / "out" / "MODEL_CARD.md").read_text()
    for expected in ("# tiny", "A test.", "Three sounds.", "CC0", metrics["data"]["fingerprint"]):
        assert expected in card
    for split in ("val", "test"):
        for unit in ("window", "track"):
            assert f"{metrics[split][unit]['macro_f1']:.3f}" in card
    assert not re.search(r"\bnan\b|None|\{|\}", card)


def test_the_same_seed_trains_the_same_network(folder, tmp_path):
    """Two runs agree in every weight and loss; another seed does not."""
    one = fitted(folder, tmp_path / "a")
    other = fitted(folder, tmp_path / "b")
    different = fitted(folder, tmp_path / "c", seed=4)
    assert [e.train_loss for e in one.history] == [e.train_loss for e in other.history]
    for name, value in one.best.items():
        assert value.equal(other.best[name]), name
    assert one.history[0].train_loss != different.history[0].train_loss


def test_the_best_epoch_is_kept(folder, tmp_path):
    """The network that is left is that of the best validation, and so is best.pt."""
    trainer = fitted(folder, tmp_path / "a", epochs=3, average=0.9)
    best = max(trainer.history, key=lambda epoch: epoch.val_macro_f1)
    assert trainer.best_epoch == best
    saved = torch.load(tmp_path / "a" / "best.pt", weights_only=True)
    assert saved["epoch"]["epoch"] == best.epoch
    for name, value in trainer.judged.state_dict().items():
        assert value.equal(saved["network"][name])


def test_patience_ends_a_run_early(folder, tmp_path):
    """Without a better epoch for so long, the loop stops."""
    trainer = fitted(folder, tmp_path / "a", epochs=9, patience=2, learning_rate=1e-9)
    assert len(trainer.history) < 9
    assert trainer.best_epoch is not None
    assert len(trainer.history) == trainer.best_epoch.epoch + 2


def test_a_resumed_run_ends_as_an_unbroken_one(folder, tmp_path):
    """Killed after two epochs of four and resumed, a run has the same weights in the end."""
    whole = fitted(folder, tmp_path / "whole", epochs=4, average=0.9)

    class Killed(Exception):  # noqa: N818 - it stands for a signal
        pass

    made, corpus = whole.recipe, whole.corpus
    run.settle(made.training.seed, threads=1)
    broken = Trainer(made, corpus, run.build_network(made, 3), torch.device("cpu"))

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise Killed

    (tmp_path / "broken").mkdir()
    with pytest.raises(Killed):
        broken.fit(tmp_path / "broken", stop)
    run.settle(99, threads=1)
    resumed = Trainer(made, corpus, run.build_network(made, 3), torch.device("cpu"))
    resumed.resume(tmp_path / "broken" / "last.pt")
    resumed.fit(tmp_path / "broken", lambda epoch: None)
    losses = [[epoch.train_loss for epoch in one.history] for one in (whole, resumed)]
    assert losses[0] == losses[1]
    assert resumed.best_epoch.epoch == whole.best_epoch.epoch
    for name, value in whole.best.items():
        assert value.equal(resumed.best[name]), name


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("model name\t: A\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu amx_tile amx_bf16\nflags\t\t: fpu\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx2 avx512f\nbugs\t\t: bf16\n", False),
        ("", False),
    ],
)
def test_who_multiplies_bfloat16(tmp_path, text, does):
    """A processor whose flags say so; one that says nothing does not."""
    (tmp_path / "cpuinfo").write_text(text)
    assert multiplies_bfloat16(torch.device("cpu"), tmp_path / "cpuinfo") is does
    assert not multiplies_bfloat16(torch.device("cpu"), tmp_path / "missing")


def test_bfloat16_is_left_alone_where_it_would_be_imitated(folder, tmp_path, monkeypatch):
    """There a recipe that wants it trains in 32 bits: to the same loss but for its last digits."""
    monkeypatch.setattr(training, "multiplies_bfloat16", lambda device: False)
    whole, left = (
        fitted(folder, tmp_path / name, epochs=1, precision=name)
        for name in ("float32", "bfloat16")
    )
    assert not left.halved
    assert left.history[0].train_loss == pytest.approx(whole.history[0].train_loss, rel=1e-3)


def test_half_the_precision_learns_as_well(folder, tmp_path, monkeypatch):
    """With bfloat16 products the loss falls as with float32, and weights stay float32."""
    monkeypatch.setattr(training, "multiplies_bfloat16", lambda device: True)
    whole, half = (
        fitted(folder, tmp_path / name, epochs=3, precision=name)
        for name in ("float32", "bfloat16")
    )
    assert {p.dtype for p in half.network.parameters()} == {torch.float32}
    first, last = half.history[0].train_loss, half.history[-1].train_loss
    assert last < first
    assert last != whole.history[-1].train_loss
    assert last == pytest.approx(whole.history[-1].train_loss, abs=0.1)


def test_what_cannot_be_resumed_is_refused(folder, tmp_path):
    """No checkpoint, a file that is none, other data and another recipe are told apart."""
    trainer = fitted(folder, tmp_path / "a", epochs=1)
    last = tmp_path / "a" / "last.pt"
    with pytest.raises(InputError, match="there is no"):
        trainer.resume(tmp_path / "missing.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match="no checkpoint"):
        trainer.resume(tmp_path / "text.pt")
    trainer.recipe = trainer.recipe.override(epochs=5)
    with pytest.raises(InputError, match=r"another \[training\]"):
        trainer.resume(last)
    trainer.recipe = trainer.recipe.override(epochs=1)
    older = torch.load(last, weights_only=True)
    del older["recipe"]["training"]["precision"]
    torch.save(older, last)
    trainer.resume(last)  # a key that came later had its default then
    trainer.corpus = dataclasses.replace(trainer.corpus, fingerprint="other")
    with pytest.raises(InputError, match="other data"):
        trainer.resume(last)


def test_a_full_disk_leaves_the_old_checkpoint(folder, tmp_path, monkeypatch):
    """A checkpoint that cannot be written whole does not touch the one before it."""
    trainer = fitted(folder, tmp_path / "a", epochs=1)
    last = tmp_path / "a" / "last.pt"
    before = last.read_bytes()
    real = torch.save

    def full(state: object, path: Path) -> None:
        real(state, path)
        path.write_bytes(path.read_bytes()[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    trainer.recipe = trainer.recipe.override(epochs=2)
    with pytest.raises(OutputError, match="No space left"):
        trainer.fit(tmp_path / "a", lambda epoch: None)
    assert last.read_bytes() == before
    assert not list((tmp_path / "a").glob("*.new"))


def test_a_loss_that_is_no_number_stops_the_run(folder, tmp_path):
    """A run that has gone astray says where and what to do, and leaves its last good epoch."""
    with pytest.raises(InternalError, match=r"epoch 1, batch \d of 6 is .*learning_rate"):
        fitted(folder, tmp_path / "a", optimiser="sgd", learning_rate=1e30)
    trainer = fitted(folder, tmp_path / "b", epochs=1)
    kept = (tmp_path / "b" / "last.pt").read_bytes()
    trainer.recipe = trainer.recipe.override(epochs=2)
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(float("nan"))
    with pytest.raises(InternalError, match=r"epoch 2, batch 1 of 6 .* epoch 1 are kept"):
        trainer.fit(tmp_path / "b", lambda epoch: None)
    assert (tmp_path / "b" / "last.pt").read_bytes() == kept


def test_the_command_trains(folder, tmp_path, capsys):
    """From the command line to a model file, with the figures on standard output."""
    path = tmp_path / "tiny.toml"
    path.write_text(TOML)
    out, cache = tmp_path / "out", tmp_path / "cache"
    line = [path, "--data", folder, "--out", out, "--cache", cache, "--device", "cpu"]
    assert command.main([str(word) for word in [*line, "--epochs", 1, "--threads", 1]]) == 0
    printed = capsys.readouterr()
    assert "model.onnx" in printed.out
    assert "test, per track: accuracy" in printed.out
    assert "epoch   1/1" in printed.err
    assert tomllib.loads(TOML)["name"] == json.loads((out / "metrics.json").read_text())["name"]


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["--data", "x"], 64, "RECIPE"),
        (["r.toml", "--data", "x", "--device", "tpu"], 64, "invalid choice"),
        (["missing.toml", "--data", "x"], 66, "cannot read the recipe"),
        (["tiny.toml", "--data", "nowhere"], 66, "there is no folder nowhere"),
        (["tiny.toml", "--data", ".", "--threads", "0"], 64, "--threads"),
        (["tiny.toml", "--data", "data", "--resume"], 64, "--resume needs --out"),
        (
            ["tiny.toml", "--data", "data", "--unlabelled", "more"],
            64,
            "--unlabelled needs --teacher",
        ),
        (["tiny.toml", "--data", "data", "--resume", "--out", "new"], 66, "no new/last.pt"),
        (["wrong.toml", "--data", "."], 78, "did you mean"),
        (["odd.toml", "--data", "data"], 78, "there is no network called 'cnn9'"),
        pytest.param(
            ["tiny.toml", "--data", "data", "--device", "cuda"],
            69,
            "no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_mistakes_end_with_one_line_and_their_code(
    folder, tmp_path, monkeypatch, capsys, words, code, line
):
    """Whatever is wrong, people get one line with what to do, never a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("tiny.toml").write_text(TOML)
    Path("wrong.toml").write_text(TOML + "epochz = 3\n")
    Path("odd.toml").write_text(TOML.replace('"compact"', '"cnn9"'))
    assert command.main(words) == code
    told = [text for text in capsys.readouterr().err.splitlines() if "genred train:" in text]
    assert len(told) == 1
    assert line in told[0]


def test_without_torch_the_command_says_what_to_install(tmp_path):
    """On a machine with the daemon alone, training names the extra and ends with 69."""
    script = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda n, p=None: None if n == 'torch' else find(n, p)\n"
        "from genred_train.__main__ import main\n"
        "code = main(['r.toml', '--data', 'x']); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 69, ended.stderr
    assert "training needs torch" in ended.stderr
    assert "pip install 'genred[cpu,train]'" in ended.stderr


def test_help_reads_well():
    """The help shows the command as people type it, with its options and an example."""
    text = command.parser().format_help()
    assert text.startswith("usage: genred train ")
    for word in ("--data DIR", "--out DIR", "--device", "manifest.csv", "examples:"):
        assert word in text
