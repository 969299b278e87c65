"""Building blocks of streamable networks: convolutions that do not pad along time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genred_train.networks.base import Stage


class Convolution(Stage):
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
        """Convolve ``[batch, channels, bands, frames]``."""
        result: Tensor = self.layers(activations)
        return result


class Separable(Stage):
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
        """Convolve ``[batch, channels, bands, frames]``."""
        result: Tensor = self.pointwise(self.depthwise(activations))
        if self.short_cut:
            edge = self.time_kernel // 2
            result = result + activations[..., edge : activations.shape[3] - edge]
        return torch.relu(result)


class JoinBands(Stage):
    """One convolution over all bands at once: what is left is a vector a position."""

    def __init__(self, channels: tuple[int, int], bands: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(*channels, (bands, 1), bias=False), nn.BatchNorm2d(channels[1]), nn.ReLU()
        )

    def forward(self, activations: Tensor) -> Tensor:
        """Join ``[batch, channels, bands, frames]`` to ``[batch, channels, 1, frames]``."""
        result: Tensor = self.layers(activations)
        return result


def bands_after(stage: Stage, bands: int) -> int:
    """How many bands a stage leaves of ``bands``."""
    convolution = next(module for module in stage.modules() if isinstance(module, nn.Conv2d))
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    return (bands + 2 * (kernel // 2) - kernel) // stride + 1
