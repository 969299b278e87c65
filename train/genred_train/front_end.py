"""The front end of the lab: log-mel frames from samples, on the device, in batches.

It is torchaudio's ``MelSpectrogram`` and a logarithm; what goes into a model file is the same
arithmetic written as matrix products (:mod:`genred_train.export.spectrum`), and a test holds
the two to 1e-4 of each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torchaudio
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genred.model.metadata import FrontEnd

# 10*log10(x) is this many natural logarithms.
DECIBEL = 10.0 / 2.302585092994046


def mel_filters(settings: FrontEnd, sample_rate: int) -> Tensor:
    """Return torchaudio's triangular mel filters, ``[n_fft // 2 + 1, n_mels]``."""
    filters: Tensor = torchaudio.functional.melscale_fbanks(
        n_freqs=settings.n_fft // 2 + 1,
        f_min=settings.f_min,
        f_max=settings.f_max,
        n_mels=settings.n_mels,
        sample_rate=sample_rate,
        norm=settings.norm,
        mel_scale=settings.mel_scale,
    )
    return filters


def band_centres(settings: FrontEnd) -> NDArray[np.float64]:
    """The middle of each mel band in Hz, ``[n_mels]``."""
    convert = torchaudio.functional.functional
    low, high = (
        convert._hz_to_mel(edge, settings.mel_scale)  # noqa: SLF001 - torchaudio offers no other
        for edge in (settings.f_min, settings.f_max)
    )
    points = torch.linspace(low, high, settings.n_mels + 2)
    hertz: NDArray[np.float64] = convert._mel_to_hz(points, settings.mel_scale).numpy()  # noqa: SLF001 - as above
    return hertz[1:-1]


def compress(mel: Tensor, settings: FrontEnd) -> Tensor:
    """Take the logarithm of mel power, floored: natural or decibel, as ``settings`` say."""
    logarithm = torch.log(mel + settings.floor)
    return logarithm * DECIBEL if settings.log == "decibel" else logarithm


class LogMel(nn.Module):
    """Samples to log-mel frames.

    ``[batch, samples]`` (float, full scale 1.0) becomes ``[batch, n_mels, frames]`` with
    ``frames = (samples - n_fft) // hop_length + 1``: frames are not centred, so that none
    looks into the future.
    """

    def __init__(self, settings: FrontEnd, sample_rate: int) -> None:
        super().__init__()
        self.settings = settings
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=sample_rate,
            n_fft=settings.n_fft,
            hop_length=settings.hop_length,
            f_min=settings.f_min,
            f_max=settings.f_max,
            n_mels=settings.n_mels,
            power=settings.power,
            center=False,
            norm=settings.norm,
            mel_scale=settings.mel_scale,
        )

    def forward(self, audio: Tensor) -> Tensor:
        """Transform ``[batch, samples]`` into ``[batch, n_mels, frames]``."""
        return compress(self.mel(audio), self.settings)


def frames_in(samples: int, settings: FrontEnd) -> int:
    """How many whole frames ``samples`` hold."""
    return max(0, (samples - settings.n_fft) // settings.hop_length + 1)
