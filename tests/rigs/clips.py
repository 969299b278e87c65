"""Sound files for tests: synthesised here, or real ones where the data is at hand."""

from __future__ import annotations

import csv
import os
import wave
from pathlib import Path

import numpy as np
import pytest

from genred.station import render

RATE = 16_000


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write mono float samples as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def style(name: str, seconds: float, seed: int = 11) -> np.ndarray:
    """A passage of the synthesised station."""
    return render(name, seconds, seed, RATE)


def data_folder() -> Path:
    """Where the real recordings lie; skips the test where they are not at hand."""
    folder = os.environ.get("GENRED_DATA")
    if not folder or not Path(folder, "manifest.csv").exists():
        pytest.skip("GENRED_DATA names no folder of real recordings")
    return Path(folder)


def real_clips(label: str, split: str | None = None) -> list[Path]:
    """Real recordings of a label, never machine-made ones."""
    folder = data_folder()
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["label"] == label
            and not row["dataset"].startswith("generated")
            and split in (None, row["split"])
        ]
    return [folder / "audio" / row["path"] for row in rows]
