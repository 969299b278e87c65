"""Runs a network over the windows of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from genred_train.judging import Scored, softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred_train.data.corpus import Corpus

# Samples transformed at once: 16 MB of them, 256 windows of a second at 16 kHz.
_BATCH_SAMPLES = 256 * 16_000


@dataclass(frozen=True)
class Windows:
    """Windows of a split: where each begins, and which entry, label and group it belongs to."""

    positions: NDArray[np.int64]
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    length: int

    def every(self, step: int, first: int) -> Windows:
        """Every ``step``-th of them from the ``first`` on."""
        part = slice(first, None, step)
        return Windows(
            self.positions[part],
            self.starts[part],
            self.labels[part],
            self.groups[part],
            self.length,
        )


def windows(
    corpus: Corpus, positions: Sequence[int], length: int, hop: int, most: int | None = None
) -> Windows:
    """Cut entries into windows of ``length`` samples every ``hop``, without the quiet ones.

    With ``most``, at most so many of each entry, evenly spread over it.
    """
    names = {group: n for n, group in enumerate(sorted({e.group for e in corpus.entries}))}
    found = []
    for position in positions:
        starts = corpus.starts(position, length, hop)
        if most is not None and starts.size > most:
            starts = starts[np.linspace(0, starts.size - 1, most).round().astype(int)]
        found.append(starts)
    which = np.repeat(np.asarray(positions, dtype=np.int64), [starts.size for starts in found])
    label = np.array([entry.label for entry in corpus.entries], dtype=np.int64)
    group = np.array([names[entry.group] for entry in corpus.entries], dtype=np.int64)
    starts = np.concatenate([*found, np.empty(0, np.int64)])
    return Windows(which, starts, label[which], group[which], length)


def audio_of(corpus: Corpus, chosen: Windows, part: slice) -> Tensor:
    """The samples ``[windows, length]`` of some windows, full scale 1.0."""
    samples = np.stack(
        [
            corpus.audio(int(position))[start : start + chosen.length]
            for position, start in zip(chosen.positions[part], chosen.starts[part], strict=True)
        ]
    )
    return torch.from_numpy(samples.astype(np.float32) / 32768.0)


@torch.no_grad()
def logits(
    network: nn.Module, transform: nn.Module, corpus: Corpus, chosen: Windows, device: torch.device
) -> NDArray[np.float32]:
    """Return the network's logits ``[windows, labels]``."""
    network.eval()
    batch = max(1, _BATCH_SAMPLES // chosen.length)
    answers = [
        network(transform(audio_of(corpus, chosen, slice(first, first + batch)).to(device)))
        .float()
        .cpu()
        .numpy()
        for first in range(0, chosen.starts.size, batch)
    ]
    return np.concatenate(answers)


def scored(answers: NDArray[np.float32], chosen: Windows, temperature: float) -> Scored:
    """Turn logits into probabilities with their truth."""
    return Scored(softmax(answers, temperature), chosen.labels, chosen.groups)
