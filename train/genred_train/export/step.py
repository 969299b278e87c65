"""One step of the whole pipeline as a module: what becomes the graph of a model file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genred_train.export.spectrum import FoldedLogMel

if TYPE_CHECKING:
    from genred.model.metadata import FrontEnd
    from genred_train.networks.base import Network


class Step(nn.Module):
    """``(audio, state) -> (logits, logmel, next_state)``; see :mod:`genred.model.metadata`.

    The state is one row of floats a feed: the ``n_fft - hop_length`` samples that the next
    frames begin with, then the network's memory, flattened tensor after tensor.
    """

    def __init__(self, network: Network, settings: FrontEnd, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.front_end = FoldedLogMel(settings, sample_rate, hop)
        self.network = network
        self.hop = hop
        self.tail = settings.n_fft - settings.hop_length
        self.shapes = network.memory_shapes(self.front_end.frames)
        self.sizes = [math.prod(shape) for shape in self.shapes]

    @property
    def state_size(self) -> int:
        """Floats of state a feed."""
        return self.tail + sum(self.sizes)

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take the new samples ``[feeds, hop]`` and the state ``[feeds, state_size]``."""
        samples = torch.cat([state[:, : self.tail], audio], dim=1)
        logmel = self.front_end(samples)
        memory, start = [], self.tail
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            memory.append(state[:, start : start + size].reshape(-1, *shape))
            start += size
        logits, following = self.network.step(logmel, memory)
        kept = [samples[:, samples.shape[1] - self.tail :]]
        kept += [tensor.flatten(1) for tensor in following]
        return logits, logmel, torch.cat(kept, dim=1)
