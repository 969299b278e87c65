"""``melgram_cnn``: convolutions of 5x5 over one second's small mel-spectrogram."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import Normalisation, PictureNetwork


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1)
    """Channels after each convolution; each is followed by 2x2 max-pooling."""

    hidden: tuple[int, ...] = (256, 32)
    """Units of the fully connected layers."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    normalisation: Normalisation = "bands"


class MelgramCnn(PictureNetwork):
    """The network; see the module."""

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.see(n_mels, frames, options.normalisation)
        blocks: list[nn.Module] = []
        channels = 1
        for width in options.widths:
            blocks += [
                nn.Conv2d(channels, width, 5, padding=2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = width
        shrunk = 2 ** len(options.widths)
        size = channels * (n_mels // shrunk) * (frames // shrunk)
        if not size:
            raise ValueError(f"{len(options.widths)} poolings leave nothing of the picture")
        head: list[nn.Module] = [nn.Flatten()]
        for units in options.hidden:
            head += [nn.Linear(size, units), nn.ReLU(), nn.Dropout(options.dropout)]
            size = units
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*head, nn.Linear(size, labels))
        self.settle()

    def classify(self, picture: Tensor) -> Tensor:
        """Classify ``[batch, 1, n_mels, frames]``; returns logits ``[batch, labels]``."""
        logits: Tensor = self.head(self.blocks(picture))
        return logits


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> MelgramCnn:
    """Make the network for windows of ``[n_mels, frames]``."""
    return MelgramCnn(n_mels, frames, labels, options)
