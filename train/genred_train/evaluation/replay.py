"""Programmes heard once and judged many times: the network's answers are kept and played back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from genred.judgement.gate import rms_dbfs
from genred_train.evaluation.onair import hops
from genred_train.judging import softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import Judging, ModelMetadata
    from genred.model.session import Model
    from genred_train.evaluation.onair import Sounding
    from genred_train.evaluation.programme import Piece

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Schedule:
    """What was on when, of a programme without its sound."""

    seconds: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Recorded:
    """What the network answered to each hop of some programmes, and how loud they were."""

    metadata: ModelMetadata
    programmes: tuple[Schedule, ...]
    logits: Floats
    """``[decisions, feeds, labels]``"""
    levels: Floats
    """RMS in dBFS, ``[decisions, feeds]``"""


def record(
    model: Model, programmes: Sequence[Sounding], progress: Callable[[int, int], None]
) -> Recorded:
    """Run the network over ``programmes``, of one length, as feeds of one batch."""
    metadata, feeds = model.metadata, len(programmes)
    steps = int(programmes[0].seconds * metadata.sample_rate / metadata.hop)
    logits = np.empty((steps, feeds, len(metadata.labels)), np.float32)
    levels = np.empty((steps, feeds), np.float32)
    sounds = [hops(programme.blocks(), metadata.hop) for programme in programmes]
    audio = np.empty((feeds, metadata.hop), np.float32)
    state = model.new_state(feeds)
    for step in range(steps):
        for row, sound in enumerate(sounds):
            audio[row] = next(sound)
        answer, _, state = model.step(audio, state)
        logits[step], levels[step] = answer, rms_dbfs(audio)
        if step % 240 == 0 or step == steps - 1:
            progress(step + 1, steps)
    schedules = tuple(Schedule(each.seconds, tuple(each.pieces)) for each in programmes)
    return Recorded(metadata, schedules, logits, levels)


def joined(metadata: ModelMetadata, parts: Sequence[Recorded]) -> Recorded:
    """Records of several models of one kind as those of a model of ``metadata``, side by side."""
    return Recorded(
        metadata,
        tuple(programme for part in parts for programme in part.programmes),
        np.concatenate([part.logits for part in parts], axis=1),
        np.concatenate([part.levels for part in parts], axis=1),
    )


def every(recorded: Recorded, step: int) -> Recorded:
    """One in ``step`` of the programmes, and what was answered to it."""
    return Recorded(
        recorded.metadata,
        recorded.programmes[::step],
        recorded.logits[:, ::step],
        recorded.levels[:, ::step],
    )


class Replay:
    """Stands in for a model: gives recorded answers, whatever it is asked.

    A hop is one sample, which is as loud as the hop was. Each programme is heard ``times`` over,
    side by side, so that as many judgements of it can be tried at once; ``judging`` is what the
    model recommends.
    """

    def __init__(self, recorded: Recorded, judging: Judging | None, times: int = 1) -> None:
        known = recorded.metadata
        self.metadata = known.model_copy(
            update={
                "judging": judging,
                "hop": 1,
                "sample_rate": known.sample_rate / known.hop,
                "window": known.window / known.hop,
            }
        )
        answers = softmax(recorded.logits, known.calibration.temperature).astype(np.float32)
        self._answers = np.tile(answers, (1, times, 1))

    def stream(self, feeds: int, *, pictures: bool = False) -> _Stream:
        """The state of some feeds: here, how far the records have played."""
        del feeds, pictures  # as many as there are programmes, and nothing to see
        return _Stream(self._answers)

    def probabilities(self, logits: Floats) -> Floats:
        """What is recorded is that already."""
        return logits


class _Stream:
    """The records of all programmes, turning together."""

    def __init__(self, answers: Floats) -> None:
        self._answers = answers
        self.batch = answers.shape[1]
        self.inbox = np.zeros((self.batch, 1), np.float32)
        self._at = 0

    def arrange(self, rows: Sequence[int | None]) -> None:
        """Have all rows, as ever."""

    def step(self, rows: Sequence[int]) -> tuple[Floats, Floats]:
        """Give the next answers ``[feeds, labels]``, and log-mel frames that hold nothing."""
        self._at += 1
        return self._answers[self._at - 1], np.zeros((len(rows), 1, 1), np.float32)


@dataclass(frozen=True)
class AsLoud:
    """A programme again: its pieces, and in place of each hop a sample of the same level."""

    programme: Schedule
    levels: Floats

    @property
    def seconds(self) -> float:
        """As long as the programme."""
        return self.programme.seconds

    @property
    def pieces(self) -> Sequence[Piece]:
        """What is on when."""
        return self.programme.pieces

    def blocks(self) -> Iterator[Floats]:
        """Hop by hop a constant, whose RMS is the level."""
        for level in self.levels:
            yield np.array([10 ** (level / 20)], np.float32)


def again(
    recorded: Recorded, judging: Judging | None, times: int = 1
) -> tuple[Model, list[AsLoud]]:
    """The model and the programmes that :func:`~.onair.listen` hears ``recorded`` by again."""
    hum = [
        AsLoud(programme, recorded.levels[:, row])
        for row, programme in enumerate(recorded.programmes)
    ]
    return cast("Any", Replay(recorded, judging, times)), hum * times
