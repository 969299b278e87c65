"""``compact``: a small convolutional network for one second, made to run as a stream.

Two plain convolutions find edges in time and frequency, then depthwise-separable ones (Howard
et al., "MobileNets", 2017) with a short cut where shapes allow, then one convolution joins the
bands. Strides along time come to 4, so that 80 frames a second become 20 positions a second;
the head takes mean and maximum over the window's positions.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import Stage, Standardise, StreamableNetwork
from genred_train.networks.stages import Convolution, JoinBands, Separable, bands_after


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, int, int, int, int, int] = (16, 24, 48, 96, 128, 128)
    """Channels after each of the six stages."""

    hidden: int = Field(default=0, ge=0)
    """Units of a hidden layer in the head; 0 for none."""

    dropout: float = Field(default=0.3, ge=0, lt=1)
    """How much of the pooled vector is dropped in training."""


class _Head(nn.Module):
    """Mean and maximum over positions, dropout, logits."""

    def __init__(self, channels: int, labels: int, options: Options) -> None:
        super().__init__()
        pooled, layers = 2 * channels, list[nn.Module]()
        if options.hidden:
            layers = [nn.Dropout(options.dropout), nn.Linear(pooled, options.hidden), nn.ReLU()]
            pooled = options.hidden
        self.layers = nn.Sequential(*layers, nn.Dropout(options.dropout), nn.Linear(pooled, labels))

    def forward(self, activations: Tensor) -> Tensor:
        positions = activations.flatten(1, 2)
        pooled = torch.cat([positions.mean(dim=2), positions.amax(dim=2)], dim=1)
        logits: Tensor = self.layers(pooled)
        return logits


class Compact(StreamableNetwork):
    """The network; see the module."""

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.n_mels, self.frames = n_mels, frames
        w = options.widths
        self.standardise = Standardise(n_mels)
        stages: list[Stage] = [
            Convolution((1, w[0]), (5, 4), (2, 2)),
            Convolution((w[0], w[1]), (3, 3), (2, 1)),
            Separable((w[1], w[2]), (3, 4), (2, 2)),
            Separable((w[2], w[3]), (3, 3), (1, 1)),
            Separable((w[3], w[4]), (3, 3), (2, 1)),
        ]
        bands = n_mels
        for stage in stages:
            bands = bands_after(stage, bands)
        stages.append(JoinBands((w[4], w[5]), bands))
        self.stages = nn.ModuleList(stages)
        self.head = _Head(w[5], labels, options)
        self.settle()


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> Compact:
    """Make the network for windows of ``[n_mels, frames]``."""
    return Compact(n_mels, frames, labels, options)
