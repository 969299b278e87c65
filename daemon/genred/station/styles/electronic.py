"""Electronics: four on the floor, a sequenced bass, chord stabs and a pad that ducks to the kick."""

from __future__ import annotations

from functools import partial
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
SUPERSAW = (0.989, 0.995, 1.0, 1.0055, 1.011)
"""Detunings of one chord voice, about a fifth of a semitone wide."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    tonic = 33 + int(rng.integers(0, 12))
    scale = MINOR if rng.random() < 0.7 else DORIAN
    beat = 60.0 / rng.uniform(120.0, 138.0)
    order = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
    kick = drums.kick(rng, rate, hz=rng.uniform(46.0, 56.0), punch=5.0, t60=0.38, click=0.25)
    clap = drums.clap(rng, rate)
    closed = [drums.hat(rng, rate, t60=0.06) for _ in range(2)]
    opened = drums.hat(rng, rate, t60=0.28)
    line = _sequence(rng)
    stab_steps = [(0, 3, 6, 10, 13), (2, 6, 10, 14), (0, 3, 8, 11, 14)][int(rng.integers(3))]
    arpeggio = bool(rng.random() < 0.6)
    duck = _ducking(rate, beat)
    space = Convolver(room(rng, rate, t60=1.4, wet=0.5))
    floor, air = Mix(rate), Mix(rate)
    notes = _Notes(rate, beat, rng)
    step_s = beat / 4.0
    bar = 0
    while True:
        start = bar * 4 * beat
        section = (bar // 4) % 4
        root = tonic + degree(scale, order[bar % 4])
        chord = [tonic + 24 + degree(scale, order[bar % 4] + d) for d in (0, 2, 4, 6)]
        end = int((bar + 1) * 4 * beat * rate)
        sweep = 0.5 - 0.5 * np.cos(2.0 * np.pi * (bar % 16) / 16.0)
        for step in range(16):
            at = int((start + step * step_s) * rate)
            if step % 4 == 0:
                floor.add(at, kick, 1.0)
            if step in (4, 12):
                floor.add(at, clap, 0.42)
            if step % 4 == 2:
                floor.add(at, opened, 0.22)
            elif section > 0:
                floor.add(at, closed[step % 2], 0.13 if step % 2 else 0.18)
            offset, accent = line[step]
            if accent:
                bass = notes.bass(root + offset, accent > 1, round(4 * sweep) / 4)
                air.add(at, bass, 0.34)
            if step in stab_steps and section != 1:
                air.add(at, notes.stab(tuple(chord), round(3 * sweep) / 3), 0.17)
            if arpeggio and section in (1, 3):
                pitch = chord[(step * 3) % 4] + 12 * (1 + (step // 4) % 2)
                for echo in range(3):  # dotted-eighth delay
                    late = at + int(3 * echo * step_s * rate)
                    air.add(late, notes.pluck(pitch), 0.12 * 0.5**echo)
        if section >= 2:
            air.add(int(start * rate), notes.pad(tuple(chord)), 0.12)
        if bar % 16 == 15:
            air.add(int(start * rate), _riser(rng, rate, 4 * beat), 0.25)
        rhythm = floor.take(end)
        synths = air.take(end)
        synths *= np.resize(duck, synths.size) if synths.size > duck.size else duck[: synths.size]
        bar += 1
        yield rhythm + space.process(synths)


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
    t = np.arange(int(4 * beat * rate) + 2, dtype=np.float32) / np.float32(rate)
    phase = np.mod(t, np.float32(beat)) / np.float32(beat)
    return (0.3 + 0.7 * np.clip(phase * 2.2, 0.0, 1.0) ** 1.5).astype(np.float32)


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
