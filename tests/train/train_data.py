"""Small synthesised data sets for the lab's tests, written as real audio files."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from genred_train.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 16_000


def sound(label: str, seconds: float, seed: int, rate: int = RATE) -> NDArray[np.float32]:
    """Something that a network can tell from the other labels: tone, chord, or noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    base = random.uniform(200, 300)
    if label == "low":
        audio = np.sin(2 * np.pi * base * time)
    elif label == "high":
        audio = sum(np.sin(2 * np.pi * k * 4 * base * time) for k in (1.0, 1.5, 2.2)) / 3
    else:
        audio = random.normal(size=time.size) / 3
    return (0.4 * audio).astype(np.float32)


def write_wav(path: Path, audio: NDArray[np.float32], rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((audio * 32767).astype("<i2").tobytes())
    return path


ENCODERS = {
    ".au": "pcm_s16be",
    ".flac": "flac",
    ".m4a": "aac",
    ".mp3": "libmp3lame",
    ".ogg": "libopus",
    ".opus": "libopus",
    ".wav": "pcm_s16le",
}
OPUS_RATE = 48_000


def encode(path: Path, audio: NDArray[np.float32], rate: int = 44_100, channels: int = 1) -> Path:
    """Write ``[samples]`` in the format of the file's suffix, through FFmpeg."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = OPUS_RATE if ENCODERS[path.suffix] == "libopus" else rate
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(ENCODERS[path.suffix], rate=rate, layout=layout)
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        planes = np.repeat(audio[None].astype(np.float32), channels, axis=0)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or None
        fifo = av.AudioFifo()
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            part.pts = None
            fifo.write(part)
        while (part := fifo.read(size or 4096, partial=True)) is not None:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three genre folders, six clips of three seconds each."""
    data = tmp_path / "data"
    for label in ("high", "low", "noise"):
        for number in range(6):
            name = f"{label}.{number:05}.wav"
            write_wav(data / label / name, sound(label, 3.0, seed=number))
    return data


def recipe(**tables: object) -> Recipe:
    """A recipe that trains in seconds."""
    raw: dict[str, object] = {
        "name": "tiny",
        "front_end": {
            "n_fft": 512,
            "hop_length": 200,
            "n_mels": 64,
            "f_min": 40.0,
            "f_max": 7200.0,
            "floor": 0.01,
        },
        "data": {"min_clips": 3},
        "split": {"val": 0.2, "test": 0.2},
        "network": {"name": "compact", "options": {"widths": [8, 8, 16, 16, 16, 16]}},
        "training": {
            "epochs": 2,
            "crops_per_epoch": 192,
            "batch_size": 32,
            "learning_rate": 0.01,
            "seed": 3,
        },
        "card": {"license": "Apache-2.0"},
    }
    raw.update(tables)
    return Recipe.model_validate(raw)
