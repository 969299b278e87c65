"""Log-mel frames by FFT, outside of a model's graph: the CPU's short way to ``logmel``.

The graph of a model file multiplies by a table of cosines, which every provider can do; on a CPU a
fast Fourier transform needs a tenth of that. Both follow from the same metadata, and
:func:`genred.model.session.load_model` holds one against the other before it trusts this one.

The mel filters are those of torchaudio's ``melscale_fbanks``, in the scales of HTK (Young et al.,
"The HTK Book", 1995) and of Slaney ("Auditory Toolbox", 1998).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.model.metadata import FrontEnd

    Floats = NDArray[np.float32]

BLOCK_BYTES: Final = 320 * 1024
"""Windowed frames worked on at once: with their spectra they stay in a core's own cache, and the
products with the mel filters have enough rows to be worth a call."""

GROUP: Final = 16
"""Filters of one matrix product. A filter looks at a few bins; the fewer share a product, the fewer
zeros are multiplied, and the more calls it takes."""

_SLANEY_LINEAR_HZ: Final = 200.0 / 3.0
_SLANEY_BREAK_HZ: Final = 1000.0
_SLANEY_STEP: Final = float(np.log(6.4)) / 27.0


def hertz_to_mel(hertz: float, scale: str) -> float:
    """Frequency in mel, on the ``htk`` or ``slaney`` scale."""
    if scale == "htk":
        return 2595.0 * float(np.log10(1.0 + hertz / 700.0))
    if hertz < _SLANEY_BREAK_HZ:
        return hertz / _SLANEY_LINEAR_HZ
    return _SLANEY_BREAK_HZ / _SLANEY_LINEAR_HZ + float(
        np.log(hertz / _SLANEY_BREAK_HZ) / _SLANEY_STEP
    )


def mel_to_hertz(mel: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Frequencies of ``mel``, the inverse of :func:`hertz_to_mel`."""
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    bend = _SLANEY_BREAK_HZ / _SLANEY_LINEAR_HZ
    return np.where(
        mel < bend,
        mel * _SLANEY_LINEAR_HZ,
        _SLANEY_BREAK_HZ * np.exp(_SLANEY_STEP * (np.maximum(mel, bend) - bend)),
    )


def mel_filters(settings: FrontEnd, sample_rate: int) -> NDArray[np.float64]:
    """Triangular mel filters ``[n_fft // 2 + 1, n_mels]``."""
    scale = settings.mel_scale
    bins = np.linspace(0.0, sample_rate // 2, settings.n_fft // 2 + 1)
    corners = mel_to_hertz(
        np.linspace(
            hertz_to_mel(settings.f_min, scale),
            hertz_to_mel(settings.f_max, scale),
            settings.n_mels + 2,
        ),
        scale,
    )
    widths = np.diff(corners)
    slopes = corners[None] - bins[:, None]
    falling, rising = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    filters = np.maximum(0.0, np.minimum(falling, rising))
    if settings.norm == "slaney":
        filters *= 2.0 / (corners[2:] - corners[:-2])
    return filters


class LogMel:
    """Turns samples into the log-mel frames that the graph of the same metadata would make.

    Keeps its working memory; for one thread at a time.
    """

    def __init__(self, settings: FrontEnd, sample_rate: int, hop: int) -> None:
        self.settings = settings
        self.hop = hop
        self.tail = settings.n_fft - settings.hop_length
        """Samples before the new ones that their first frame begins with."""
        self.frames = hop // settings.hop_length
        """Frames that one hop adds."""
        size, bins = settings.n_fft, settings.n_fft // 2 + 1
        angle = 2.0 * np.pi * np.arange(size) / size
        self._window = (0.5 - 0.5 * np.cos(angle)).astype(np.float32)
        filters = mel_filters(settings, sample_rate)
        # The transform below is divided by its length; the filters make up for that.
        filters *= float(size) ** settings.power
        used = np.flatnonzero(filters.any(axis=1))
        self._first, self._last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        self._feeds = max(1, BLOCK_BYTES // (4 * size * self.frames))
        rows = self._feeds * self.frames
        self._windowed = np.empty((rows, size), np.float32)
        self._spectrum = np.empty((rows, bins), np.complex64)
        self._power = np.empty((rows, self._last - self._first), np.float32)
        self._mel = np.empty((rows, settings.n_mels), np.float32)
        self._groups = [
            self._group(filters, start, min(start + GROUP, settings.n_mels))
            for start in range(0, settings.n_mels, GROUP)
        ]
        self._floor = np.float32(settings.floor)
        self._unit = np.float32(10.0 / np.log(10.0)) if settings.log == "decibel" else None

    def _group(
        self, filters: NDArray[np.float64], start: int, end: int
    ) -> tuple[slice, Floats, slice]:
        """The bins some filters look at, the filters there, and where their products go."""
        used = np.flatnonzero(filters[:, start:end].any(axis=1))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (self._first, self._last)
        weights = np.ascontiguousarray(filters[low:high, start:end], np.float32)
        return slice(low - self._first, high - self._first), weights, slice(start, end)

    def __call__(self, samples: Floats, out: Floats) -> None:
        """Fill ``out`` ``[feeds, n_mels, frames]`` from ``samples`` ``[feeds, tail + hop]``.

        The samples of one feed lie together; rows may lie apart.
        """
        for start in range(0, len(samples), self._feeds):
            end = min(start + self._feeds, len(samples))
            self._block(samples[start:end], out[start:end])

    def _block(self, samples: Floats, out: Floats) -> None:
        feeds, frames, size = len(samples), self.frames, self.settings.n_fft
        row, sample = samples.strides
        rows = feeds * frames
        # Frames overlap; a view cuts them without a copy.
        cut = as_strided(
            samples,
            (feeds, frames, size),
            (row, sample * self.settings.hop_length, sample),
            writeable=False,
        )
        windowed, spectrum = self._windowed[:rows], self._spectrum[:rows]
        power, mel = self._power[:rows], self._mel[:rows]
        np.multiply(cut, self._window, out=windowed.reshape(feeds, frames, size))
        # Divided by the length (norm "forward") the transform is a third faster: numpy's factor is
        # then a 32-bit float itself and no operand is cast through a buffer.
        np.fft.rfft(windowed, axis=-1, norm="forward", out=spectrum)  # type: ignore[arg-type]
        np.abs(spectrum[:, self._first : self._last], out=power)
        if self.settings.power == 2.0:
            np.multiply(power, power, out=power)
        elif self.settings.power != 1.0:
            np.power(power, np.float32(self.settings.power), out=power)
        for bins, weights, filters in self._groups:
            np.matmul(power[:, bins], weights, out=mel[:, filters])
        np.add(mel, self._floor, out=mel)
        np.log(mel, out=mel)
        if self._unit is not None:
            np.multiply(mel, self._unit, out=mel)
        np.copyto(out, mel.reshape(feeds, frames, -1).transpose(0, 2, 1))
