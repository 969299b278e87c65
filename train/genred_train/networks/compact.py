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


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, int, int, int, int, int] = (16, 24, 48, 96, 128, 128)
    """Channels after each of the six stages."""

    hidden: int = Field(default=0, ge=0)
    """Units of a hidden layer in the head; 0 for none."""

    dropout: float = Field(default=0.3, ge=0, lt=1)
    """How much of the pooled vector is dropped in training."""


class _Convolution(Stage):
    """Convolution, batch normalisation, ReLU; padded along the bands alone."""

    def __init__(
        self, channels: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
    ) -> None:
        super().__init__()
        self.time_kernel, self.time_stride = kernel[1], stride[1]
        self.layers = nn.Sequential(
            nn.Conv2d(*channels, kernel, stride, padding=(kernel[0] // 2, 0), bias=False),
            nn.BatchNorm2d(channels[1]),
            nn.ReLU(),
        )

    def forward(self, activations: Tensor) -> Tensor:
        result: Tensor = self.layers(activations)
        return result


class _Separable(Stage):
    """Depthwise convolution along bands and time, then a pointwise one, with a short cut."""

    def __init__(
        self, channels: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
    ) -> None:
        super().__init__()
        self.time_kernel, self.time_stride = kernel[1], stride[1]
        # Odd and unstrided: the value in the middle of the kernel can be added as it is.
        self.short_cut = channels[0] == channels[1] and stride == (1, 1) and kernel[1] % 2 == 1
        self.depthwise = nn.Sequential(
            nn.Conv2d(
                channels[0],
                channels[0],
                kernel,
                stride,
                padding=(kernel[0] // 2, 0),
                groups=channels[0],
                bias=False,
            ),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        )
        self.pointwise = nn.Sequential(
            nn.Conv2d(*channels, 1, bias=False), nn.BatchNorm2d(channels[1])
        )

    def forward(self, activations: Tensor) -> Tensor:
        result: Tensor = self.pointwise(self.depthwise(activations))
        if self.short_cut:
            edge = self.time_kernel // 2
            result = result + activations[..., edge : activations.shape[3] - edge]
        return torch.relu(result)


class _JoinBands(Stage):
    """One convolution over all bands at once: what is left is a vector a position."""

    def __init__(self, channels: tuple[int, int], bands: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(*channels, (bands, 1), bias=False), nn.BatchNorm2d(channels[1]), nn.ReLU()
        )

    def forward(self, activations: Tensor) -> Tensor:
        result: Tensor = self.layers(activations)
        return result


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
            _Convolution((1, w[0]), (5, 4), (2, 2)),
            _Convolution((w[0], w[1]), (3, 3), (2, 1)),
            _Separable((w[1], w[2]), (3, 4), (2, 2)),
            _Separable((w[2], w[3]), (3, 3), (1, 1)),
            _Separable((w[3], w[4]), (3, 3), (2, 1)),
        ]
        bands = n_mels
        for stage in stages:
            bands = _bands_after(stage, bands)
        stages.append(_JoinBands((w[4], w[5]), bands))
        self.stages = nn.ModuleList(stages)
        self.head = _Head(w[5], labels, options)
        self.settle()


def _bands_after(stage: Stage, bands: int) -> int:
    convolution = next(module for module in stage.modules() if isinstance(module, nn.Conv2d))
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    return (bands + 2 * (kernel // 2) - kernel) // stride + 1


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> Compact:
    """Make the network for windows of ``[n_mels, frames]``."""
    return Compact(n_mels, frames, labels, options)
