"""Log-mel pictures of whole recordings, each in several renderings, kept on disk in 16 bits.

To transform a crop anew each time it is drawn costs more than a small network's training step.
So every recording is transformed once as it is, and some times more as radio would play it; what
can be done to a spectrogram is done to the crops later.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from genred.errors import OutputError
from genred_train.data import radio
from genred_train.front_end import LogMel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genred.model.metadata import FrontEnd
    from genred_train.data.cache import Stored

# Raise it when the same settings come to mean other pictures.
LAYOUT = 3

# Pictures hold ln(mel power + this): far below any front end's floor, so that each floor can be
# had from them, and above the rounding of 16-bit samples.
FLOOR = 1e-7

# Recordings are brought to this level before they are transformed: it is the middle of what
# broadcasters use, and one level for all makes a level in training what it says.
LEVEL_DBFS = -20.0

# How the renderings after the first differ from the recording, beside their speed.
_CODED_P = 0.6
_ROOM_P = 0.25


@dataclass(frozen=True)
class Picture:
    """One rendering: natural log-mel power ``[frames, n_mels]`` and how much faster it plays."""

    frames: NDArray[np.float16]
    speed: float


def speeds(digest: str, renderings: int, most: float) -> list[float]:
    """How fast each rendering of a recording plays: the first as it is, others up to ``most``."""
    return [1.0, *(1.0 + _random(digest, n).uniform(-most, most) for n in range(1, renderings))]


def _random(digest: str, rendering: int) -> np.random.Generator:
    return np.random.default_rng([rendering, int(digest[:16], 16)])


def pictures(
    settings: FrontEnd,
    sample_rate: int,
    renderings: int,
    speed: float,
    recordings: Sequence[Stored],
    samples: NDArray[np.int16],
    cache: Path,
    progress: Callable[[int, int], None],
) -> dict[str, list[Picture]]:
    """Pictures of ``recordings`` by digest, from the ``cache`` or made now.

    The first rendering is the recording itself, others play up to the share ``speed`` faster or
    slower. Raises :class:`OutputError` if the cache cannot be written.
    """
    plain = settings.model_copy(update={"floor": FLOOR, "log": "natural", "n_mfcc": None})
    key = json.dumps([LAYOUT, sample_rate, plain.model_dump(mode="json")])
    folder = cache / f"mel-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    transform = LogMel(plain, sample_rate)
    found: dict[str, list[Picture]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, stored in enumerate(recordings, start=1):
            part = samples[stored.start : stored.start + stored.length]
            made = []
            for rendering, played in enumerate(speeds(stored.digest, renderings, speed)):
                path = folder / f"{stored.digest}-{rendering}-{played:.5f}.npy"
                if not path.exists():
                    beside = path.with_suffix(".new.npy")
                    random = np.random.default_rng([rendering, int(stored.digest[16:32], 16)])
                    audio = _rendered(part, sample_rate, played, random if rendering else None)
                    np.save(beside, _transformed(transform, audio))
                    beside.replace(path)
                made.append(Picture(np.load(path, mmap_mode="r"), played))
            found[stored.digest] = made
            progress(number, len(recordings))
    except OSError as error:
        raise OutputError(
            f"cannot keep spectrograms in {folder}: {error.strerror}",
            "make room, or choose another folder with --cache",
        ) from None
    return found


def _rendered(
    samples: NDArray[np.int16], rate: int, speed: float, random: np.random.Generator | None
) -> NDArray[np.float32]:
    audio = samples.astype(np.float32) / np.float32(32768)
    if random is not None:
        audio = radio.played(audio, speed)
        if random.random() < _ROOM_P:
            audio = radio.in_room(audio, rate, random)
        audio = audio / max(1.0, float(np.abs(audio).max()))
        if random.random() < _CODED_P:
            audio = radio.coded(audio, rate, random)
    level = np.sqrt(np.mean(np.square(audio, dtype=np.float64))) + 1e-6
    return np.asarray(audio * np.float32(10 ** (LEVEL_DBFS / 20) / level))


@torch.no_grad()
def _transformed(transform: LogMel, audio: NDArray[np.float32]) -> NDArray[np.float16]:
    made: NDArray[np.float32] = transform(torch.from_numpy(audio)[None])[0].T.numpy()
    return made.astype(np.float16)
