"""Networks that were trained alike but for their seed, and speak as one.

What they say is the mean of their logits: where one has learnt recordings by heart, another has
learnt other things of them by heart (Hansen & Salamon, "Neural network ensembles", 1990; of logits
rather than probabilities it is a product of experts: Hinton, 2002). In a stream their memories
stand one after the other, and one front end serves all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genred_train.networks.base import Listens, Network, Said

if TYPE_CHECKING:
    from collections.abc import Sequence


def together(networks: Sequence[Network]) -> Network:
    """``networks`` as one, the only one as it is. All hear the same windows and labels."""
    if len(networks) == 1:
        return networks[0]
    if all(isinstance(network, Listens) for network in networks):
        return _ListeningMembers(networks)
    return _Members(networks)


class _Members(Network):
    """Says the mean of what its members say."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)
        self.frames, self.n_mels = networks[0].frames, networks[0].n_mels

    def forward(self, logmel: Tensor) -> Tensor:
        """Classify whole windows: ``[batch, n_mels, frames]`` to ``[batch, labels]``."""
        return self._mean([member(logmel) for member in self._each()])

    def memory_shapes(self, new_frames: int) -> list[tuple[int, ...]]:
        """Those of one member after the other."""
        return [shape for member in self._each() for shape in member.memory_shapes(new_frames)]

    def step(self, logmel: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decide at the end of the new frames ``[batch, n_mels, new]``."""
        said, following, begin = [], [], 0
        for member in self._each():
            end = begin + len(member.memory_shapes(logmel.shape[2]))
            logits, after = member.step(logmel, memory[begin:end])
            said.append(logits)
            following += after
            begin = end
        return self._mean(said), following

    def take_shifts(self, shifts: Tensor) -> None:
        """Each member takes them: so does the mean."""
        for member in self._each():
            member.take_shifts(shifts)

    def _each(self) -> list[Network]:
        return [member for member in self.members if isinstance(member, Network)]

    def _mean(self, logits: list[Tensor]) -> Tensor:
        return torch.stack(logits).mean(dim=0)


class _ListeningMembers(_Members, Listens):
    """The same of networks that remember, each what it has heard itself."""

    def listen(self, logmel: Tensor, hop: int) -> Said:
        """Listen to ``[batch, n_mels, frames + k * hop]``, each from an empty memory on."""
        said = [
            member.listen(logmel, hop) for member in self.members if isinstance(member, Listens)
        ]
        logits = self._mean([each.logits for each in said])
        return Said(logits, torch.cat([each.vectors for each in said], dim=-1))
