"""YAMNet as a teacher: its embedding of every half second of the recordings.

YAMNet (Plakal and Ellis, 2020; Apache-2.0) is a MobileNet of 3.7 million parameters trained on
AudioSet. Its file is no part of genred: who wants to learn from it names ``yamnet.tflite``.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genred.errors import InputError, UnavailableError
from genred_train.teacher.frames import FRAME, HOP

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Numbers that it says of a frame.
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
        """Logits ``[items, genres]`` of embeddings, which another teacher's may stand behind."""
        return np.asarray(inputs[:, :WIDTH] @ self.weight + self.bias)


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
