"""The station itself: which passage plays when, and the endless audio of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from genred.errors import UsageError
from genred.labels import SILENCE
from genred.station.effects import limit
from genred.station.styles import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

NAME = "genred synthetic station"

CROSSFADE_S = 0.2
"""How long a passage fades out over the next one: short, so that boundaries stay sharp."""

DEAD_AIR_S = (12.0, 15.0)
"""Long enough for a dead-air alarm set to ten seconds."""

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000
"""Telephone to studio; below, the drums would have no room for their noise."""

LONGEST_S = 3_600.0
"""Longest passage. Rendered alone it is held in memory whole: an hour is 230 MB at 16 kHz."""

SPEECH, NOISE = "speech", "noise"
"""Labels that are no music; the station opens with music."""

_PASSAGE_TAG, _CYCLE_TAG, _SOLO_TAG = 1, 2, 3
"""Keep the random streams of passages, of the running order and of single renderings apart."""


@dataclass(frozen=True)
class Passage:
    """One item of the programme. ``start`` and ``frames`` are samples from the station's start."""

    index: int
    style: str
    title: str
    label: str
    start: int
    frames: int

    @property
    def end(self) -> int:
        """The first sample of the next passage."""
        return self.start + self.frames


class Station:
    """An endless, reproducible radio programme with known boundaries.

    The same ``seed`` and ``rate`` give the same samples whatever the sizes of the reads. The
    programme goes in cycles that play every style once; a cycle always lasts equally long, so
    that any passage, however far ahead, is found without listing those before it. ``passage_s``
    are the shortest and longest passage in seconds (dead air keeps to :data:`DEAD_AIR_S`).

    Memory is that of one passage's instruments, for ever. Not safe for reads from two threads;
    :meth:`passage_at` and :attr:`position` may be asked from any.

    :raises UsageError: where seed, rate or lengths make no sense.
    """

    def __init__(
        self,
        seed: int = 7,
        rate: int = 16_000,
        passage_s: tuple[float, float] = (20.0, 45.0),
    ) -> None:
        check_rate(rate)
        if not 1.0 <= passage_s[0] <= passage_s[1] <= LONGEST_S:
            raise UsageError(
                f"passages of {passage_s[0]} to {passage_s[1]} seconds cannot be played",
                "give the shortest first: a second or more, and at most an hour",
            )
        check_seed(seed)
        self.seed = seed
        self.rate = rate
        self._shortest, self._longest = (round(s * rate) for s in passage_s)
        silent = sum(style.label == SILENCE for style in STYLES.values())
        dead_air_s = np.random.default_rng((seed, _CYCLE_TAG)).uniform(*DEAD_AIR_S)
        self._dead_air = round(dead_air_s * rate)
        heard = len(STYLES) - silent
        pairs, odd = divmod(heard, 2)
        pair = self._shortest + self._longest
        self._cycle_frames = pairs * pair + odd * (pair // 2) + silent * self._dead_air
        self._position = 0
        self._cycle = lru_cache(maxsize=4)(self._arrange)
        self._tap = _Tap(self._play())

    @property
    def position(self) -> int:
        """How many samples have been read."""
        return self._position

    def passage_at(self, sample: int) -> Passage:
        """The passage that plays at ``sample``, counted from the start; also ahead of time.

        A passage owns the crossfade at its beginning.
        """
        if sample < 0:
            raise ValueError("the station starts at sample 0")
        cycle = self._cycle(sample // self._cycle_frames)
        return next(passage for passage in cycle if sample < passage.end)

    def read(self, frames: int) -> Audio:
        """The next ``frames`` samples, float32 [frames] within ±1."""
        sound = self._tap.take(frames)
        self._position += frames
        return sound

    def _arrange(self, cycle: int) -> tuple[Passage, ...]:
        """The passages of one cycle: order and lengths."""
        rng = np.random.default_rng((self.seed, _CYCLE_TAG, cycle))
        styles = [STYLES[name] for name in self._order(cycle)]
        heard = [style for style in styles if style.label != SILENCE]
        lengths: list[int] = []
        for _ in range(len(heard) // 2):  # in pairs of one sum: the cycle's length is constant
            length = int(rng.integers(self._shortest, self._longest + 1))
            lengths += [length, self._shortest + self._longest - length]
        if len(heard) % 2:
            lengths.append((self._shortest + self._longest) // 2)
        rng.shuffle(lengths)
        start = cycle * self._cycle_frames
        passages = []
        for place, style in enumerate(styles):
            frames = self._dead_air if style.label == SILENCE else lengths.pop()
            index = cycle * len(styles) + place
            passages.append(Passage(index, style.name, style.title, style.label, start, frames))
            start += frames
        return tuple(passages)

    def _order(self, cycle: int) -> list[str]:
        """Names of the styles in the order of one cycle."""
        names = self._shuffled(cycle)
        if cycle:
            # Only the first two are exchanged, so the last of the cycle before is the shuffled one.
            if names[0] == self._shuffled(cycle - 1)[-1]:
                names[0], names[1] = names[1], names[0]
        else:  # whoever starts a demo wants to hear music
            quiet = (SILENCE, SPEECH, NOISE)
            opener = next(i for i, name in enumerate(names) if STYLES[name].label not in quiet)
            names[0], names[opener] = names[opener], names[0]
        return names

    def _shuffled(self, cycle: int) -> list[str]:
        names = sorted(STYLES)
        np.random.default_rng((self.seed, _CYCLE_TAG, cycle, 1)).shuffle(names)
        return names

    def _play(self) -> Iterator[Audio]:
        """Yield the programme in pieces, each passage fading out over the start of the next."""
        fade = round(CROSSFADE_S * self.rate)
        rise = np.sin(np.linspace(0.0, np.pi / 2, fade, dtype=np.float32))
        tail = np.zeros(fade, np.float32)
        for cycle in count():
            for passage in self._cycle(cycle):
                rng = np.random.default_rng((self.seed, _PASSAGE_TAG, passage.index))
                sound = _Tap(STYLES[passage.style].render(rng, self.rate))
                yield limit(sound.take(fade) * rise + tail)
                left = passage.frames - fade
                while left:
                    piece = sound.take(min(left, self.rate))
                    left -= piece.size
                    yield piece
                tail = sound.take(fade) * rise[::-1]


def render(style: str, seconds: float, seed: int, rate: int = 16_000) -> Audio:
    """One passage of ``style`` alone, float32 [seconds * rate], as the station would play it.

    :raises UsageError: where there is no such style, or rate, length or seed make no sense.
    """
    check_rate(rate)
    if style not in STYLES:
        raise UsageError(f"the station has no style {style!r}", f"one of {', '.join(STYLES)}")
    if not 0.0 < seconds <= LONGEST_S:
        raise UsageError(
            f"a passage of {seconds} seconds cannot be rendered",
            f"give more than 0 and at most {LONGEST_S:g} seconds",
        )
    check_seed(seed)
    rng = np.random.default_rng((seed, _SOLO_TAG))
    return _Tap(STYLES[style].render(rng, rate)).take(round(seconds * rate))


def check_rate(rate: int) -> None:
    """Refuse a sample rate that the station cannot play at.

    :raises UsageError: outside :data:`LOWEST_RATE` to :data:`HIGHEST_RATE`.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UsageError(
            f"the station cannot play at {rate} Hz",
            f"give a sample rate between {LOWEST_RATE} and {HIGHEST_RATE}",
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that numpy's generators cannot take.

    :raises UsageError: below 0.
    """
    if seed < 0:
        raise UsageError(f"the station's seed is {seed}", "give 0 or more")


class _Tap:
    """Draws any number of samples from an endless iterator of pieces."""

    def __init__(self, pieces: Iterator[Audio]) -> None:
        self._pieces = pieces
        self._rest = np.empty(0, np.float32)

    def take(self, frames: int) -> Audio:
        out = np.empty(frames, np.float32)
        filled = 0
        while filled < frames:
            if not self._rest.size:
                self._rest = next(self._pieces)
            part = self._rest[: frames - filled]
            out[filled : filled + part.size] = part
            filled += part.size
            self._rest = self._rest[part.size :]
        return out
