"""The processes that train one network together, or the only one.

``torchrun`` starts them and tells each of the others; PyTorch's distributed data parallel then
averages their gradients (NCCL between GPUs, Gloo between CPUs). Every process draws the same
batches and works on its share of each; each judges its share of the validation windows.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed, nn

from genred.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

# One process may decode all recordings before the others come to it.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Team:
    """``size`` processes of which this is number ``rank``."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def wrap(self, network: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The network as it is called in training, with gradients shared by all."""
        if self.size == 1 or not any(p.requires_grad for p in network.parameters()):
            return network
        ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def align(self, network: nn.Module) -> None:
        """Give all processes the first one's running statistics."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def mean(self, number: float) -> float:
        """The mean of all processes' ``number``."""
        if self.size == 1:
            return number
        numbers: list[float] = [0.0] * self.size
        distributed.all_gather_object(numbers, number)
        return sum(numbers) / self.size

    def woven(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """All rows, of which each process has every ``size``-th, in their order."""
        if self.size == 1:
            return rows
        parts: list[NDArray[np.float32]] = [rows] * self.size
        distributed.all_gather_object(parts, rows)
        whole = np.empty((sum(len(part) for part in parts), *rows.shape[1:]), rows.dtype)
        for rank, part in enumerate(parts):
            whole[rank :: self.size] = part
        return whole

    def wait(self) -> None:
        """Wait for all."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """Join the processes that ``torchrun`` has started; alone, there is one.

    Raises :class:`UnavailableError` if there are more processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    local = int(os.environ["LOCAL_RANK"])
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    if gpus and local >= gpus:
        raise UnavailableError(
            f"{size} processes want a GPU each, and there are {gpus}",
            "give torchrun as many processes as there are GPUs, or use --device cpu",
        )
    if gpus:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if gpus else "gloo", timeout=_PATIENCE)
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
