"""Hours of radio with known content, stitched from recordings: music, speech between, silence.

A piece is 20 to 60 s of one recording, or of one group's recordings joined, and heard again from
the start where they are shorter. Pieces follow each other with cross-fades and hard cuts. Labels
of music come up alike, however many recordings they have, and in each label its groups.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.errors import InputError
from genred.labels import Kind
from genred_train.data.corpus import LEVEL_BLOCK_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genred_train.data.corpus import Corpus

    Floats = NDArray[np.float32]

PIECE_S: Final = (20.0, 60.0)
SILENCE_S: Final = (5.0, 15.0)
"""A silent minute is a fault of the transmitter; this is a gap in the programme."""

FADE_S: Final = (1.0, 4.0)
CUTS: Final = 0.4
"""Share of pieces that begin with a hard cut instead of a cross-fade."""

AFTER_MUSIC: Final = {Kind.MUSIC: 0.50, Kind.SPEECH: 0.38, Kind.NOISE: 0.06, Kind.SILENCE: 0.06}
"""What follows music; anything else is followed by music again, as on a radio."""

LEVEL_DBFS: Final = (-26.0, -14.0)
"""RMS level of a piece, as stations send; the sample peak stays below full scale."""
PEAK: Final = 0.98

QUIET_FLOOR_DBFS: Final = -78.0
"""Half of the silences are digital, half have this much hiss: a studio with its fader down."""

SEAM_S: Final = 0.02
"""Where a recording begins again, its end and its beginning overlap by so much: no click."""

PAUSE_BLOCKS: Final = 2
"""Short sounds come padded with silence. Quiet stretches from so many blocks on
(:data:`~genred_train.data.corpus.LEVEL_BLOCK_S`) are cut out: on air they would be silence."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is on from ``start`` to ``end``, seconds since the programme's beginning.

    ``label`` is its number; silence has the number after the last label. ``fade`` is how long it
    is cross-faded with the piece before; the boundary is in the middle of it, but where one of
    the two is silence it is where the sound begins or ends.
    """

    label: int
    group: str
    start: float
    end: float
    fade: float


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece as it is rendered: samples it sounds for, those faded in, and its draw."""

    label: int
    group: str
    samples: int
    fade: int
    seed: int


class Programme:
    """One station's programme of ``seconds``; the same for the same seed and recordings.

    Raises :class:`InputError` where ``positions`` of ``corpus`` hold no music.
    """

    def __init__(
        self, corpus: Corpus, positions: Sequence[int], seconds: float, seed: Sequence[int]
    ) -> None:
        self.corpus, self.seconds = corpus, seconds
        self._silent = len(corpus.labels)
        self._by_group: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for position in positions:
            entry = corpus.entries[position]
            if corpus.audible[position].any():
                self._by_group[entry.label, entry.group].append(position)
        self._groups: defaultdict[int, list[str]] = defaultdict(list)
        for label, group in sorted(self._by_group):
            self._groups[label].append(group)
        self._kinds: defaultdict[Kind, list[int]] = defaultdict(list)
        for label in sorted(self._groups):
            self._kinds[corpus.labels[label].kind].append(label)
        if not self._kinds[Kind.MUSIC]:
            raise InputError(
                "there is no music among these recordings", "a programme is made of music first"
            )
        self._parts = list(self._deal(np.random.default_rng(list(seed))))

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """What is on when, without gaps."""
        rate = self.corpus.sample_rate
        begins, at = [], 0
        for number, part in enumerate(self._parts):
            at -= part.fade
            begins.append(self._boundary(number, at) / rate)
            at += part.samples
        ends = [*begins[1:], self.seconds]
        return tuple(
            Piece(part.label, part.group, begin, end, part.fade / rate)
            for part, begin, end in zip(self._parts, begins, ends, strict=True)
        )

    def _boundary(self, number: int, at: int) -> float:
        part = self._parts[number]
        if part.label == self._silent:
            return at + part.fade
        if number and self._parts[number - 1].label == self._silent:
            return at
        return at + part.fade / 2

    def blocks(self) -> Iterator[Floats]:
        """The sound, in blocks of whatever length; at least ``seconds`` of it."""
        tail = np.zeros(0, np.float32)
        following = [part.fade for part in self._parts[1:]] + [0]
        for part, fade_out in zip(self._parts, following, strict=True):
            audio = self._sound(part)
            if part.fade:
                # Equal power: the sum of two different sounds stays as loud as each.
                turn = np.linspace(0, np.pi / 2, part.fade, dtype=np.float32)
                audio[: part.fade] *= np.sin(turn)
                audio[: part.fade] += tail * np.cos(turn)
            end = audio.size - fade_out
            tail = audio[end:]
            yield audio[:end]

    def _deal(self, random: np.random.Generator) -> Iterator[_Part]:
        rate = self.corpus.sample_rate
        total, before, kind, last = 0, 0, None, ""
        while total < self.seconds * rate:
            label, kind = self._next(random, kind)
            group = ""
            if kind is not Kind.SILENCE:
                group = str(random.choice(self._groups[label]))
                if group == last and len(self._groups[label]) > 1:
                    continue
            bounds = SILENCE_S if label == self._silent else PIECE_S
            samples = round(random.uniform(*bounds) * rate)
            fade = 0
            if total and random.random() >= CUTS:
                fade = round(random.uniform(*FADE_S) * rate)
                # Short pieces must have something left that is theirs alone.
                fade = min(fade, samples // 4, before // 4)
            yield _Part(label, group, samples, fade, int(random.integers(2**31)))
            total += samples - fade
            before, last = samples, group

    def _next(self, random: np.random.Generator, kind: Kind | None) -> tuple[int, Kind]:
        following = Kind.MUSIC
        if kind is Kind.MUSIC:
            share = random.random()
            for each, weight in AFTER_MUSIC.items():
                share -= weight
                if share < 0:
                    following = each
                    break
        if following is Kind.SILENCE:
            return self._silent, following
        if not self._kinds[following]:
            following = Kind.MUSIC
        return int(random.choice(self._kinds[following])), following

    def _sound(self, part: _Part) -> Floats:
        random = np.random.default_rng(part.seed)
        if part.label == self._silent:
            if random.random() < 1 / 2:
                return np.zeros(part.samples, np.float32)
            hiss = random.standard_normal(part.samples, np.float32)
            return hiss * np.float32(10 ** (QUIET_FLOOR_DBFS / 20))
        audio = self._joined(part, random)
        target = 10 ** (random.uniform(*LEVEL_DBFS) / 20)
        level = float(np.sqrt(np.square(audio, dtype=np.float64).mean()))
        peak = float(np.abs(audio).max())
        return audio * np.float32(min(target / level, PEAK / peak))

    def _joined(self, part: _Part, random: np.random.Generator) -> Floats:
        """Recordings of one group after one another, until there is enough of them."""
        own = list(self._by_group[part.label, part.group])
        random.shuffle(own)
        seam = round(SEAM_S * self.corpus.sample_rate)
        ramp = np.linspace(0, 1, seam, dtype=np.float32)
        joined = np.zeros(0, np.float32)
        turn = 0
        while joined.size < part.samples:
            audio = self._audible(own[turn % len(own)])
            if not turn and audio.size > part.samples:
                begin = int(random.integers(audio.size - part.samples))
                audio = audio[begin : begin + part.samples]
            turn += 1
            if joined.size:
                audio[:seam] *= ramp
                audio[:seam] += joined[-seam:] * ramp[::-1]
                joined = joined[:-seam]
            joined = np.concatenate((joined, audio))
        return joined[: part.samples]

    def _audible(self, position: int) -> Floats:
        """A recording without its quiet stretches, full scale 1.0."""
        audible = self.corpus.audible[position]
        block = round(LEVEL_BLOCK_S * self.corpus.sample_rate)
        keep = np.append(audible, audible[-1])
        edges = np.flatnonzero(np.diff(np.concatenate(([1], keep, [1]))))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            keep[begin:end] = end - begin < PAUSE_BLOCKS
        mask = np.repeat(keep, block)
        samples = self.corpus.audio(position)[: mask.size]
        audio = samples[mask[: samples.size]].astype(np.float32)
        sound: Floats = audio / np.float32(32768)
        return sound


def hours(
    corpus: Corpus, positions: Sequence[int], count: float, seed: int, each: float = 1.0
) -> list[Programme]:
    """Programmes of ``count`` hours together, of ``each`` an hour or less, all of one length."""
    feeds = max(1, math.ceil(count / each))
    return [
        Programme(corpus, positions, 3600 * count / feeds, (seed, feed)) for feed in range(feeds)
    ]
