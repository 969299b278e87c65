"""A string piece: a melody over three lower parts, slow or in broken chords."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from genred.station.effects import Convolver, Mix, room
from genred.station.style import Style
from genred.station.synth import bent, envelope, harmonic_count, noise, response, tone, vibrato
from genred.station.theory import HARMONIC_MINOR, MAJOR, degree, hertz, nearest, triad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

PROGRESSIONS = (
    (0, 3, 4, 0, 5, 3, 4, 0),
    (0, 4, 5, 2, 3, 0, 3, 4),  # the bass of Pachelbel's canon
    (0, 5, 3, 4, 0, 3, 4, 4),
    (5, 3, 0, 4, 5, 1, 4, 0),
)
RHYTHMS = ((2.0, 1.0, 1.0), (1.5, 0.5, 1.0, 1.0), (1.0, 1.0, 2.0), (1.0, 0.5, 0.5, 2.0), (3.0, 1.0))
"""Note lengths of the melody's bars, in beats."""

BODY = (
    (120.0, -14.0),
    (200.0, -4.0),
    (280.0, 3.0),
    (450.0, 3.0),
    (750.0, -2.0),
    (1200.0, -4.0),
    (2300.0, -4.0),
    (3200.0, -7.0),
    (4500.0, -13.0),
    (7500.0, -20.0),
)
"""Wood and air, set so that the long-term spectrum is that of recorded string music."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    piece = _Piece(rng, rate)
    hall = Convolver(room(rng, rate, t60=rng.uniform(1.2, 1.9), wet=0.6, points=_body(rng)))
    for bar in count():
        yield hall.process(piece.bar(bar))


class _Piece:
    """The score: key, pace and progression, and how the parts move from chord to chord."""

    def __init__(self, rng: np.random.Generator, rate: int) -> None:
        self._rng = rng
        self._rate = rate
        self._scale = MAJOR if rng.random() < 0.5 else HARMONIC_MINOR
        self._tonic = 60 + int(rng.integers(-5, 7))
        self._beat = 60.0 / rng.uniform(66.0, 104.0)
        self._order = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
        self._section = _Section(rng, rate)
        self._broken = bool(rng.random() < 0.5)
        self._step = 7 + int(rng.integers(0, 4))
        self._parts = [self._tonic - 5.0, self._tonic + 2.0]
        self._mix = Mix(rate)

    def bar(self, number: int) -> Audio:
        """Play bar ``number``; broken and sustained chords take turns of eight bars."""
        if number and number % 8 == 0:
            self._broken = not self._broken
        chord = triad(self._scale, self._order[number % len(self._order)])
        start = number * 4 * self._beat
        for part, pitch in enumerate(self._parts):  # to the nearest tone, drawn to the middle
            home = self._tonic - 5 + 7 * part
            self._parts[part] = nearest(0.8 * pitch + 0.2 * home, chord, self._tonic)
        if self._broken:
            self._break(start, chord)
        else:
            self._sustain(start, chord)
        self._sing(start, chord)
        return self._mix.take(int((number + 1) * 4 * self._beat * self._rate))

    def _play(self, when: float, beats: float, pitch: float, gain: float, players: int) -> None:
        self._section.play(self._mix, when, beats * self._beat, pitch, gain, players=players)

    def _bass(self, chord: tuple[int, ...]) -> int:
        return nearest(self._tonic - 19, chord[:1], self._tonic)

    def _sustain(self, start: float, chord: tuple[int, ...]) -> None:
        """Lay the lower parts as long notes."""
        self._play(start, 4.0, self._bass(chord), 0.6, 2)
        for pitch in self._parts:
            self._play(start, 4.05, pitch, 0.4, 2)

    def _break(self, start: float, chord: tuple[int, ...]) -> None:
        """Lay the lower parts as eighths over a bass in halves."""
        for half in range(2):
            self._play(start + 2 * half * self._beat, 1.9, self._bass(chord), 0.75, 2)
        low, high = self._parts
        figure = (low, high, nearest(high + 4, chord, self._tonic), high)
        for eighth in range(8):
            when = start + eighth * self._beat / 2 + self._rng.normal(0.0, 0.006)
            self._play(when, 0.52, figure[eighth % 4], 0.5, 1)

    def _sing(self, start: float, chord: tuple[int, ...]) -> None:
        """Lay a bar of melody: steps and thirds, a tone of the chord on the first beat."""
        at = 0.0
        for beats in RHYTHMS[int(self._rng.integers(len(RHYTHMS)))]:
            move = int(self._rng.choice([-2, -1, -1, 1, 1, 2]))
            self._step = min(15, max(5, self._step + move))
            pitch = self._tonic + degree(self._scale, self._step)
            if not at:
                pitch = nearest(pitch, chord, self._tonic)
            self._play(start + at * self._beat, 1.05 * beats, pitch, 1.1, 2)
            at += beats


def _body(rng: np.random.Generator) -> list[tuple[float, float]]:
    """:data:`BODY` with the close ripple of wood's modes, which vibrato turns into shimmer."""
    hz = np.geomspace(180.0, 7500.0, 64)
    smooth = 20.0 * np.log10(response(BODY, hz))
    levels = (smooth + rng.normal(0.0, 4.0, hz.size)).tolist()
    return [(60.0, -30.0), *zip(hz.tolist(), levels, strict=True)]


class _Section:
    """Bowed strings. Players differ in tuning, vibrato and start, which is what makes a section."""

    def __init__(self, rng: np.random.Generator, rate: int) -> None:
        self._rng = rng
        self._rate = rate
        self._bow = noise(rng, 6 * rate, rate, ((400.0, -12.0), (1500.0, 0.0), (5000.0, -6.0)))
        """Six seconds of bow noise, enough for the longest note, begun anywhere."""

    def play(
        self,
        mix: Mix,
        when: float,
        seconds: float,
        pitch: float,
        gain: float,
        *,
        players: int,
    ) -> None:
        """Lay one note of the section on the tape."""
        for _ in range(players):
            late = abs(self._rng.normal(0.0, 0.012))
            note = self._note(pitch + self._rng.normal(0.0, 0.05), seconds)
            mix.add(int((when + late) * self._rate), note, gain / players**0.5)

    def _note(self, pitch: float, seconds: float) -> Audio:
        """One player's note: the sawtooth of the stick-slip string (Helmholtz motion), bowed."""
        rng, rate = self._rng, self._rate
        frames = int(seconds * rate)
        hz = hertz(pitch)
        wander = vibrato(rng, frames, rate, depth=rng.uniform(0.15, 0.32), speed=5.6)
        cycles = bent(hz, rate, wander)
        k = np.arange(1, harmonic_count(hz, rate, 8000.0) + 1, dtype=np.float32)
        saw = (1.0 / k) * rng.uniform(0.75, 1.0, k.size).astype(np.float32)
        phases = np.full(k.size, np.pi / 2, np.float32)
        sound = tone(saw[None, :], phases, cycles)
        attack = min(0.12, 0.25 * seconds)
        shape = envelope(frames, rate, attack, min(0.25, 0.3 * seconds))
        swell = np.linspace(0.85, 1.0, frames, dtype=np.float32)
        at = int(rng.integers(0, self._bow.size - frames)) if frames < self._bow.size else 0
        rosin = np.float32(0.05) * self._bow[at : at + frames]
        sound[: rosin.size] += rosin
        return sound * (shape * swell)


STYLE = Style("strings", "String ensemble", "classical", compose)
