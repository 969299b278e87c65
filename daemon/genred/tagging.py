"""Files through the same pipeline as live feeds, as fast as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genred.analysis import Analyser
from genred.errors import InputError
from genred.judgement.pooling import logs, pooled
from genred.labels import SILENCE, UNKNOWN
from genred.messages import EventType
from genred.sources.files import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from genred.analysis import Decision
    from genred.judgement.judge import Change
    from genred.model.session import Model
    from genred.settings.judgement import JudgementSettings
    from genred.views import Segment

    Floats = NDArray[np.float32]


HOPS: Final = 512
"""Hops of a file that are taken at once: the longer a stretch, the more of it goes side by side
(:mod:`genred.model.stretch`). Two minutes and 8 MB of audio at four decisions a second."""


@dataclass(frozen=True, slots=True)
class FileDecision:
    """One decision: ``t`` is the end of its window, seconds from the start of the file.

    ``raw`` are the network's calibrated probabilities, empty while the level gate is closed;
    ``smoothed`` the belief after them; ``label`` what is said at that moment.
    """

    path: str
    t: float
    raw: dict[str, float]
    smoothed: dict[str, float]
    label: str
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class FileResult:
    """What was heard in one file. Times in seconds from its start.

    ``scores`` is what the decisions' raw probabilities say together (their geometric mean, see
    :mod:`genred.judgement.pooling`), ``label`` the highest of them and
    ``confidence`` its value; ``silence`` where nothing but silence was heard, ``unknown`` where
    the file is shorter than a window, and the model was not taught to hear it again.
    """

    path: str
    duration: float
    label: str
    confidence: float
    scores: dict[str, float]
    segments: tuple[Segment, ...]
    decisions: tuple[FileDecision, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the decisions."""
        return {
            "path": self.path,
            "duration": round(self.duration, 3),
            "label": self.label,
            "confidence": round(self.confidence, 4),
            "scores": self.scores,
            "segments": [
                {
                    "start": round(each.start, 3),
                    "end": round(each.end if each.end is not None else self.duration, 3),
                    "label": each.label,
                    "confidence": round(each.confidence, 4),
                }
                for each in self.segments
            ],
        }


def runs(blocks: Iterable[Floats], hop: int) -> Iterator[tuple[Floats, int]]:
    """Cut ``blocks`` of any length into runs ``[n, hop]`` of at most :data:`HOPS`.

    With each run comes its number of real samples: the last hop of all is filled up with zeros if
    at least half of it is real, else dropped. Codecs and resamplers end a file a few samples early.
    """
    size = HOPS * hop
    parts: list[Floats] = []
    held = 0
    for block in blocks:
        parts.append(block)
        held += len(block)
        if held < size:
            continue
        joined = np.concatenate(parts)
        whole = held // size * size
        for start in range(0, whole, size):
            yield joined[start : start + size].reshape(HOPS, hop), size
        parts, held = [joined[whole:]], held - whole
    rest = held % hop
    real = held if 2 * rest >= hop else held - rest
    if real:
        joined = np.concatenate(parts)[:real]
        yield np.pad(joined, (0, -real % hop)).reshape(-1, hop), real


class Repeated:
    """Blocks of samples, heard again from their start until there are ``wanted`` of them.

    What is longer passes as it is; ``real`` counts what came the first time.
    """

    def __init__(self, blocks: Iterable[Floats], wanted: int) -> None:
        self._blocks, self._wanted = blocks, wanted
        self.real = 0

    def __iter__(self) -> Iterator[Floats]:
        kept: list[Floats] = []
        for block in self._blocks:
            if self.real < self._wanted:
                kept.append(block)
            self.real += len(block)
            yield block
        if 0 < self.real < self._wanted:
            yield np.resize(np.concatenate(kept), self._wanted - self.real)


def tag_file(
    model: Model, path: Path, by: JudgementSettings, *, decisions: bool = False
) -> FileResult:
    """Judge one file.

    Raises :class:`genred.errors.InputError` where it cannot be read or holds no audio.
    """
    blocks = decode(path, model.metadata.sample_rate)
    return tag_blocks(model, str(path), blocks, by, decisions=decisions)


def tag_blocks(
    model: Model,
    name: str,
    sound: Iterable[Floats],
    by: JudgementSettings,
    *,
    decisions: bool = False,
) -> FileResult:
    """Judge mono blocks ``[n]`` at the model's rate as one file called ``name``.

    Raises what reading ``sound`` raises, and :class:`genred.errors.InputError` where there is none.
    """
    metadata = model.metadata
    labels = metadata.label_names
    rate = metadata.sample_rate
    analyser = Analyser(model, [by])
    judge = analyser.judges[0]
    total = np.zeros(len(labels))
    counted = heard = silent = 0
    segments: list[Segment] = []
    listed: list[FileDecision] = []
    wanted = -(-metadata.window // metadata.hop) * metadata.hop
    blocks = Repeated(sound, wanted if metadata.short == "repeat" else 0)
    hop = metadata.hop
    for audio, real in runs(blocks, hop):
        ends = [(heard + min(real, (n + 1) * hop)) / rate for n in range(len(audio))]
        heard += real
        for decision in analyser.run(0, audio, ends):
            if decision.changes:
                _collect(segments, decision.changes)
            if decision.raw is not None:
                total += logs(decision.raw)
                counted += 1
            elif judge.gate.silent(decision.end, judge.by):
                silent += 1
            if decisions and decision.smoothed is not None:
                said = judge.segment.label if judge.segment is not None else UNKNOWN
                listed.append(_listed(name, decision, labels, said))
    if not heard:
        raise InputError(f"{name} holds no audio")
    _collect(segments, analyser.reset(0))
    # What was heard again lies beyond the end of the file.
    duration = blocks.real / rate
    segments = [_within(each, duration) for each in segments if each.start < duration]
    listed = [replace(each, t=min(each.t, round(duration, 4))) for each in listed]
    if counted:
        together = pooled(total, counted)
        scores = dict(zip(labels, np.round(together, 4).tolist(), strict=True))
        label = labels[int(together.argmax())]
        confidence = float(together.max())
    elif silent:
        scores, label, confidence = {}, SILENCE, 1.0
    else:
        scores, label, confidence = {}, UNKNOWN, 0.0
    return FileResult(name, duration, label, confidence, scores, tuple(segments), tuple(listed))


def _within(segment: Segment, end: float) -> Segment:
    return replace(segment, end=min(segment.end if segment.end is not None else end, end))


def _collect(segments: list[Segment], changes: Iterable[Change]) -> None:
    """Keep what has ended."""
    for change in changes:
        over = change.segment if change.event is EventType.ENDED else change.previous
        if over is not None and over.end is not None and over.end > over.start:
            segments.append(over)


def _listed(path: str, decision: Decision, labels: tuple[str, ...], said: str) -> FileDecision:
    def by_label(values: Floats | None) -> dict[str, float]:
        if values is None:
            return {}
        return dict(zip(labels, np.round(values.astype(float), 5).tolist(), strict=True))

    return FileDecision(
        path,
        round(decision.end, 4),
        by_label(decision.raw),
        by_label(decision.smoothed),
        said,
        round(decision.level_dbfs, 1),
    )
