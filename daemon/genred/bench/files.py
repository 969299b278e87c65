"""``genred tag`` on a file: decoding, and everything beyond it."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from genred import frugal
from genred.bench.sound import programme
from genred.model.session import load_model
from genred.settings.judgement import JudgementSettings
from genred.sources.files import decode
from genred.tagging import tag_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RATE: Final = 44_100
BIT_RATE: Final = 192_000
"""As most collections have it: stereo MP3 at 192 kbit/s."""

FRAME: Final = 1152
"""Samples of one MP3 frame."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """How many seconds of audio a second of one core takes in."""

    decoding: float
    scoring: float
    """Everything beyond decoding."""
    together: float
    codec: str
    seconds: float
    """Length of the file."""


def throughput(model: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Tag one synthesised file of ``seconds`` some times, decoding it alone in between."""
    frugal.for_files()
    loaded = load_model(Path(model))
    by = JudgementSettings()
    rate = loaded.metadata.sample_rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.mp3"
        write_mp3(path, programme(seconds, RATE))

        def only_decode() -> int:
            return sum(len(block) for block in decode(path, rate))

        def tag() -> Any:
            return tag_file(loaded, path, by)

        tag()  # what is allocated once does not count
        decoding, together = [], []
        for _ in range(rounds):
            decoding.append(_cpu(only_decode))
            together.append(_cpu(tag))
    alone, both = statistics.median(decoding), statistics.median(together)
    beyond = max(both - alone, 1e-9)
    return asdict(
        Throughput(seconds / alone, seconds / beyond, seconds / both, "MP3, stereo", seconds)
    )


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def write_mp3(path: Path, sound: NDArray[np.float32]) -> None:
    """Write mono ``sound`` as stereo MP3, the right channel a little later than the left."""
    both = np.stack([sound, np.roll(sound, 12)])
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="stereo")
        stream.bit_rate = BIT_RATE
        for at in range(0, both.shape[1], FRAME):
            block = np.ascontiguousarray(both[:, at : at + FRAME])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
