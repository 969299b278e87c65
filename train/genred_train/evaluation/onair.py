"""Programmes through the daemon's own path, hop by hop, and what was said of them all along."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from genred.analysis import Analyser
from genred.judgement.gate import rms_dbfs
from genred.labels import Kind
from genred.settings.judgement import JudgementSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import ModelMetadata
    from genred.model.session import Model
    from genred_train.evaluation.programme import Piece

    Floats = NDArray[np.float32]

KINDS = tuple(kind.value for kind in Kind)
"""The kinds by number."""

NOTHING = -1
"""Stands where nothing was said yet, or no window judged."""


FEEDS_APART = (
    "truth",
    "group",
    "said",
    "said_kind",
    "confidence",
    "best",
    "best_confidence",
    "raw",
    "raw_confidence",
)
"""What :class:`Heard` holds by feed and decision."""


class Scheduled(Protocol):
    """What is to be on air."""

    @property
    def seconds(self) -> float:
        """How long it is."""

    @property
    def pieces(self) -> Sequence[Piece]:
        """What is on when."""


class Sounding(Scheduled, Protocol):
    """What is put on air, and its sound in blocks."""

    def blocks(self) -> Iterator[Floats]:
        """The sound, at least ``seconds`` of it."""


@dataclass(frozen=True)
class Heard:
    """What was on and what was said at every decision, ``[feeds, decisions]`` each.

    Labels are numbers; after those of the model come silence and unknown, :data:`NOTHING` is
    none. Decisions are ``hop_s`` apart, the first at its end; times count from the beginning of
    a feed's programme.
    """

    hop_s: float
    labels: tuple[str, ...]
    """Those of the model, then silence and unknown."""
    kinds: NDArray[np.int8]
    """Kind of each label."""
    pieces: tuple[tuple[Piece, ...], ...]
    """The programme of each feed."""
    truth: NDArray[np.int8]
    group: NDArray[np.int32]
    """Number of the piece's group among ``groups``."""
    groups: tuple[str, ...]
    said: NDArray[np.int8]
    said_kind: NDArray[np.int8]
    confidence: Floats
    """How sure it was said to be: what people see."""
    best: NDArray[np.int8]
    """The likeliest label by the calibrated belief, whether it was said or not."""
    best_confidence: Floats
    raw: NDArray[np.int8]
    """The likeliest label of the newest window alone."""
    raw_confidence: Floats

    @property
    def silence(self) -> int:
        """The number of silence."""
        return len(self.labels) - 2

    @property
    def unknown(self) -> int:
        """The number of unknown."""
        return len(self.labels) - 1

    @property
    def music(self) -> list[int]:
        """The numbers of labels of music."""
        music = KINDS.index(Kind.MUSIC.value)
        return np.flatnonzero(self.kinds == music).tolist()


def listen(
    model: Model,
    programmes: Sequence[Sounding],
    progress: Callable[[int, int], None],
    by: Sequence[JudgementSettings] | None = None,
) -> Heard:
    """Put ``programmes`` on air, each a feed of one batch, and note what is said of them.

    ``by`` judges each feed; without it, the defaults and what the model recommends. Programmes
    must be of one length.
    """
    metadata = model.metadata
    hop_s = metadata.hop / metadata.sample_rate
    steps = int(programmes[0].seconds / hop_s)
    feeds = len(programmes)
    analyser = Analyser(model, by or [JudgementSettings()] * feeds)
    heard = blank(metadata, programmes, steps)
    number = {name: n for n, name in enumerate(heard.labels)}
    # A programme that several feeds hear is played once.
    played = {id(programme): programme for programme in programmes}
    places = {each: place for place, each in enumerate(played)}
    which = np.array([places[id(programme)] for programme in programmes])
    sounds = [hops(programme.blocks(), metadata.hop) for programme in played.values()]
    audio = np.empty((len(sounds), metadata.hop), np.float32)
    batches = [
        range(start, min(start + analyser.batch, feeds))
        for start in range(0, feeds, analyser.batch)
    ]
    # What stands changes seldom: only where something was judged is it asked for anew.
    said, said_kind = np.full((2, feeds), NOTHING, np.int8)
    for step in range(steps):
        for place, sound in enumerate(sounds):
            audio[place] = next(sound)
        for rows in batches:
            those = slice(rows.start, rows.stop)
            analyser.inbox[: len(rows)] = audio[which[those]]
            judged = analyser.take(rows, [(step + 1) * hop_s] * len(rows))
            for place in judged.changes:
                row = rows[place]
                segment = analyser.judges[row].segment
                if segment is not None:
                    said[row] = number[segment.label]
                    said_kind[row] = KINDS.index(segment.kind)
            _note(heard.raw[those], heard.raw_confidence[those], step, judged.raw, judged.heard)
            _note(
                heard.best[those], heard.best_confidence[those], step, judged.smoothed, judged.whole
            )
        heard.said[:, step], heard.said_kind[:, step] = said, said_kind
        heard.confidence[:, step] = analyser.confidences
        if step % 240 == 0 or step == steps - 1:
            progress(step + 1, steps)
    return heard


def _note(
    likeliest: NDArray[np.int8], sure: Floats, step: int, told: Floats, counts: NDArray[np.bool_]
) -> None:
    """Write down the likeliest labels of a step, and how likely they are, where it ``counts``."""
    best = told.argmax(axis=1)
    likeliest[:, step] = np.where(counts, best, NOTHING)
    sure[:, step] = np.where(counts, np.take_along_axis(told, best[:, None], axis=1)[:, 0], 0.0)


def alone(
    model: Model,
    programmes: Sequence[Sounding],
    progress: Callable[[int, int], None],
    shifts: Floats | float = 0.0,
) -> NDArray[np.int8]:
    """The likeliest label of windows side by side, each heard by itself, ``[feeds, decisions]``.

    ``shifts [labels]`` are added to the logits of a model that has none built in. Nothing is
    remembered from one to the next; :data:`NOTHING` stands between their ends and where the gate
    would be closed.
    """
    metadata, feeds = model.metadata, len(programmes)
    apart = -(-metadata.window // metadata.hop)
    steps = int(programmes[0].seconds * metadata.sample_rate / metadata.hop)
    found = np.full((feeds, steps), NOTHING, np.int8)
    sounds = [hops(programme.blocks(), metadata.hop) for programme in programmes]
    audio = np.empty((feeds, metadata.hop), np.float32)
    threshold = JudgementSettings().silence_dbfs
    state = model.new_state(feeds)
    for step in range(steps):
        for row, sound in enumerate(sounds):
            audio[row] = next(sound)
        logits, _, state = model.step(audio, state)
        if (step + 1) % apart == 0:
            likeliest = (logits + shifts).argmax(axis=1)
            found[:, step] = np.where(rms_dbfs(audio) >= threshold, likeliest, NOTHING)
            state = model.new_state(feeds)
        if step % 240 == 0 or step == steps - 1:
            progress(step + 1, steps)
    return found


def hops(blocks: Iterator[Floats], hop: int) -> Iterator[Floats]:
    """Cut blocks of any length into hops; an incomplete one at the end is dropped."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        joined = np.concatenate((rest, block)) if rest.size else block
        whole = joined.size // hop * hop
        yield from joined[:whole].reshape(-1, hop)
        rest = joined[whole:]


def of_feeds(heard: Heard, feeds: slice) -> Heard:
    """What was heard on some of the feeds."""
    parts = {name: getattr(heard, name)[feeds] for name in FEEDS_APART}
    return replace(heard, pieces=heard.pieces[feeds], **parts)


def blank(metadata: ModelMetadata, programmes: Sequence[Scheduled], steps: int) -> Heard:
    """What is on at each of ``steps`` decisions of each programme, and nothing said of it yet."""
    hop_s = metadata.hop / metadata.sample_rate
    feeds = len(programmes)
    # A decision at a time speaks of what was on just before it.
    moments = (np.arange(steps) + 1) * hop_s - 1e-6
    pieces = tuple(tuple(programme.pieces) for programme in programmes)
    groups = tuple(sorted({piece.group for each in pieces for piece in each}))
    numbers = {group: n for n, group in enumerate(groups)}
    truth = np.empty((feeds, steps), np.int8)
    group = np.empty((feeds, steps), np.int32)
    for row, each in enumerate(pieces):
        which = np.searchsorted([piece.start for piece in each], moments, side="right") - 1
        truth[row] = np.array([piece.label for piece in each])[which]
        group[row] = np.array([numbers[piece.group] for piece in each])[which]
    kinds = [label.kind.value for label in metadata.labels]
    kinds += [Kind.SILENCE.value, Kind.UNKNOWN.value]
    shape = (feeds, steps)
    return Heard(
        hop_s=hop_s,
        labels=(*metadata.label_names, "silence", "unknown"),
        kinds=np.array([KINDS.index(kind) for kind in kinds], np.int8),
        pieces=pieces,
        truth=truth,
        group=group,
        groups=groups,
        said=np.full(shape, NOTHING, np.int8),
        said_kind=np.full(shape, NOTHING, np.int8),
        confidence=np.zeros(shape, np.float32),
        best=np.full(shape, NOTHING, np.int8),
        best_confidence=np.zeros(shape, np.float32),
        raw=np.full(shape, NOTHING, np.int8),
        raw_confidence=np.zeros(shape, np.float32),
    )
