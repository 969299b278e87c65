"""What a teacher has to say of recordings: its embedding, and its opinion of their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from genred.judgement.pooling import logs, pooled
from genred_train.judging import softmax
from genred_train.teacher import frames as clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from genred_train.data.corpus import Corpus
    from genred_train.teacher.classifier import Classifier

# Frames that the principal components are found on.
_COMPONENT_FRAMES = 20_000

# Decisions of a lesson are a quarter of a second apart, the first after a second.
_FIRST_S, _APART_S = 1.0, 0.25


@dataclass(frozen=True)
class Components:
    """Principal components of standardised embeddings.

    ``project`` returns ``[items, components]`` whose squares add up to about one.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    basis: NDArray[np.float32]

    @classmethod
    def of(cls, frames: NDArray[np.float32], count: int) -> Components:
        """The first ``count`` of ``frames [items, width]``."""
        mean, deviation = frames.mean(0), np.maximum(frames.std(0), 1e-3)
        standard = (frames - mean) / deviation
        values, vectors = np.linalg.eigh(standard.T @ standard / len(frames))
        basis = vectors[:, ::-1][:, :count] / np.sqrt(values[::-1][:count].sum())
        return cls(mean, 1.0 / deviation, basis.astype(np.float32))

    def project(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates ``[items, components]``."""
        return np.asarray((frames - self.mean) * self.scale @ self.basis)


class Speaks(Protocol):
    """A layer upon the embedding."""

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``[items, numbers]`` of embeddings ``[items, width]``."""


@dataclass(frozen=True)
class Against:
    """Logits of labels, each against the mean of all: what is common to them says nothing."""

    known: Speaks

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``[items, labels]`` of embeddings ``[items, width]``."""
        logits = self.known.logits(inputs)
        return np.asarray(logits - logits.mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Opinions:
    """What the teacher makes of labels or of genres, window by window.

    ``project`` returns ``[items, numbers]`` whose squares add up to about ``weight``: logits less
    their mean, in units of their deviation.
    """

    known: Speaks
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def of(cls, frames: NDArray[np.float32], known: Speaks, weight: float) -> Opinions:
        """Those of ``known``, measured on ``frames [items, width]``."""
        logits = known.logits(frames)
        deviation = np.maximum(logits.std(0), 1e-3)
        scale = np.sqrt(weight / logits.shape[1]) / deviation
        return cls(known, logits.mean(0), scale.astype(np.float32))

    def project(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates ``[items, numbers]``."""
        return np.asarray((self.known.logits(frames) - self.mean) * self.scale)


class Lessons:
    """The teacher's words on each recording, learnt from all but the test split.

    ``embedded`` has its embeddings of each recording by digest, at one speed or several, the first
    of them its own. ``known`` is what it knows of the labels; without one it has no opinion.
    ``opinions`` is the weight of that opinion in what it says of each second, and ``genre_weight``
    that of what it says of ``genres``.
    """

    def __init__(
        self,
        corpus: Corpus,
        embedded: Mapping[str, Sequence[NDArray[np.float16]]],
        components: int,
        seed: int,
        known: Classifier | None = None,
        opinions: float = 0.0,
        genres: Speaks | None = None,
        genre_weight: float = 0.0,
    ) -> None:
        heard = {e.stored.digest for e in corpus.entries if e.split != "test"}
        heard |= {entry.stored.digest for entry in corpus.unlabelled}
        frames = np.concatenate([embedded[digest][0] for digest in sorted(heard)])
        random = np.random.default_rng(seed)
        some = random.permutation(len(frames))[:_COMPONENT_FRAMES]
        some_frames = frames[np.sort(some)].astype(np.float32)
        self.components = Components.of(some_frames, components)
        self.known = known
        self.opinions = self.genres = None
        if known and opinions:
            self.opinions = Opinions.of(some_frames, Against(known), opinions)
        if genres and genre_weight:
            self.genres = Opinions.of(some_frames, genres, genre_weight)
        self._embedded, self._rate = embedded, corpus.sample_rate
        self._labels = len(corpus.labels)

    @property
    def width(self) -> int:
        """How many numbers it says of a second."""
        apart = [each.mean.size for each in (self.genres, self.opinions) if each]
        return int(self.components.basis.shape[1]) + sum(apart)

    def lessons(
        self, digest: str, length: int, speeds: Sequence[float]
    ) -> list[NDArray[np.float16]]:
        """The teacher's view of windows of a second at each speed: ``[decisions, width]``."""
        return [
            self._lesson(embedded, length / speed)
            for embedded, speed in zip(self._embedded[digest], speeds, strict=True)
        ]

    def _lesson(self, embedded: NDArray[np.float16], length: float) -> NDArray[np.float16]:
        seconds = max(length / self._rate, _FIRST_S)
        count = int((seconds - _FIRST_S) / _APART_S) + 1
        ends = (_FIRST_S + _APART_S * np.arange(count)) * self._rate
        view = clock.at(embedded, ends.astype(np.int64))
        # Opinions of labels come last: a network may tell them to itself.
        told = [each for each in (self.components, self.genres, self.opinions) if each]
        return np.concatenate([each.project(view) for each in told], axis=1).astype(np.float16)

    def opinion(self, digest: str) -> NDArray[np.float32]:
        """What the whole recording is to the teacher: shares ``[labels]``."""
        if self.known is None:
            return np.full(self._labels, 1.0 / self._labels, np.float32)
        logits = self.known.logits(self._embedded[digest][0].astype(np.float32))
        total = logs(softmax(logits)).sum(axis=0)
        return pooled(total, len(logits)).astype(np.float32)
