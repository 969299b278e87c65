"""A run that is killed, as by a power cut, and gone on with."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from test_lab_training import TOML

if TYPE_CHECKING:
    from pathlib import Path

# Far more than two small epochs need; a laden machine included.
ENOUGH_S = 100


def losses(out: Path) -> list[str]:
    with (out / "history.csv").open(newline="") as file:
        return [row["train_loss"] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_killed_run_ends_as_an_unbroken_one(folder, tmp_path):
    """SIGKILL after two epochs; with --resume the figures are those of a run left in peace."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TOML.replace("epochs = 2", "epochs = 12"))

    def command(name: str, *more: str) -> list[str]:
        line = f"-m genred_train {recipe} --data {folder} --out {tmp_path / name} --device cpu"
        return [sys.executable, *line.split(), *f"--cache {tmp_path} --threads 1".split(), *more]

    running = subprocess.Popen(command("broken"), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + ENOUGH_S
    history = tmp_path / "broken" / "history.csv"
    while not (history.exists() and len(losses(history.parent)) >= 2):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.wait(ENOUGH_S) == -signal.SIGKILL
    assert not (tmp_path / "broken" / "metrics.json").exists()

    subprocess.run(command("broken", "--resume"), check=True, timeout=ENOUGH_S, capture_output=True)
    subprocess.run(command("whole"), check=True, timeout=ENOUGH_S, capture_output=True)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    told = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("broken", "whole")]
    assert told[0]["test"] == told[1]["test"]
    assert told[0]["calibration"] == told[1]["calibration"]
    assert "resumed after epoch" in (tmp_path / "broken" / "training.log").read_text()
