"""One small run, trained once for all tests that look at what a run leaves."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import rich.console
from train_data import recipe, sound, write_wav

from genred_train import run
from genred_train.console import Console
from genred_train.evaluation import tuning

if TYPE_CHECKING:
    from pathlib import Path

    from genred_train.recipe import Recipe

LABELS = ("high", "low", "noise")
ARTISTS = 6
EPOCHS = 6


@dataclass(frozen=True)
class TinyRun:
    """A run's recipe, folders and figures."""

    recipe: Recipe
    data: Path
    cache: Path
    out: Path
    metrics: dict[str, Any]


def quick(few: int, many: int) -> tuning.Search:
    """A search of two filters, with so many thresholds tried with each and with the better ones."""
    grid = {"mean_duration_s": (2.5,), "evidence": (0.12, 0.5), "kind_evidence": (1.0,)}
    return tuning.Search((few, many), **grid, steps=1)


def quiet() -> Console:
    return Console(rich.console.Console(file=io.StringIO()))


def write_music(data: Path, artists: int = ARTISTS, first: int = 0) -> Path:
    """Three labels, some artists each with two clips of a few seconds."""
    for label in LABELS:
        for artist in range(first, first + artists):
            for number in range(2):
                audio = sound(label, 2.0 + number, seed=10 * artist + number)
                write_wav(data / label / f"{label}er {artist}" / f"song {number}.wav", audio)
    return data


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    base = tmp_path_factory.mktemp("tiny-run")
    data = write_music(base / "data")
    (data / "low" / "odd & <broken>.mp3").write_bytes(b"broken" * 100)
    made = recipe(
        card={"license": "CC0 <b>", "notes": "A test."},
        published=[{"figure": "test accuracy", "value": "76 %", "data": "GTZAN"}],
    ).override(epochs=EPOCHS)
    options = run.Options(
        data=data, out=base / "out", cache=base / "cache", device="cpu", threads=1
    )
    metrics = run.train(made, options, quiet())
    return TinyRun(made, data, base / "cache", base / "out", metrics)
