"""The plain way: torchaudio's mel-spectrogram and a PyTorch network, a window at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from genred_train.front_end import LogMel

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from genred_train.peers.job import Job


def build(job: Job) -> Callable[[NDArray[np.float32]], Any]:
    """Make front end and network."""
    torch.set_num_threads(1)
    network, reach = job.network(), job.reach
    transform = LogMel(job.metadata.front_end, job.metadata.sample_rate).eval()

    @torch.inference_mode()
    def decide(window: NDArray[np.float32]) -> Any:
        return network(transform(torch.from_numpy(window[-reach:])[None])).softmax(1).numpy()

    return decide
