"""``cnn3``: three blocks of convolution over half a minute, then fully connected layers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import Normalisation, PictureNetwork


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, int, int] = (16, 32, 64)
    """Channels after each of the three blocks."""

    pool: tuple[int, int] = (2, 4)
    """What each block's max-pooling joins: so many bands, so many frames."""

    hidden: int = Field(default=128, ge=1)
    """Units of the fully connected layer."""

    dropout: float = Field(default=0.5, ge=0, lt=1)
    normalisation: Normalisation = "window"


class Cnn3(PictureNetwork):
    """The network; see the module."""

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.see(n_mels, frames, options.normalisation)
        blocks: list[nn.Module] = []
        channels, bands, positions = 1, n_mels, frames
        for width in options.widths:
            blocks += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(options.pool),
            ]
            channels = width
            bands, positions = bands // options.pool[0], positions // options.pool[1]
        if not (bands and positions):
            raise ValueError("three poolings leave nothing of the picture")
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * bands * positions, options.hidden, bias=False),
            nn.BatchNorm1d(options.hidden),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.hidden, labels),
        )
        self.settle()

    def classify(self, picture: Tensor) -> Tensor:
        """Classify ``[batch, 1, n_mels, frames]``; returns logits ``[batch, labels]``."""
        logits: Tensor = self.head(self.blocks(picture))
        return logits


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> Cnn3:
    """Make the network for windows of ``[n_mels, frames]``."""
    return Cnn3(n_mels, frames, labels, options)
