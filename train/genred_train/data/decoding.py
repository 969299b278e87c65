"""Decodes one recording to mono 16-bit samples, or says why it cannot.

Imported by worker processes, so it must stay light: no torch here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# How much of a file is hashed at once.
_CHUNK = 1 << 20

# Files above this are taken for a mistake (a disk image, a sparse file): ten hours of CD audio.
MAX_BYTES = 6 << 30


@dataclass(frozen=True, slots=True)
class Settings:
    """What decoding depends on; part of the cache's key."""

    sample_rate: int
    max_seconds: float


class UnusableError(Exception):
    """A file that cannot be used; the message says why in a few words."""


def digest(path: Path) -> str:
    """SHA-256 of a file's content. Raises :class:`UnusableError`."""
    try:
        size = path.stat().st_size
        if size == 0:
            raise UnusableError("empty file")
        if size > MAX_BYTES:
            raise UnusableError(f"too large ({size / 2**30:.1f} GiB)")
        sha = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                sha.update(chunk)
    except FileNotFoundError:
        raise UnusableError("there is no such file") from None
    except OSError as error:
        raise UnusableError(error.strerror or "cannot be read") from None
    return sha.hexdigest()


def decode(path: Path, settings: Settings) -> NDArray[np.int16]:
    """Decode the first audio stream to ``[samples]``, mono, at the settings' rate.

    What follows a decoding error is lost; what came before it is kept. Raises
    :class:`UnusableError` if nothing came.
    """
    limit = int(settings.max_seconds * settings.sample_rate)
    parts: list[NDArray[np.int16]] = []
    count = 0
    problem = ""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise UnusableError("no audio in it")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=settings.sample_rate)
            for frame in container.decode(audio=0):
                for out in resampler.resample(frame):
                    parts.append(out.to_ndarray()[0])
                    count += parts[-1].size
                if count >= limit:
                    break
            parts.extend(out.to_ndarray()[0] for out in resampler.resample(None))
    except (av.FFmpegError, ValueError, EOFError) as error:
        problem = str(getattr(error, "strerror", None) or error) or "cannot be decoded"
    samples = np.concatenate(parts)[:limit] if parts else np.empty(0, np.int16)
    if not samples.size:
        raise UnusableError(problem.lower() or "no sound in it")
    return samples
