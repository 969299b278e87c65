"""musicnn as a second teacher: what it hears in music, beside what YAMNet hears in everything.

musicnn (Pons and Serra, "musicnn: Pre-trained convolutional neural networks for music audio
tagging", 2019; ISC) has learnt from 200,000 songs of the Million Song Dataset what listeners call
them: rock, jazz, country, Hip-Hop. Its package, a wheel of 29 MB, is no part of genred: who wants
to learn from it names that file. Only its weights are read from there; the network is built here.
"""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchaudio.transforms import MelSpectrogram

from genred.errors import InputError
from genred_train.teacher import checkpoint
from genred_train.teacher.frames import FRAME, HOP, SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PACKAGE = "musicnn==0.1.0"
_MODEL = "musicnn/MSD_musicnn/"

# Its front end, and how much it hears at once.
_N_FFT, _HOP, _MELS = 512, 256, 96
_HEARS_S = 3.0
_EPSILON = 1e-3

# Spectra that are transformed at once: a few MB of products, which stay in a core's cache.
_CHUNK = 32

# Frames that the filters of time reach to either side, all layers together; and frames of a part,
# for a recording's products would take gigabytes.
_REACH, _PART = 80, 4096

# Stretches of three seconds that are pooled at once.
_SPANS = 64

_PENULTIMATE, _TAGS = 200, 50
WIDTH = _PENULTIMATE + _TAGS


class Tagger:
    """Turns samples into what the network makes of them: its last layer but one, and its tags.

    Raises :class:`InputError` if ``path`` is not that wheel.
    """

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as wheel:
                index = wheel.read(f"{_MODEL}.index")
                data = wheel.read(f"{_MODEL}.data-00000-of-00001")
            self._take(checkpoint.variables(index, data))
        except OSError as error:
            raise InputError(
                f"cannot read the teacher {path}: {error.strerror}", f"name the wheel of {PACKAGE}"
            ) from None
        except (KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is not the wheel of {PACKAGE}: {error}",
                f"pip download --no-deps {PACKAGE} fetches it",
            ) from None
        self.name = hashlib.sha256(index + data).hexdigest()[:16]

    def embed(self, samples: NDArray[np.int16]) -> NDArray[np.float16]:
        """Last layer but one and logits of tags ``[frames, 250]`` of ``samples`` at 16 kHz.

        Frames are those of :mod:`~genred_train.teacher.frames`; of each the three seconds around
        its middle are heard, or those at an end of the recording.
        """
        audio = torch.from_numpy(samples.astype(np.float32) / np.float32(32768))
        if audio.numel() < FRAME:
            audio = functional.pad(audio, (0, FRAME - audio.numel()))
        with torch.no_grad():
            heard = self._heard(self._spectra(audio))
            middles = (torch.arange((audio.numel() - FRAME) // HOP + 1) * HOP + FRAME / 2) / _HOP
            length = min(round(_HEARS_S * SAMPLE_RATE / _HOP), len(heard))
            begins = (middles - length / 2).round().long().clamp(0, len(heard) - length)
            spans = heard.unfold(0, length, 1)
            said = []
            for first in range(0, len(begins), _SPANS):
                span = spans[begins[first : first + _SPANS]]
                said.append(self._said(span.amax(2), span.mean(2)))
            return np.asarray(torch.cat(said).half().numpy())

    def _spectra(self, audio: Tensor) -> Tensor:
        """Log-mel ``[frames, 96]``, standardised."""
        scale, shift = self._norms[0]
        return torch.log10(10_000 * self._mel(audio).T + 1) * scale + shift

    def _heard(self, spectra: Tensor) -> Tensor:
        """What all layers before the pooling of time make of it: ``[frames, 753]``."""
        parts = []
        for begin in range(0, len(spectra), _PART):
            low = max(0, begin - _REACH)
            part = self._layers(spectra[low : begin + _PART + _REACH])
            parts.append(part[begin - low : begin - low + _PART])
        return torch.cat(parts)

    def _layers(self, spectra: Tensor) -> Tensor:
        around = functional.pad(spectra, (0, 0, 3, 3)).contiguous()
        found = [self._timbre(around, number) for number in range(2)]
        found.append(self._rhythm(spectra))
        # From here on [channels, frames].
        front = torch.cat(found, dim=1).T
        layers = [front]
        for number in range(5, 8):
            kernel, bias = self._kernels[number], self._biases[number]
            heard = functional.conv1d(layers[-1][None], kernel, bias, padding=3)
            scale, shift = self._norms[number + 1]
            made = functional.relu(heard[0]) * scale[:, None] + shift[:, None]
            layers.append(made if number == 5 else made + layers[-1])
        return torch.cat(layers).T

    def _timbre(self, around: Tensor, number: int) -> Tensor:
        """Filters of 7 frames and part of the bands, at whatever pitch they fit best.

        As products of matrices, which is more than twice as fast as a convolution of one channel.
        """
        kernel = self._kernels[number]
        height = kernel.shape[3]
        flat = kernel.reshape(len(kernel), -1).T.contiguous()
        places = _MELS - height + 1
        made = []
        for begin in range(0, len(around) - 6, _CHUNK):
            count = min(_CHUNK, len(around) - 6 - begin)
            size, stride = (count, places, 7, height), (_MELS, 1, _MELS, 1)
            seen = around.as_strided(size, stride, begin * _MELS).reshape(count * places, -1)
            made.append(self._best((seen @ flat).view(count, places, -1), number))
        return torch.cat(made)

    def _rhythm(self, spectra: Tensor) -> Tensor:
        """Filters of 128, 64 and 32 frames of one band, in whatever band they fit best."""
        longest = self._kernels[2].shape[2]
        kernels = []
        for number in range(2, 5):
            kernel = self._kernels[number][:, 0, :, 0]
            left = (longest - 1) // 2 - (kernel.shape[1] - 1) // 2
            right = longest - kernel.shape[1] - left
            kernels.append(functional.pad(kernel, (left, right)))
        flat = torch.cat(kernels).T.contiguous()
        before = (longest - 1) // 2
        bands = functional.pad(spectra.T, (before, longest - 1 - before)).contiguous()
        made = []
        for begin in range(0, len(spectra), _CHUNK):
            count = min(_CHUNK, len(spectra) - begin)
            size, stride = (count, _MELS, longest), (1, bands.shape[1], 1)
            seen = bands.as_strided(size, stride, begin).reshape(count * _MELS, longest)
            answers = (seen @ flat).view(count, _MELS, len(kernels), -1)
            best = [self._best(answers[:, :, n], n + 2) for n in range(len(kernels))]
            made.append(torch.cat(best, dim=1))
        return torch.cat(made)

    def _best(self, answers: Tensor, number: int) -> Tensor:
        """Bias, rectifier, normalisation, then the largest over places ``[frames, places, n]``.

        The first three keep or reverse the order of places: only the ends of it are computed.
        """
        scale, shift = self._norms[number + 1]
        end = torch.where(scale < 0, answers.amin(1), answers.amax(1))
        return functional.relu(end + self._biases[number]) * scale + shift

    def _said(self, most: Tensor, mean: Tensor) -> Tensor:
        scale, shift = self._norms[9]
        # The largest and the mean of a channel stand side by side.
        pooled = torch.stack([most, mean], dim=2).flatten(1) * scale + shift
        scale, shift = self._norms[10]
        weight, bias = self._dense[0]
        last = functional.relu(pooled @ weight + bias) * scale + shift
        weight, bias = self._dense[1]
        return torch.cat([last, last @ weight + bias], dim=1)

    def _take(self, found: dict[str, NDArray[np.float32]]) -> None:
        values = {name: torch.from_numpy(value) for name, value in found.items()}

        def numbered(name: str, number: int) -> str:
            return f"{name}_{number}" if number else name

        self._norms = []
        for number in range(11):
            of = numbered("batch_normalization", number)
            scale = values[f"{of}/gamma"] / (values[f"{of}/moving_variance"] + _EPSILON).sqrt()
            self._norms.append((scale, values[f"{of}/beta"] - values[f"{of}/moving_mean"] * scale))
        self._biases = [values[f"{numbered('conv2d', number)}/bias"] for number in range(8)]
        self._kernels = []
        for number in range(8):
            # [time, bands, inputs, outputs] there; [outputs, inputs, time, bands] here.
            kernel = values[f"{numbered('conv2d', number)}/kernel"].permute(3, 2, 0, 1)
            # Those of the layers behind the first hear all channels at once.
            self._kernels.append(kernel if number < 5 else kernel[:, 0].transpose(1, 2))
        self._dense = [
            (values[f"{name}/kernel"], values[f"{name}/bias"]) for name in ("dense", "dense_1")
        ]
        if self._dense[1][0].shape != (_PENULTIMATE, _TAGS):
            raise ValueError("its layers are others")
        self._mel = MelSpectrogram(
            SAMPLE_RATE,
            n_fft=_N_FFT,
            hop_length=_HOP,
            n_mels=_MELS,
            norm="slaney",
            mel_scale="slaney",
            pad_mode="constant",
        )
