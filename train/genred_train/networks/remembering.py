"""``remembering``: hears one second as a small convolutional network, and remembers what it heard.

Three plain convolutions, a depthwise-separable one, one convolution that joins the bands, and
separable ones along time alone give a vector 20 times a second. Mean and maximum of those that
lie in the last second go through one layer: what is heard *now*. A gated leaky average of it, each
unit with a gate of its own that opens where memory and present differ (the minimal gated unit of
Zhou et al., 2016, without its forget gate on the inside), is what is *remembered*. The logits are
a linear function of both, so that it can say something after one second and more after ten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import Remembers, Said, Stage, Standardise, StreamableNetwork
from genred_train.networks.stages import Convolution, JoinBands, Separable, bands_after

if TYPE_CHECKING:
    from collections.abc import Sequence

# The gates' first bias: a fifth of the memory is new after a step of a quarter of a second.
_GATE_BIAS = -1.4


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    """Channels after each of the four stages that see bands."""

    vector: int = Field(default=192, ge=1)
    """Channels of the stages along time alone."""

    layers: int = Field(default=2, ge=0)
    """How many of those there are."""

    hidden: int = Field(default=256, ge=1)
    """Units of what is heard now."""

    memory: int = Field(default=128, ge=0)
    """Units of what is remembered; 0 for a network of one second."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """How much of both is dropped in training."""


class Remembering(StreamableNetwork, Remembers):
    """The network; see the module."""

    label_gradient = 1.0

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.n_mels, self.frames = n_mels, frames
        w = options.widths
        self.standardise = Standardise(n_mels)
        stages: list[Stage] = [
            Convolution((1, w[0]), (5, 4), (2, 2)),
            Convolution((w[0], w[1]), (3, 4), (2, 2)),
            Convolution((w[1], w[2]), (3, 3), (2, 1)),
            Separable((w[2], w[3]), (3, 3), (2, 1)),
        ]
        bands = n_mels
        for stage in stages:
            bands = bands_after(stage, bands)
        stages.append(JoinBands((w[3], options.vector), bands))
        stages += [
            Separable((options.vector, options.vector), (1, 3), (1, 1))
            for _ in range(options.layers)
        ]
        self.stages = nn.ModuleList(stages)
        self.present = nn.Sequential(
            nn.Linear(2 * options.vector, options.hidden, bias=False),
            nn.BatchNorm1d(options.hidden),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(options.dropout)
        self.memory = options.memory
        if options.memory:
            self.candidate = nn.Linear(options.hidden, options.memory)
            self.gate = nn.Linear(2 * options.memory, options.memory)
            nn.init.constant_(self.gate.bias, _GATE_BIAS)
        self.answer = nn.Linear(options.hidden + options.memory, labels)
        self.settle()

    @property
    def logits_layer(self) -> str:
        """The layer whose output is the logits."""
        return "answer"

    @property
    def vector_size(self) -> int:
        """Units of what is heard now."""
        return self.answer.in_features - self.memory

    @property
    def memory_layers(self) -> tuple[str, ...]:
        """What remembers, and what drops some of it in training."""
        return ("candidate", "gate", "dropout") if self.memory else ("dropout",)

    def forward(self, logmel: Tensor) -> Tensor:
        """Classify windows by themselves: ``[batch, n_mels, frames]`` to ``[batch, labels]``."""
        return self.listen(logmel, 1).logits[:, 0]

    def listen(self, logmel: Tensor, hop: int) -> Said:
        """Listen to ``[batch, n_mels, frames + k * hop]``, from an empty memory on.

        There are ``k + 1`` decisions, the first at the end of the first whole window.
        """
        activations = self.standardise(logmel).unsqueeze(1)
        for stage in self.stages:
            activations = stage(activations)
        positions = activations.flatten(1, 2)
        apart = self._through(hop, whole=False) if positions.shape[2] > self.positions else 1
        mean = nn.functional.avg_pool1d(positions, self.positions, apart)
        top = nn.functional.max_pool1d(positions, self.positions, apart)
        pooled = torch.cat([mean, top], dim=1).transpose(1, 2)
        count = pooled.shape[1]
        now = self.present(pooled.flatten(0, 1)).unflatten(0, (-1, count)).float()
        share = self.label_gradient
        heard = now if share == 1.0 else now * share + now.detach() * (1.0 - share)
        if not self.memory:
            return Said(self.answer(self.dropout(heard)), now)
        heard = torch.cat([heard, self._remember(heard)], dim=2)
        return Said(self.answer(self.dropout(heard)), now)

    def memory_shapes(self, new_frames: int) -> list[tuple[int, ...]]:
        """Those of the convolutions, what is remembered, and how many steps went by."""
        shapes = super().memory_shapes(new_frames)
        return [*shapes, (self.memory,), (1,)] if self.memory else shapes

    def step(self, logmel: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decide at the end of the new frames ``[batch, n_mels, new]``."""
        own = 2 if self.memory else 0
        window, following = self._advance(logmel, memory[: len(memory) - own])
        positions = window.flatten(1, 2)
        pooled = torch.cat([positions.mean(dim=2), positions.amax(dim=2)], dim=1)
        now = self.present(pooled)
        if not self.memory:
            return self.answer(now), following
        before, steps = memory[-2:]
        # Until the first window is whole, nothing is remembered; then it is the first memory.
        needed = -(-self.frames // logmel.shape[2])
        whole = (steps - (needed - 2)).clamp(0.0, 1.0)
        going = (steps - (needed - 1)).clamp(0.0, 1.0)
        candidate = self.candidate(now)
        after = candidate + going * (self._blend(before, candidate) - candidate)
        after = after * whole
        logits: Tensor = self.answer(torch.cat([now, after], dim=1))
        return logits, [*following, after, (steps + 1.0).clamp(max=float(needed))]

    def _remember(self, now: Tensor) -> Tensor:
        candidates: Sequence[Tensor] = self.candidate(now).unbind(1)
        held = [candidates[0]]
        for candidate in candidates[1:]:
            held.append(self._blend(held[-1], candidate))
        return torch.stack(held, dim=1)

    def _blend(self, before: Tensor, candidate: Tensor) -> Tensor:
        new = candidate - before
        gate = torch.sigmoid(self.gate(torch.cat([candidate, new.abs()], dim=1)))
        return before + gate * new


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> Remembering:
    """Make the network for windows of ``[n_mels, frames]``."""
    return Remembering(n_mels, frames, labels, options)
