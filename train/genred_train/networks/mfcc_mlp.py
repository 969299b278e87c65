"""``mfcc_mlp``: fully connected layers over the mean and deviation of MFCC.

Mel-frequency cepstral coefficients (Davis and Mermelstein, 1980) are the discrete cosine
transform of a frame's log-mel bands; a window becomes their means over its frames, then their
standard deviations. Rows of such numbers that somebody else has computed can be learnt from as
well (``input = "statistics"``).
"""

from __future__ import annotations

from typing import Literal

import torch
import torchaudio
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import Network, Standardise


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    input: Literal["log-mel", "statistics"] = "log-mel"
    """What it is given: log-mel frames, or rows of statistics as they are."""

    coefficients: int = Field(default=13, ge=2)
    """MFCC, the first (which tells the level) included."""

    hidden: tuple[int, ...] = Field(default=(128, 32), min_length=1)
    """Units of the hidden layers."""

    standardise: bool = True
    """Whether the statistics are standardised over the training crops first."""


class MfccMlp(Network):
    """The network; see the module."""

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.n_mels, self.frames = n_mels, frames
        size = n_mels
        self.transform = None
        if options.input == "log-mel":
            if options.coefficients > n_mels:
                raise ValueError(f"{n_mels} bands have no {options.coefficients} MFCC")
            size = 2 * options.coefficients
            self.transform = _Statistics(n_mels, options.coefficients)
        elif frames != 1:
            raise ValueError("rows of statistics have one frame")
        self.standardise = Standardise(size) if options.standardise else None
        layers: list[nn.Module] = []
        for units in options.hidden:
            layers += [nn.Linear(size, units), nn.ReLU()]
            size = units
        self.layers = nn.Sequential(*layers, nn.Linear(size, labels))

    def forward(self, logmel: Tensor) -> Tensor:
        """Classify ``[batch, n_mels, frames]``, or rows ``[batch, numbers, 1]``."""
        rows = logmel if self.transform is None else self.transform(logmel)
        if self.standardise is not None:
            rows = self.standardise(rows)
        logits: Tensor = self.layers(rows[:, :, 0])
        return logits

    @property
    def wants_normalisation(self) -> bool:
        """Only where statistics are standardised over the training crops."""
        return self.standardise is not None

    def normalised(self, logmel: Tensor) -> Tensor:
        """What :meth:`set_normalisation` wants the mean and deviation of: the statistics."""
        rows: Tensor = logmel if self.transform is None else self.transform(logmel)
        return rows

    def set_normalisation(self, mean: Tensor, scale: Tensor) -> None:
        """Take the mean and standard deviation of the training crops' statistics."""
        if self.standardise is not None:
            self.standardise.set(mean, scale)


class _Statistics(nn.Module):
    """MFCC of ``[batch, n_mels, frames]``, then mean and deviation: ``[batch, 2 * mfcc, 1]``."""

    def __init__(self, n_mels: int, coefficients: int) -> None:
        super().__init__()
        cosines = torchaudio.functional.create_dct(coefficients, n_mels, norm="ortho")
        self.register_buffer("cosines", cosines.T.contiguous())

    def forward(self, logmel: Tensor) -> Tensor:
        mfcc = self.get_buffer("cosines") @ logmel
        mean = mfcc.mean(dim=2, keepdim=True)
        # Written out: the exporter's own deviation divides by one frame less.
        deviation = (mfcc - mean).square().mean(dim=2, keepdim=True).sqrt()
        return torch.cat([mean, deviation], dim=1)


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> MfccMlp:
    """Make the network for windows of ``[n_mels, frames]``."""
    return MfccMlp(n_mels, frames, labels, options)
