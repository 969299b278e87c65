"""Rows of numbers in place of recordings."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rich.console

from genred.errors import InputError
from genred_train import __main__ as command
from genred_train import arrays_run, run
from genred_train import recipe as recipes
from genred_train.console import Console
from genred_train.data import arrays

RECIPE = Path(__file__).parents[2] / "configs" / "train" / "mfcc-mlp-arrays.toml"
LABELS = ("blues", "classical", "hiphop", "rock_metal_hardrock")


def quiet() -> Console:
    return Console(rich.console.Console(file=io.StringIO()))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Four clouds of points, apart from each other."""
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 10), ("test", 12)):
        folder = tmp_path / "rows" / split / "mfccs"
        folder.mkdir(parents=True)
        truth = np.repeat(LABELS, count)
        centres = np.repeat(np.eye(4, 26) * 9, count, axis=0)
        np.save(folder / "X.npy", centres + random.normal(size=centres.shape))
        np.save(folder / "labels.npy", truth)
    return tmp_path / "rows"


def test_rows_are_learnt_and_judged(rows, tmp_path):
    """The command trains on rows, keeps a snapshot an epoch and says how good the best is."""
    out = tmp_path / "out"
    code = command.main(
        [str(RECIPE), "--data", str(rows), "--out", str(out), "--device", "cpu", "--threads", "1"]
    )
    assert code == 0
    metrics = json.loads((out / "metrics.json").read_text())
    test = metrics["test"]["window"]
    assert test["items"] == 48
    assert np.sum(test["confusion"]) == 48
    assert test["macro_f1"] > 0.9
    assert metrics["training"]["epochs"] == 30
    assert len(list(out.glob("epoch-*.pt"))) == 30
    assert not (out / "model.onnx").exists()
    best = max(
        (out / "history.csv").read_text().splitlines()[1:],
        key=lambda line: float(line.split(",")[5]),
    )
    assert metrics["training"]["best_epoch"] == int(best.split(",")[0])


def test_what_are_no_rows(rows, tmp_path):
    """Missing, unfitting and unreadable arrays are told apart."""
    made = recipes.load(RECIPE)

    def refused(match: str) -> None:
        with pytest.raises(InputError, match=match):
            arrays.load(made, rows)

    labels, numbers = (rows / "val" / "mfccs" / name for name in ("labels.npy", "X.npy"))
    whole = np.load(labels), np.load(numbers)
    np.save(labels, np.where(whole[0] == "blues", "polka", whole[0]))
    refused("blues, polka")
    np.save(labels, whole[0][:-1])
    refused("do not go with 39 labels")
    np.save(labels, whole[0])
    np.save(numbers, np.where(whole[1] > 4, np.nan, whole[1]))
    refused("no numbers")
    np.save(numbers, whole[1][:, :5])
    refused("another length")
    numbers.write_bytes(b"broken")
    refused("cannot read")
    numbers.unlink()
    refused("there is no")
    with pytest.raises(InputError, match="there is no folder"):
        arrays.load(made, tmp_path / "nowhere")


def test_the_reference_systems_own_data(tmp_path):
    """3200, 800 and 1376 rows, and far better than chance on those for testing."""
    folder = Path(os.environ.get("GENRED_DATA", "/nowhere"), "music_genre_data_di")
    if not folder.is_dir():
        pytest.skip("GENRED_DATA names no folder with music_genre_data_di")
    options = run.Options(folder, tmp_path, tmp_path, device="cpu", threads=1)
    metrics = arrays_run.train(recipes.load(RECIPE), options, quiet())
    sizes = {name: sum(row["rows"] for row in r) for name, r in metrics["data"]["by_split"].items()}
    assert sizes == {"train": 3200, "val": 800, "test": 1376}
    assert metrics["test"]["window"]["macro_f1"] > 0.5
