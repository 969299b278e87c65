"""What the tests of sources share: sounds, files, and an ear that keeps what it hears."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av
import numpy as np
import pytest

from genred.clock import Clock, SystemClock
from genred.intake import Chunk, FeedIntake
from genred.sources.runner import FeedRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from genred.sources.base import Source

RATE, HOP = 16_000, 4_000


def tone(hz, seconds, rate=44_100, channels=1):
    """A sine ``[n, channels]``; each channel an octave above the one before."""
    t = np.arange(round(seconds * rate)) / rate
    return np.stack(
        [0.5 * np.sin(2 * np.pi * hz * 2**channel * t) for channel in range(channels)], axis=1
    ).astype(np.float32)


def write_audio(path: Path, samples, rate, codec=None, tags=None, sample_format=None) -> Path:
    """Encode float samples ``[n, channels]`` into the container that the name asks for."""
    if codec in {"libvorbis", "wmav2"}:  # PyAV's FFmpeg has no encoder for these
        return _by_ffmpeg(path, samples, rate, codec, tags)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w") as out:
        out.metadata.update(tags or {})
        codec = codec or out.default_audio_codec
        stream = out.add_stream(codec, rate=rate)
        stream.layout = layout
        if sample_format:
            stream.format = sample_format
        for at in range(0, len(samples), 4096):
            block = np.ascontiguousarray(samples[at : at + 4096].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts = at
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _by_ffmpeg(path: Path, samples, rate, codec, tags) -> Path:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    wave = write_audio(path.with_suffix(".tmp.wav"), samples, rate, "pcm_f32le", tags)
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", wave, "-c:a", codec, "-y", path], check=True
    )
    wave.unlink()
    return path


def loudest_hz(samples, rate=RATE):
    """The frequency with the most energy."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def captors(pid: int | None = None) -> list[int]:
    """The processes that capture sound devices for a process (this one), zombies included."""
    found = []
    for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        children: list[str] = []
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended since
            children = (task / "children").read_text().split()
        for child in children:
            with suppress(FileNotFoundError, ProcessLookupError):  # and so has the child
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if not command or b"genred.sources.capture" in command:
                    found.append(int(child))
    return found


@dataclass
class Ear:
    """Runs a source as the daemon does, and keeps all chunks."""

    source: Source
    retry: bool = False
    buffer_s: float = 10.0
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self):
        self.wake = threading.Event()
        self.intake = FeedIntake("ear", RATE, HOP, self.buffer_s, self.wake, self.clock)
        self.runner = FeedRunner(self.source, self.intake, self.clock, retry=self.retry)
        self.chunks: list[Chunk] = []
        self.audio: list[np.ndarray] = []

    def __enter__(self) -> Self:
        self.runner.start()
        return self

    def __exit__(self, *_):
        assert self.runner.stop(15), "the source did not stop"

    def listen(self, until: Callable[[], object] = lambda: False, seconds: float = 15.0) -> None:
        """Take chunks until ``until()``, the end of the source, or ``seconds``."""
        end = time.monotonic() + seconds
        out = np.empty(HOP, np.float32)
        while time.monotonic() < end:
            running = self.runner.running
            while chunk := self.intake.take(out):
                self.chunks.append(chunk)
                self.audio.append(out.copy())
            if until() or not running:
                return
            self.wake.wait(0.05)
            self.wake.clear()

    def hear(self, chunks: int, seconds: float = 15.0) -> np.ndarray:
        """Listen until ``chunks`` more have come; their samples."""
        before = len(self.chunks)
        self.listen(lambda: len(self.chunks) - before >= chunks, seconds)
        assert len(self.chunks) - before >= chunks, (
            f"{len(self.chunks) - before} of {chunks} chunks, {self.intake.status},"
            f" {self.runner.error or self.intake.last_error}"
        )
        return np.concatenate(self.audio[before : before + chunks])

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.audio) if self.audio else np.empty(0, np.float32)
