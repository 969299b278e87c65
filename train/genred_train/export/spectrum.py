"""The front end as matrix products, for the inside of a model file.

A model file holds no FFT: ONNX's operator for it is slow or missing in places where
onnxruntime runs. A discrete Fourier transform over the few bins that the mel filters look at is
a matrix product, which every provider does well, and three facts make it small:

* Only the bins between ``f_min`` and ``f_max`` are computed.
* The Hann window is symmetric, so samples *n* and *N-n* share their cosine, and their sine but
  for the sign: add and subtract them first, and half the products go.
* About *N/4* the same holds again, with a sign that depends on whether the bin is even or odd
  (one step of decimation in frequency): fold once more, and half of those go as well.

What is left is four products of ``n_fft/4 + 1`` by half the bins: a quarter of the plain one.

In 32 bits a long sum of a loud tone loses the quiet bins beside it. Long products are therefore
added up in parts, each of every few samples: within a part neighbours cancel less, and no partial
sum grows as large. It brings the error of 2048 samples to a fifth, near that of an FFT.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genred_train.front_end import compress, mel_filters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genred.model.metadata import FrontEnd


# Sums of more terms than this are added up in parts, so many of them.
_LONG = 256
_PARTS = 16


class FoldedLogMel(nn.Module):
    """Log-mel frames of the newest samples, equal to :class:`~genred_train.front_end.LogMel`.

    ``forward`` takes ``[feeds, n_fft - hop_length + hop]`` samples, the first ``n_fft -
    hop_length`` of them kept from the last step, and returns ``[feeds, n_mels, hop //
    hop_length]``: every sample is in no more products than its own frames ask for.
    """

    def __init__(self, settings: FrontEnd, sample_rate: int, hop: int) -> None:
        super().__init__()
        size, step = settings.n_fft, settings.hop_length
        if size % 4 or hop % step or size < step:
            raise ValueError("n_fft must be a multiple of 4 and hop one of hop_length")
        self.settings = settings
        self.frames = hop // step
        self.quarter = size // 4 + 1
        half, m = size // 2, torch.arange(size // 4 + 1)
        parts = [m[n::_PARTS] for n in range(_PARTS)] if self.quarter > _LONG else [m]
        order = torch.cat(parts)
        self.parts = [len(part) for part in parts]

        # The four samples that share their products: m, N-m, N/2-m, N/2+m. At m = 0 the second
        # would be one past the frame; the window is zero there, so any index will do.
        offsets = torch.stack([m, (size - m) % size, half - m, half + m])[:, order]
        starts = torch.arange(self.frames) * step
        index = starts[:, None, None] + offsets[None]
        self.register_buffer("index", index.reshape(-1).int())  # half the size of int64 in the file

        window = torch.hann_window(size, periodic=True, dtype=torch.float64)
        outer, inner = window[m].clone(), window[half - m].clone()
        inner[0] *= 0.5  # N/2 pairs with itself
        outer[-1] *= 0.5  # N/4 stands in both pairs
        inner[-1] *= 0.5
        self.register_buffer("outer", outer.float()[order])
        self.register_buffer("inner", inner.float()[order])

        filters = mel_filters(settings, sample_rate)
        needed = torch.nonzero(filters.sum(dim=1) > 0).flatten()
        self.order, self.bins = order, dict[str, Tensor]()
        for name, parity in (("even", 0), ("odd", 1)):
            bins = needed[needed % 2 == parity]
            self.bins[name] = bins
            angle = 2 * math.pi / size * ((order[:, None] * bins[None, :]) % size).double()
            self.register_buffer(f"{name}_cosine", torch.cos(angle).float())
            self.register_buffer(f"{name}_sine", torch.sin(angle).float())
            self.register_buffer(f"{name}_mel", filters[bins].clone())

    def tables(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64], str]]:
        """Each table of the transform as rows, columns and function (``Cos``, ``Sin``).

        A number of it is the function of ``2 * pi * row * column / n_fft``.
        """
        order = self.order.numpy()
        return {
            f"{parity}_{name}": (order, bins.numpy(), function)
            for parity, bins in self.bins.items()
            for name, function in (("cosine", "Cos"), ("sine", "Sin"))
        }

    def forward(self, samples: Tensor) -> Tensor:
        """Transform ``[feeds, n_fft - hop_length + hop]`` into ``[feeds, n_mels, frames]``."""
        gathered = torch.index_select(samples, 1, self.get_buffer("index"))
        gathered = gathered.reshape(-1, self.frames, 4, self.quarter)
        first, second, third, fourth = gathered.unbind(dim=2)
        outer, inner = self.get_buffer("outer"), self.get_buffer("inner")
        outer_sum, outer_difference = (first + second) * outer, (first - second) * outer
        inner_sum, inner_difference = (third + fourth) * inner, (third - fourth) * inner
        mel = self._mel("even", outer_sum + inner_sum, outer_difference - inner_difference)
        mel = mel + self._mel("odd", outer_sum - inner_sum, outer_difference + inner_difference)
        return compress(mel, self.settings).transpose(1, 2)

    def _mel(self, parity: str, real: Tensor, imaginary: Tensor) -> Tensor:
        cosine = self._product(real, self.get_buffer(f"{parity}_cosine"))
        sine = self._product(imaginary, self.get_buffer(f"{parity}_sine"))
        power = cosine * cosine + sine * sine
        if self.settings.power != 2.0:
            power = power ** (self.settings.power / 2)
        return power @ self.get_buffer(f"{parity}_mel")

    def _product(self, folded: Tensor, table: Tensor) -> Tensor:
        begin, products = 0, []
        for length in self.parts:
            end = begin + length
            products.append(folded[..., begin:end] @ table[begin:end])
            begin = end
        while len(products) > 1:
            products = [
                one + other for one, other in zip(products[::2], products[1::2], strict=True)
            ]
        return products[0]
