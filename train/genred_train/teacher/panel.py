"""All teachers of a training, heard side by side, and what they said kept on disk.

A new kind of teacher is a file beside this one and a line in :func:`heard`.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Protocol

import numpy as np

from genred.errors import InputError, OutputError
from genred_train.data import decoding, radio
from genred_train.teacher import musicnn, yamnet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genred_train.data.cache import Stored


class Hears(Protocol):
    """A teacher."""

    name: str
    """Of these weights: what others said is not taken for what they say."""

    def embed(self, samples: NDArray[np.int16]) -> NDArray[np.float16]:
        """What it says of ``samples``: ``[frames, width]``, :mod:`~genred_train.teacher.frames`."""


def kind(path: Path) -> str:
    """What a teacher's file is called by people: a wheel is musicnn's, all else YAMNet's."""
    return "musicnn" if zipfile.is_zipfile(path) else "YAMNet"


def heard(path: Path) -> Hears:
    """The teacher in a file. Raises :class:`InputError` if it is none."""
    return musicnn.Tagger(path) if kind(path) == "musicnn" else yamnet.Teacher(path)


def ordered(teachers: Sequence[Path]) -> list[Path]:
    """YAMNet first, for all can go without the other but not without it.

    Raises :class:`InputError` if there is not one YAMNet, or another one twice.
    """
    names = [kind(path) for path in teachers]
    if names.count("YAMNet") != 1 or len(set(names)) < len(names):
        raise InputError(
            f"the teachers are {', '.join(names)}",
            f"name yamnet.tflite, and if you like the wheel of {musicnn.PACKAGE}, once each",
        )
    return sorted(teachers, key=lambda path: kind(path) != "YAMNet")


def provenance(teachers: Sequence[Path]) -> dict[str, str]:
    """The beginning of the SHA-256 of each teacher's file, by :func:`kind`.

    Raises what :func:`ordered` raises, and :class:`InputError` if a file cannot be read.
    """
    return {kind(path): _digest(path)[:12] for path in ordered(teachers)}


def besides(teachers: Sequence[Path], unlabelled: str) -> str:
    """Tells apart what is learnt from besides recordings with labels; empty of nothing.

    ``unlabelled`` is the fingerprint of recordings without labels, which teachers alone speak of.
    Raises what :func:`provenance` raises.
    """
    files = " ".join(_digest(path) for path in ordered(teachers)) if teachers else ""
    return f"{files} {unlabelled}".strip()


def _digest(path: Path) -> str:
    try:
        return decoding.digest(path)
    except decoding.UnusableError as error:
        raise InputError(
            f"cannot read the teacher {path}: {error}", "name yamnet.tflite with --teacher"
        ) from None


def embeddings(
    teachers: Sequence[Path],
    recordings: Sequence[Stored],
    samples: NDArray[np.int16],
    cache: Path,
    progress: Callable[[int, int], None],
) -> dict[str, NDArray[np.float16]]:
    """What ``teachers`` say of ``recordings`` by digest, from the ``cache`` or heard now.

    Raises what teachers raise, and :class:`OutputError` if the cache cannot be written.
    """
    found = at_speeds(teachers, recordings, samples, cache, progress, lambda _: [1.0])
    return {digest: plain for digest, (plain,) in found.items()}


def at_speeds(
    teachers: Sequence[Path],
    recordings: Sequence[Stored],
    samples: NDArray[np.int16],
    cache: Path,
    progress: Callable[[int, int], None],
    speeds: Callable[[str], Sequence[float]],
) -> dict[str, list[NDArray[np.float16]]]:
    """What they say of ``recordings`` by digest, played at each of the ``speeds`` of that digest.

    ``[frames, width]``, one teacher's numbers behind the other's. From the ``cache`` or heard now;
    raises what :func:`embeddings` raises.
    """
    panel = [heard(path) for path in teachers]
    found: dict[str, list[NDArray[np.float16]]] = {}
    # In order of length, so that YAMNet's interpreter is seldom made anew.
    order = sorted(recordings, key=lambda stored: (stored.length, stored.digest))
    for number, stored in enumerate(order, start=1):
        part = samples[stored.start : stored.start + stored.length]
        found[stored.digest] = [
            np.concatenate(
                [_kept(teacher, stored.digest, part, speed, cache) for teacher in panel], axis=1
            )
            for speed in speeds(stored.digest)
        ]
        progress(number, len(order))
    return found


def _kept(
    teacher: Hears, digest: str, samples: NDArray[np.int16], speed: float, cache: Path
) -> NDArray[np.float16]:
    """What ``teacher`` says of a recording, from the cache or heard now."""
    folder = cache / f"teacher-{teacher.name}"
    path = folder / f"{digest}{'' if speed == 1.0 else f'-{speed:.5f}'}.npy"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".new.npy")
            np.save(beside, teacher.embed(_played(samples, speed)))
            beside.replace(path)
        return np.asarray(np.load(path), np.float16)
    except OSError as error:
        raise OutputError(
            f"cannot keep the teacher's answers in {folder}: {error.strerror}",
            "make room, or choose another folder with --cache",
        ) from None


def _played(samples: NDArray[np.int16], speed: float) -> NDArray[np.int16]:
    if speed == 1.0:
        return samples
    return np.rint(radio.played(samples.astype(np.float32), speed)).astype(np.int16)
