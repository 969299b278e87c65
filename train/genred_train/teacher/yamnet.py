"""YAMNet as a teacher: its embedding of every half second of the recordings, kept on disk.

YAMNet (Plakal and Ellis, 2020; Apache-2.0) is a MobileNet of 3.7 million parameters trained on
AudioSet. Its file is no part of genred: who wants to learn from it names ``yamnet.tflite``.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genred.errors import InputError, OutputError, UnavailableError
from genred_train.data import radio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genred_train.data.cache import Stored

# The teacher's own: it hears 16 kHz, in frames of 0.96 s and one analysis window more, every
# 0.48 s, and says 1024 numbers of each.
SAMPLE_RATE = 16_000
FRAME = 15_600
HOP = 7_680
WIDTH = 1024

# It tells 521 classes of AudioSet apart (Gemmeke et al., 2017); these are music's genres, roles and
# moods, from "Pop music" to "Scary music".
CLASSES = 521
_GENRES = slice(211, 277)

# Recordings are heard in parts of so many seconds, for the interpreter keeps what it computes.
_PART_FRAMES = 125


@dataclass(frozen=True)
class Genres:
    """What the teacher itself makes of genres: its last layer, as far as it is about them."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``[items, genres]`` of embeddings ``[items, 1024]``."""
        return np.asarray(inputs @ self.weight + self.bias)


class Teacher:
    """Turns samples into embeddings.

    Raises :class:`UnavailableError` if the interpreter is not installed and :class:`InputError`
    if ``path`` is no such network.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            interpreter = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError:
            raise UnavailableError(
                "a teacher needs ai-edge-litert", "pip install 'genred[dev]'"
            ) from None
        try:
            content = path.read_bytes()
            self._net: Any = interpreter.Interpreter(model_content=content, num_threads=threads)
            self._input = self._net.get_input_details()[0]["index"]
            outputs = {
                int(out["shape"][-1]): out["index"] for out in self._net.get_output_details()
            }
            self._embedding = outputs[WIDTH]
        except OSError as error:
            raise InputError(
                f"cannot read the teacher {path}: {error.strerror}", "name yamnet.tflite"
            ) from None
        except (ValueError, KeyError, RuntimeError) as error:
            raise InputError(
                f"{path} is no YAMNet with an embedding: {str(error).splitlines()[0]}",
                "name yamnet.tflite, which takes a waveform of any length",
            ) from None
        self.name = hashlib.sha256(content).hexdigest()[:16]
        self._length = 0

    def embed(self, samples: NDArray[np.int16]) -> NDArray[np.float16]:
        """Embeddings ``[frames, 1024]`` of 16-bit ``samples`` at 16 kHz.

        Frame *k* heard the samples from ``k * HOP`` to ``k * HOP + FRAME``; those that would
        reach past the end are left out, but a recording shorter than one is padded to it.
        """
        audio = samples.astype(np.float32) / np.float32(32768)
        if audio.size < FRAME:
            audio = np.pad(audio, (0, FRAME - audio.size))
        count = (audio.size - FRAME) // HOP + 1
        parts = []
        for first in range(0, count, _PART_FRAMES):
            frames = min(_PART_FRAMES, count - first)
            begin = first * HOP
            parts.append(self._run(audio[begin : begin + (frames - 1) * HOP + FRAME])[:frames])
        return np.concatenate(parts).astype(np.float16)

    def genres(self) -> Genres:
        """Its layer of genres. Raises :class:`InputError` if the file has none."""
        weight = bias = None
        for tensor in self._net.get_tensor_details():
            shape = tuple(int(size) for size in tensor["shape"])
            if shape == (CLASSES, WIDTH):
                weight = self._dequantised(tensor)
            elif shape == (CLASSES,):
                bias = self._dequantised(tensor)
        if weight is None or bias is None:
            raise InputError(
                "the teacher has no layer from its embedding to AudioSet's classes",
                "name yamnet.tflite, or set teaching.genres to 0",
            )
        return Genres(np.ascontiguousarray(weight[_GENRES].T), bias[_GENRES])

    def _dequantised(self, tensor: dict[str, Any]) -> NDArray[np.float32]:
        """A constant of the file, whose rows may be kept as whole numbers with a scale of each."""
        values = np.asarray(self._net.get_tensor(tensor["index"]))
        if values.dtype == np.float32:
            return values.copy()
        how = tensor["quantization_parameters"]
        wide = values.astype(np.float32) - how["zero_points"][:, None]
        return np.asarray(wide * how["scales"][:, None], np.float32)

    def _run(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        if audio.size != self._length:
            self._net.resize_tensor_input(self._input, [audio.size])
            self._net.allocate_tensors()
            self._length = audio.size
        self._net.set_tensor(self._input, audio)
        self._net.invoke()
        embedding: NDArray[np.float32] = self._net.get_tensor(self._embedding)
        return embedding


def embeddings(
    teacher: Path,
    recordings: Sequence[Stored],
    samples: NDArray[np.int16],
    cache: Path,
    progress: Callable[[int, int], None],
) -> dict[str, NDArray[np.float16]]:
    """Embeddings of ``recordings`` by digest, from the ``cache`` or heard now.

    Raises what :class:`Teacher` raises, and :class:`OutputError` if the cache cannot be written.
    """
    heard = at_speeds(teacher, recordings, samples, cache, progress, lambda _: [1.0])
    return {digest: plain for digest, (plain,) in heard.items()}


def at_speeds(
    teacher: Path,
    recordings: Sequence[Stored],
    samples: NDArray[np.int16],
    cache: Path,
    progress: Callable[[int, int], None],
    speeds: Callable[[str], Sequence[float]],
) -> dict[str, list[NDArray[np.float16]]]:
    """Embeddings of ``recordings`` by digest, played at each of the ``speeds`` of that digest.

    From the ``cache`` or heard now; raises what :func:`embeddings` raises.
    """
    heard = Teacher(teacher)
    folder = cache / f"teacher-{heard.name}"
    found: dict[str, list[NDArray[np.float16]]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # In order of length, so that the interpreter is seldom made anew.
        order = sorted(recordings, key=lambda stored: (stored.length, stored.digest))
        for number, stored in enumerate(order, start=1):
            part = samples[stored.start : stored.start + stored.length]
            found[stored.digest] = []
            for speed in speeds(stored.digest):
                suffix = "" if speed == 1.0 else f"-{speed:.5f}"
                path = folder / f"{stored.digest}{suffix}.npy"
                if not path.exists():
                    beside = path.with_suffix(".new.npy")
                    np.save(beside, heard.embed(_played(part, speed)))
                    beside.replace(path)
                found[stored.digest].append(np.load(path))
            progress(number, len(order))
    except OSError as error:
        raise OutputError(
            f"cannot keep the teacher's answers in {folder}: {error.strerror}",
            "make room, or choose another folder with --cache",
        ) from None
    return found


def _played(samples: NDArray[np.int16], speed: float) -> NDArray[np.int16]:
    if speed == 1.0:
        return samples
    return np.rint(radio.played(samples.astype(np.float32), speed)).astype(np.int16)


def at(embedded: NDArray[np.float16], ends: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embeddings ``[windows, 1024]`` at the ``ends`` (in samples) of windows of a second.

    Between the frames that end before and after it, each by its nearness.
    """
    place = (np.asarray(ends, np.float64) - FRAME) / HOP
    place = np.clip(place, 0, len(embedded) - 1)
    left = np.minimum(place.astype(np.int64), max(len(embedded) - 2, 0))
    right = np.minimum(left + 1, len(embedded) - 1)
    share = (place - left).astype(np.float32)[:, None]
    wide = embedded.astype(np.float32)
    return np.asarray(wide[left] * (1 - share) + wide[right] * share)
