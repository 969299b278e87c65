"""The yardstick: a logistic regression on the teacher's embeddings, on the folds of a student."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from genred_train import judging, scoring
from genred_train.evaluation.folds import validation
from genred_train.teacher import classifier, frames, yamnet
from genred_train.teacher.classifier import Classifier, Examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genred_train.data.corpus import Corpus, Entry
    from genred_train.judging import Scored

# At most so many frames of each recording, evenly spread, are fitted on: neighbours are alike.
_FRAMES_A_RECORDING = 24

# The share of groups that chooses the penalty.
_INNER = 0.25


@dataclass(frozen=True)
class Yardstick:
    """What the regression says of windows of a second, and whose they are."""

    scored: Scored
    positions: NDArray[np.int64]
    penalty: float


def examples(
    corpus: Corpus,
    embedded: Mapping[str, NDArray[np.float16]],
    positions: Sequence[int],
    made: float | None = None,
) -> tuple[Examples, NDArray[np.int64]]:
    """Frames of recordings with labels and groups; and which entry each is of.

    What is never scored counts as ``made`` says.
    """
    names = {group: n for n, group in enumerate(sorted({e.group for e in corpus.entries}))}
    inputs, which = [], []
    for position in positions:
        frames = embedded[corpus.entries[position].stored.digest]
        many = min(len(frames), _FRAMES_A_RECORDING)
        inputs.append(frames[np.linspace(0, len(frames) - 1, many).round().astype(int)])
        which.append(np.full(many, position))
    owner = np.concatenate(which)
    label = np.array([entry.label for entry in corpus.entries])
    group = np.array([names[entry.group] for entry in corpus.entries])
    unscored = np.array([not entry.scored for entry in corpus.entries])
    stacked = np.concatenate(inputs).astype(np.float32)
    return Examples(stacked, label[owner], group[owner], unscored[owner], made), owner


def fitted(
    corpus: Corpus,
    embedded: Mapping[str, NDArray[np.float16]],
    seed: int,
    *,
    made: float | None = None,
    penalty: float = 0.0,
) -> Classifier:
    """Fit on the training split, and on the validation split too: it chooses nothing here.

    What is never scored, such as generated music, together counts ``made`` as much as what else
    there is of its label, and with 0 it is left out; with none its groups count like any others.
    A ``penalty`` of 0 is chosen by groups that are held out.
    """
    entries = corpus.entries
    positions = [n for n, entry in enumerate(entries) if _fits(entry, made)]
    given, owner = examples(corpus, embedded, positions, made)
    labels = len(corpus.labels)
    if penalty:
        return classifier.fit(given, labels, [penalty])[0]
    groups: dict[str, dict[str, int]] = {}
    for n in positions:
        if entries[n].scored:
            clips = groups.setdefault(entries[n].group, {})
            name = corpus.label_names[entries[n].label]
            clips[name] = clips.get(name, 0) + 1
    inner = validation(groups, _INNER, seed)
    apart = np.array([entry.group in inner for entry in entries])[owner]
    penalty = classifier.choose(given, apart, labels)
    return classifier.fit(given, labels, [penalty])[0]


def kept(
    corpus: Corpus,
    embedded: Mapping[str, NDArray[np.float16]],
    seed: int,
    cache: Path,
    *,
    made: float | None = None,
    penalty: float = 0.0,
) -> Classifier:
    """What :func:`fitted` returns, from the ``cache`` if it was fitted before."""
    used = sorted(
        f"{e.stored.digest} {e.label} {e.group} {_digest(embedded[e.stored.digest])}"
        for e in corpus.entries
        if _fits(e, made)
    )
    key = "\n".join([repr(classifier.SETTINGS), str(seed), str(made), str(penalty), *used])
    path = cache / f"regression-{hashlib.sha256(key.encode()).hexdigest()[:16]}.pt"
    try:
        return Classifier(**torch.load(path, weights_only=True))
    except (OSError, RuntimeError, TypeError, pickle.UnpicklingError):
        known = fitted(corpus, embedded, seed, made=made, penalty=penalty)
    beside = path.with_suffix(f".{os.getpid()}")
    torch.save({field.name: getattr(known, field.name) for field in fields(known)}, beside)
    beside.replace(path)
    return known


def _fits(entry: Entry, made: float | None) -> bool:
    return entry.split != "test" and (entry.scored or made != 0)


def _digest(array: NDArray[np.float16]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def judged(
    corpus: Corpus,
    embedded: Mapping[str, NDArray[np.float16]],
    known: Classifier,
    window: int,
) -> Yardstick:
    """What ``known`` says of the windows of the test split, side by side."""
    chosen = scoring.windows(corpus, corpus.of("test"), window, window)
    inputs = np.empty((chosen.starts.size, yamnet.WIDTH), np.float32)
    for position in np.unique(chosen.positions):
        mask = chosen.positions == position
        digest = corpus.entries[int(position)].stored.digest
        inputs[mask] = frames.at(embedded[digest], chosen.starts[mask] + window)
    scored = scoring.scored(known.logits(inputs), chosen, 1.0)
    return Yardstick(scored, chosen.positions, known.penalty)


def pooled(folds: Sequence[Yardstick]) -> Yardstick:
    """All folds as one."""
    scored = judging.joined([fold.scored for fold in folds])
    positions = np.concatenate([fold.positions for fold in folds])
    return replace(folds[0], scored=scored, positions=positions)
