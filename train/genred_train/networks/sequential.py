"""``sequential``: three plain convolutions and two fully connected layers, nothing else."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import Normalisation, PictureNetwork


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, int, int] = (16, 32, 64)
    """Channels after each of the three convolutions."""

    hidden: int = Field(default=256, ge=1)
    """Units of the fully connected layer."""

    dropout: float = Field(default=0.5, ge=0, lt=1)
    normalisation: Normalisation = "window"


class Sequential(PictureNetwork):
    """The network; see the module."""

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.see(n_mels, frames, options.normalisation)
        layers: list[nn.Module] = []
        channels = 1
        for width in options.widths:
            layers += [nn.Conv2d(channels, width, 3), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            size = self.convolutions(torch.zeros(1, 1, n_mels, frames)).shape[1]
        self.head = nn.Sequential(
            nn.Linear(size, options.hidden),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.hidden, labels),
        )
        self.settle()

    def classify(self, picture: Tensor) -> Tensor:
        """Classify ``[batch, 1, n_mels, frames]``; returns logits ``[batch, labels]``."""
        logits: Tensor = self.head(self.convolutions(picture))
        return logits


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> Sequential:
    """Make the network for windows of ``[n_mels, frames]``."""
    return Sequential(n_mels, frames, labels, options)
