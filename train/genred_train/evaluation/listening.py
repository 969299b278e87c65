"""Runs a model file over recordings as the daemon does: hop by hop, the state carried along."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genred_train import judging
from genred_train.judging import Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genred.model.session import Model
    from genred_train.data.corpus import Corpus

# Recordings that are run side by side, as feeds of one batch; more gains nothing on a CPU.
FEEDS = 32


@dataclass(frozen=True)
class Answers:
    """What a model said of windows: ``logits [windows, labels]``, and whose they are.

    ``positions`` are those of the recordings in the corpus, ``ends`` where each window ends, in
    samples from the recording's start.
    """

    logits: NDArray[np.float32]
    positions: NDArray[np.int64]
    ends: NDArray[np.int64]

    def part(self, mask: NDArray[np.bool_]) -> Answers:
        """Those of ``mask``."""
        return Answers(self.logits[mask], self.positions[mask], self.ends[mask])


def listen(
    model: Model,
    corpus: Corpus,
    positions: Sequence[int],
    progress: Callable[[int, int], None],
    treatment: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
) -> Answers:
    """Run ``model`` over recordings from their beginning, each with a state of its own.

    Kept are windows side by side, so that each second counts once: the decision at the end of
    the first whole window and those a window apart, without windows that are too quiet (as in
    training). Recordings run as feeds of one batch, the longest first. With a ``treatment`` the
    model hears what that makes of each recording, full scale 1.0, in the same windows.
    """
    metadata = model.metadata
    hop, window = metadata.hop, metadata.window
    first, apart = math.ceil(window / hop), max(1, round(window / hop))
    shortest = first * hop
    order = sorted(positions, key=lambda n: -corpus.entries[n].stored.length)
    parts: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]] = []
    for begin in range(0, len(order), FEEDS):
        batch = np.array(order[begin : begin + FEEDS], dtype=np.int64)
        clips = [corpus.audio(int(position)) for position in batch]
        filled = np.array([clip.size < shortest for clip in clips])
        clips = [
            np.resize(clip, shortest) if short else clip
            for clip, short in zip(clips, filled, strict=True)
        ]
        sounds = [clip.astype(np.float32) / np.float32(32768) for clip in clips]
        if treatment is not None:
            sounds = [treatment(sound) for sound in sounds]
        steps = np.array([sound.size // hop for sound in sounds])
        state = model.new_state(len(clips))
        for step in range(1, int(steps.max(initial=0)) + 1):
            # The longest are first, so that those still sounding are the first ones.
            alive = int((steps >= step).sum())
            audio = np.stack([sound[(step - 1) * hop : step * hop] for sound in sounds[:alive]])
            logits, _, state = model.step(audio, np.ascontiguousarray(state[:alive]))
            if step < first or (step - first) % apart:
                continue
            end = step * hop
            starts = np.full(alive, end - window, dtype=np.int64)
            loud = filled[:alive].copy()
            loud[~loud] = corpus.loud(batch[:alive][~loud], starts[~loud], window)
            parts.append((logits[loud], batch[:alive][loud], np.full(int(loud.sum()), end)))
        progress(min(begin + FEEDS, len(order)), len(order))
    labels = len(metadata.labels)
    logits = np.concatenate([np.empty((0, labels), np.float32), *(part[0] for part in parts)])
    where = np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])
    ends = np.concatenate([np.empty(0, np.int64), *(part[2] for part in parts)])
    sorting = np.lexsort((ends, where))
    return Answers(logits[sorting], where[sorting], ends[sorting])


def scored(answers: Answers, corpus: Corpus, temperature: float) -> Scored:
    """Turn logits into calibrated probabilities with their truth and group."""
    labels = np.array([entry.label for entry in corpus.entries], dtype=np.int64)
    names = {name: n for n, name in enumerate(sorted({e.group for e in corpus.entries}))}
    groups = np.array([names[entry.group] for entry in corpus.entries], dtype=np.int64)
    probabilities = judging.softmax(answers.logits, temperature)
    return Scored(probabilities, labels[answers.positions], groups[answers.positions])
