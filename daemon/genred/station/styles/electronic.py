"""Electronics: four on the floor, sequenced bass, chord stabs, a pad that ducks to the kick."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from genred.station import drums
from genred.station.effects import Convolver, Mix, room
from genred.station.style import Style
from genred.station.synth import envelope, filtered, noise
from genred.station.theory import DORIAN, MINOR, degree, hertz

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

PROGRESSIONS = ((0, 5, 2, 6), (0, 0, 5, 6), (0, 3, 5, 4), (0, 0, 0, 0), (0, 6, 5, 6))
STABS = ((0, 3, 6, 10, 13), (2, 6, 10, 14), (0, 3, 8, 11, 14))
"""Sixteenths on which the chord is struck."""
SUPERSAW = (0.989, 0.995, 1.0, 1.0055, 1.011)
"""Detunings of one chord voice, about a fifth of a semitone wide."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    track = _Track(rng, rate)
    for bar in count():
        yield track.bar(bar)


class _Track:
    """The sequencer: a groove whose layers come and go in sections of four bars."""

    def __init__(self, rng: np.random.Generator, rate: int) -> None:
        self._rng = rng
        self._rate = rate
        self._tonic = 33 + int(rng.integers(0, 12))
        self._scale = MINOR if rng.random() < 0.7 else DORIAN
        self._beat = 60.0 / rng.uniform(120.0, 138.0)
        self._order = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
        hz = rng.uniform(46.0, 56.0)
        self._kick = drums.kick(rng, rate, hz=hz, punch=5.0, t60=0.38, click=0.25)
        self._clap = drums.clap(rng, rate)
        self._closed = [drums.hat(rng, rate, t60=0.06) for _ in range(2)]
        self._open = drums.hat(rng, rate, t60=0.28)
        self._line = _sequence(rng)
        self._stabs = STABS[int(rng.integers(len(STABS)))]
        self._arpeggio = bool(rng.random() < 0.6)
        self._duck = _ducking(rate, self._beat)
        self._space = Convolver(room(rng, rate, t60=1.4, wet=0.5))
        self._floor, self._air = Mix(rate), Mix(rate)
        self._notes = _Notes(rate, self._beat, rng)

    def bar(self, number: int) -> Audio:
        """Play bar ``number``: drums straight, all else through side chain and reverberation."""
        start = number * 4 * self._beat
        section = (number // 4) % 4
        root = self._order[number % 4]
        chord = tuple(self._tonic + 24 + degree(self._scale, root + d) for d in (0, 2, 4, 6))
        sweep = float(0.5 - 0.5 * np.cos(2.0 * np.pi * (number % 16) / 16.0))
        bass = self._tonic + degree(self._scale, root)
        for step in range(16):
            when = start + step * self._beat / 4.0
            self._beat_step(when, step, busy=section > 0)
            self._synth_step(when, step, section, bass, chord, sweep)
        if section >= 2:
            self._lay(self._air, start, self._notes.pad(chord), 0.12)
        if number % 16 == 15:
            self._lay(self._air, start, _riser(self._rng, self._rate, 4 * self._beat), 0.25)
        end = int((number + 1) * 4 * self._beat * self._rate)
        rhythm, synths = self._floor.take(end), self._air.take(end)
        synths *= self._duck[: synths.size]
        return rhythm + self._space.process(synths)

    def _lay(self, mix: Mix, when: float, sound: Audio, gain: float) -> None:
        mix.add(int(when * self._rate), sound, gain)

    def _beat_step(self, when: float, step: int, *, busy: bool) -> None:
        """One sixteenth of the drums."""
        if step % 4 == 0:
            self._lay(self._floor, when, self._kick, 1.0)
        if step in (4, 12):
            self._lay(self._floor, when, self._clap, 0.42)
        if step % 4 == 2:
            self._lay(self._floor, when, self._open, 0.22)
        elif busy:
            self._lay(self._floor, when, self._closed[step % 2], 0.13 if step % 2 else 0.18)

    def _synth_step(
        self,
        when: float,
        step: int,
        section: int,
        root: int,
        chord: tuple[int, ...],
        sweep: float,
    ) -> None:
        """One sixteenth of bass, stabs and arpeggio."""
        offset, accent = self._line[step]
        if accent:
            note = self._notes.bass(root + offset, accent > 1, round(4 * sweep) / 4)
            self._lay(self._air, when, note, 0.34)
        if step in self._stabs and section != 1:
            self._lay(self._air, when, self._notes.stab(chord, round(3 * sweep) / 3), 0.17)
        if self._arpeggio and section in (1, 3):
            pitch = chord[(step * 3) % 4] + 12 * (1 + (step // 4) % 2)
            for echo in range(3):  # a dotted eighth apart
                late = when + 0.75 * echo * self._beat
                self._lay(self._air, late, self._notes.pluck(pitch), 0.12 * 0.5**echo)


def _sequence(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Sixteen steps of a bass line: semitones above the root, and 0 rest, 1 note, 2 accent."""
    if rng.random() < 0.35:  # plain off-beats
        return [(0, 2 if step % 4 == 2 else 0) for step in range(16)]
    intervals = (0, 0, 0, 12, 0, 7, 10, 3)
    return [
        (
            int(rng.choice(intervals)) if step else 0,
            int(rng.choice([0, 1, 1, 2], p=[0.25, 0.3, 0.25, 0.2])) if step % 4 else 1,
        )
        for step in range(16)
    ]


def _ducking(rate: int, beat: float) -> Audio:
    """Gain of a bar under the side chain: down at each kick, back up within half a beat."""
    # A bar's length may differ by a sample from one to the next: two are spare.
    t = np.arange(int(4 * beat * rate) + 2) / rate
    open_ = np.clip(2.2 * np.mod(t, beat) / beat, 0.0, 1.0)
    return (0.3 + 0.7 * open_**1.5).astype(np.float32)


def _riser(rng: np.random.Generator, rate: int, seconds: float) -> Audio:
    """Noise that swells towards the next section."""
    frames = int(seconds * rate)
    rush = noise(rng, frames, rate, ((500.0, -24.0), (3000.0, 0.0), (7000.0, -3.0)))
    return rush * np.linspace(0.0, 1.0, frames, dtype=np.float32) ** 2


class _Notes:
    """The synthesisers. Notes come back bar after bar, so each is made once."""

    LIMIT = 256
    """More different notes than a passage uses; bounds memory all the same."""

    def __init__(self, rate: int, beat: float, rng: np.random.Generator) -> None:
        self._rate = rate
        self._beat = beat
        self._square = bool(rng.random() < 0.4)
        self._resonance = float(rng.uniform(1.0, 6.0))
        self._made: dict[tuple[object, ...], Audio] = {}

    def _once(self, key: tuple[object, ...], make: partial[Audio]) -> Audio:
        if key not in self._made:
            if len(self._made) >= self.LIMIT:
                self._made.clear()
            self._made[key] = make()
        return self._made[key]

    def bass(self, pitch: int, accent: bool, sweep: float) -> Audio:
        """A sixteenth of acid bass; the filter opens with ``sweep`` and on an accent."""
        make = partial(
            filtered,
            hertz(pitch),
            0.9 * self._beat / 4.0,
            self._rate,
            cutoff=180.0 + 500.0 * sweep,
            sweep=7.0 if accent else 4.0,
            sweep_t60=0.35,
            resonance=self._resonance,
            square=self._square,
        )
        return self._once(("bass", pitch, accent, sweep), make)

    def stab(self, chord: tuple[int, ...], sweep: float) -> Audio:
        """A short chord of detuned saws."""
        return self._once(("stab", chord, sweep), partial(self._stab, chord, sweep))

    def _stab(self, chord: tuple[int, ...], sweep: float) -> Audio:
        seconds = 0.9 * self._beat / 2.0
        voices = [
            filtered(
                hertz(pitch),
                seconds,
                self._rate,
                cutoff=900.0 + 1500.0 * sweep,
                sweep=3.0,
                sweep_t60=0.4,
                resonance=0.6,
                detune=SUPERSAW[1:4],
            )
            for pitch in chord
        ]
        total: Audio = np.sum(voices, axis=0, dtype=np.float32)
        return total * envelope(total.size, self._rate, 0.002, 0.6 * seconds)

    def pluck(self, pitch: int) -> Audio:
        """A short bright note of the arpeggio."""
        make = partial(
            filtered,
            hertz(pitch),
            0.22,
            self._rate,
            cutoff=700.0,
            sweep=8.0,
            sweep_t60=0.3,
            resonance=1.0,
            square=True,
        )
        return self._once(("pluck", pitch), make)

    def pad(self, chord: tuple[int, ...]) -> Audio:
        """A bar-long chord of wide saws."""
        return self._once(("pad", chord), partial(self._pad, chord))

    def _pad(self, chord: tuple[int, ...]) -> Audio:
        seconds = 4.2 * self._beat
        voices = [
            filtered(
                hertz(pitch),
                seconds,
                self._rate,
                cutoff=1800.0,
                sweep=1.0,
                sweep_t60=1.0,
                detune=SUPERSAW,
            )
            for pitch in chord
        ]
        total: Audio = np.sum(voices, axis=0, dtype=np.float32)
        return total * envelope(total.size, self._rate, 0.3, 0.4)


STYLE = Style("electronic", "Four-on-the-floor electronics", "electronic", compose)
