"""Several processes training one network, devices timed, and all recipes by one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from train_data import sound, write_wav

from genred_train import lab
from genred_train import recipe as recipes
from genred_train.__main__ import main
from rigs.ports import free_port

# Far more than a tiny run needs; a laden machine included.
ENOUGH_S = 150

TOML = """
name = "together"
front_end = { n_fft = 512, hop_length = 200, n_mels = 64, f_min = 40, f_max = 7200, floor = 0.01 }
[data]
min_clips = 3
[split]
val = 0.2
test = 0.2
[network]
name = "compact"
options = { widths = [8, 8, 16, 16, 16, 16] }
[augment]
mix_p = 0.0
[training]
epochs = 5
crops_per_epoch = 256
batch_size = 32
learning_rate = 0.01
"""


@pytest.fixture
def tables(tmp_path: Path, folder: Path) -> tuple[Path, Path]:
    """A recipe and its data."""
    (tmp_path / "together.toml").write_text(TOML)
    return tmp_path / "together.toml", folder


def started(count: int, recipe: Path, data: Path, out: Path) -> dict:
    """Train with ``torchrun``, as people do; returns what the run wrote."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nproc-per-node", str(count), "--master-port", str(free_port())),
            *("-m", "genred_train", str(recipe), "--data", str(data), "--out", str(out)),
            *("--cache", str(data.parent / "cache"), "--device", "cpu", "--threads", "1"),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("test, per window") == 1  # one of them speaks
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tables, tmp_path):
    """The same validation figures within noise, and one set of files."""
    alone = started(1, *tables, tmp_path / "alone")
    both = started(2, *tables, tmp_path / "both")
    assert both["training"]["processes"] == 2
    assert both["training"]["epochs"] == alone["training"]["epochs"] == 5
    for unit in ("window", "track"):
        one, two = alone["val"][unit], both["val"][unit]
        assert one["items"] == two["items"]
        assert two["macro_f1"] == pytest.approx(one["macro_f1"], abs=0.15)
        assert two["macro_f1"] > 0.7
    history = (tmp_path / "both" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + 5


def test_devices_are_timed_on_the_same_epochs(tables, tmp_path, capsys, monkeypatch):
    """Both lines are printed; where there is no GPU, that is said."""
    monkeypatch.chdir(tmp_path)
    asked = f"{tables[0]} --data {tables[1]} --cache {tmp_path / 'cache'} --threads 1"
    assert main([*asked.split(), "--time-devices", "--epochs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["cpu", "cuda"]
    assert "validation macro F1" in lines[0]
    assert "no CUDA device" in lines[1] or "validation macro F1" in lines[1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_all_recipes_by_one_command(tmp_path, capsys, monkeypatch):
    """Runs are made, taken as they are the second time, gone on with if broken off, and tabled."""
    data = tmp_path / "data"
    for label in ("high", "low", "noise"):
        for number in range(5):
            write_wav(data / label / f"{number}.wav", sound(label, 2.0, seed=number))
    random = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        folder = data / lab.ARRAYS / split / "mfccs"
        folder.mkdir(parents=True)
        truth = np.repeat(["blues", "classical", "hiphop", "rock_metal_hardrock"], 8)
        np.save(folder / "X.npy", random.normal(size=(32, 26)))
        np.save(folder / "labels.npy", truth)
    made = tmp_path / "recipes"
    made.mkdir()
    shipped = Path(lab.__file__).parents[2] / "configs" / "train"
    (made / "mfcc-mlp-arrays.toml").write_text((shipped / "mfcc-mlp-arrays.toml").read_text())
    (made / "together.toml").write_text(TOML)
    (made / "hopeless.toml").write_text(TOML.replace("min_clips = 3", "min_clips = 99"))
    (tmp_path / "README.md").write_text("<!-- lab table -->\nold\n<!-- end of lab table -->\n")
    monkeypatch.chdir(tmp_path)

    def train(only: str) -> int:
        command = f"--data data --recipes recipes --only {only} --out runs --cache cache"
        more = "--update README.md --device cpu --threads 1 --epochs 2"
        return lab.main([*command.split(), *more.split()])

    names = "mfcc-mlp-arrays,hopeless,together"
    assert train(names) == 66  # one recipe does not suit the data; the others are made
    table = (tmp_path / "README.md").read_text()
    assert "| together |" in table
    assert "old" not in table
    assert "`mfcc-mlp-arrays`, on its own rows (32 train, 32 val, 32 test" in table
    assert "| rock_metal_hardrock |" in table
    whole = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    assert len(whole) == 2

    recipe = recipes.load(made / "together.toml").override(epochs=2)
    assert lab.finished(tmp_path / "runs" / "together", recipe)
    assert not lab.finished(tmp_path / "runs" / "together", recipe.override(seed=5))
    assert train("mfcc-mlp-arrays,together") == 0
    assert whole == {path: path.stat().st_mtime_ns for path in whole}

    # Stopped because its time was up: whole for as little time again, not for more.
    of_run = tmp_path / "runs" / "together"
    metrics = json.loads((of_run / "metrics.json").read_text())
    metrics["training"] |= {"stopped": "its time was up", "seconds": 90.0}
    (of_run / "metrics.json").write_text(json.dumps(metrics))
    assert lab.finished(of_run, recipe, minutes=1)
    assert not lab.finished(of_run, recipe, minutes=2)
    assert not lab.finished(of_run, recipe)

    # Broken off after its last epoch, before it was exported.
    (tmp_path / "runs" / "together" / "metrics.json").unlink()
    capsys.readouterr()
    assert train("together") == 0
    assert "resumed after epoch 2" in capsys.readouterr().err
