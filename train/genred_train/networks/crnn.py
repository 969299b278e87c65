"""``crnn``: three convolutional stages, then a bidirectional recurrent network over time."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import Normalisation, PictureNetwork


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, int, int] = (64, 128, 256)
    """Channels after each of the three stages; each halves bands and frames."""

    hidden: int = Field(default=128, ge=1)
    """Units of the recurrent layers, in each direction."""

    layers: int = Field(default=2, ge=1)
    """Recurrent layers."""

    dense: int = Field(default=128, ge=1)
    """Units of the fully connected layer."""

    dropout: float = Field(default=0.5, ge=0, lt=1)
    normalisation: Normalisation = "window"


class BidirectionalGru(nn.Module):
    """Gated recurrent units (Cho et al., 2014) in both directions; returns their last states.

    ``[batch, positions, inputs]`` becomes ``[batch, 2 * hidden]``: the forward direction's state
    after the last position, then the backward one's after the first. In a model file each layer
    is one ``GRU`` operator, not a step for each position.
    """

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True, bidirectional=True)
        # torch keeps the gates as reset, update, new; ONNX wants update, reset, new.
        reset, update, new = torch.arange(3 * hidden).view(3, hidden)
        self.register_buffer("order", torch.cat([update, reset, new]), persistent=False)

    def forward(self, activations: Tensor) -> Tensor:
        """Run over ``[batch, positions, inputs]``."""
        if torch.compiler.is_exporting():
            return self._operators(activations)
        _, states = self.gru(activations)
        return torch.cat([states[-2], states[-1]], dim=1)

    def _operators(self, activations: Tensor) -> Tensor:
        hidden = self.gru.hidden_size
        following = activations.transpose(0, 1)
        positions, batch = following.shape[:2]
        last = following
        for layer in range(self.gru.num_layers):
            ends = [f"_l{layer}", f"_l{layer}_reverse"]
            following, last = torch.onnx.ops.symbolic_multi_out(
                "GRU",
                (
                    following,
                    torch.stack([self._ordered("weight_ih" + end) for end in ends]),
                    torch.stack([self._ordered("weight_hh" + end) for end in ends]),
                    torch.stack(
                        [
                            torch.cat(
                                [self._ordered("bias_ih" + end), self._ordered("bias_hh" + end)]
                            )
                            for end in ends
                        ]
                    ),
                ),
                {"hidden_size": hidden, "direction": "bidirectional", "linear_before_reset": 1},
                dtypes=(activations.dtype, activations.dtype),
                shapes=((positions, 2, batch, hidden), (2, batch, hidden)),
            )
            following = following.transpose(1, 2).flatten(2)
        return torch.cat([last[0], last[1]], dim=1)

    def _ordered(self, name: str) -> Tensor:
        return self.gru.get_parameter(name)[self.get_buffer("order")]


class Crnn(PictureNetwork):
    """The network; see the module."""

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.see(n_mels, frames, options.normalisation)
        if not (n_mels // 8 and frames // 8):
            raise ValueError("three halvings leave nothing of the picture")
        stages: list[nn.Module] = []
        channels = 1
        for width in options.widths:
            stages += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            channels = width
        self.stages = nn.Sequential(*stages)
        self.recurrent = BidirectionalGru(channels * (n_mels // 8), options.hidden, options.layers)
        self.head = nn.Sequential(
            nn.Linear(2 * options.hidden, options.dense),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.dense, labels),
        )
        self.settle()

    def classify(self, picture: Tensor) -> Tensor:
        """Classify ``[batch, 1, n_mels, frames]``; returns logits ``[batch, labels]``."""
        activations = self.stages(picture)  # [batch, channels, bands / 8, frames / 8]
        positions = activations.flatten(1, 2).transpose(1, 2)
        logits: Tensor = self.head(self.recurrent(positions))
        return logits


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> Crnn:
    """Make the network for windows of ``[n_mels, frames]``."""
    return Crnn(n_mels, frames, labels, options)
