"""Draws training crops: labels alike, within a label groups alike, within a group by length."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred_train.data.corpus import Corpus
    from genred_train.recipe import Training

# How often a crop that is too quiet is drawn again before it is taken as it is.
_REDRAWS = 8


class Sampler:
    """Random crops of what is learnt from, the same for the same seed.

    A label's crops are spread over its groups (``group_balance``), so that an artist with forty
    clips does not become the genre, and at most ``unscored_share`` of them come from data that
    is never scored, unless a label has nothing else.
    """

    def __init__(self, corpus: Corpus, training: Training, crop: int, seed: int) -> None:
        self._corpus = corpus
        self._crop = crop
        self._random = np.random.default_rng(seed)
        self.positions = np.array(
            sorted(position for split in training.learns for position in corpus.of(split))
        )
        entries = [corpus.entries[position] for position in self.positions]
        self._starts = np.array([entry.stored.start for entry in entries])
        self._lengths = np.array([entry.stored.length for entry in entries])
        self._labels = np.array([entry.label for entry in entries])
        self.weights = self._weights(training)
        self._cumulative = np.cumsum(self.weights)

    def draw(self, count: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """Return ``count`` crops ``[count, crop]`` and their labels ``[count]``."""
        chosen = np.searchsorted(self._cumulative, self._random.random(count), side="right")
        chosen = np.minimum(chosen, self.positions.size - 1)
        starts = self._place(chosen)
        for _ in range(_REDRAWS):
            quiet = ~self._corpus.loud(self.positions[chosen], starts, self._crop)
            if not quiet.any():
                break
            starts[quiet] = self._place(chosen[quiet])
        # A clip shorter than the crop (which may be longer than a window) is heard again.
        index = starts[:, None] + np.arange(self._crop)[None, :]
        index %= self._lengths[chosen][:, None]
        crops = self._corpus.samples[self._starts[chosen][:, None] + index]
        return crops, self._labels[chosen]

    def _place(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        room = np.maximum(self._lengths[chosen] - self._crop + 1, 1)
        return np.asarray(self._random.integers(0, room), dtype=np.int64)

    def _weights(self, training: Training) -> NDArray[np.float64]:
        seconds: defaultdict[tuple[int, bool, str], float] = defaultdict(float)
        entries = [self._corpus.entries[position] for position in self.positions]
        keys = [(entry.label, entry.scored, entry.group) for entry in entries]
        for key, length in zip(keys, self._lengths, strict=True):
            seconds[key] += float(length)
        group = {k: total ** (1.0 - training.group_balance) for k, total in seconds.items()}
        parts: defaultdict[tuple[int, bool], float] = defaultdict(float)
        for key, weight in group.items():
            parts[key[:2]] += weight
        weights = np.empty(len(entries))
        for number, (key, length) in enumerate(zip(keys, self._lengths, strict=True)):
            label, scored, _ = key
            has = {kind: parts.get((label, kind), 0.0) for kind in (True, False)}
            share = has[False] / (has[True] + has[False])
            if has[True]:
                share = min(share, training.unscored_share)
            part = (1.0 - share if scored else share) * group[key] / has[scored]
            weights[number] = part * length / seconds[key]
        return np.asarray(weights / weights.sum())
