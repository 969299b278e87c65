"""A string piece: a melody over three lower parts, slow or in broken chords."""

from __future__ import annotations

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
"""Rough average of measured bodies: air and wood modes below 500 Hz, the bridge's hill above 2 kHz."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    scale = MAJOR if rng.random() < 0.5 else HARMONIC_MINOR
    tonic = 60 + int(rng.integers(-5, 7))
    beat = 60.0 / rng.uniform(66.0, 104.0)
    order = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
    hall = Convolver(room(rng, rate, t60=rng.uniform(1.2, 1.9), wet=0.6, points=_body(rng)))
    section = _Section(rng, rate)
    broken = bool(rng.random() < 0.5)
    mix = Mix(rate)
    step = 7 + int(rng.integers(0, 4))
    parts = [tonic - 5.0, tonic + 2.0]
    bar = 0
    while True:
        if bar % 8 == 0 and bar:
            broken = not broken
        chord = triad(scale, order[bar % len(order)])
        start = bar * 4 * beat
        bass = nearest(tonic - 19, chord[:1], tonic)
        if broken:
            for half in range(2):
                section.play(mix, start + 2 * half * beat, 1.9 * beat, bass, 0.75, players=2)
        else:
            section.play(mix, start, 4.0 * beat, bass, 0.6, players=2)
        for part, pitch in enumerate(parts):
            parts[part] = nearest(pitch * 0.8 + (tonic - 5 + 7 * part) * 0.2, chord, tonic)
        if broken:
            figure = (parts[0], parts[1], nearest(parts[1] + 4, chord, tonic), parts[1])
            for eighth in range(8):
                pitch = figure[eighth % 4]
                when = start + eighth * beat / 2 + rng.normal(0.0, 0.006)
                section.play(mix, when, 0.52 * beat, pitch, 0.5, players=1)
        else:
            for pitch in parts:
                section.play(mix, start, 4.05 * beat, pitch, 0.4, players=2)
        when = start
        for length in RHYTHMS[int(rng.integers(len(RHYTHMS)))]:
            strong = when == start
            step = int(np.clip(step + rng.choice([-2, -1, -1, 1, 1, 2]), 5, 15))
            pitch = tonic + degree(scale, step)
            if strong:
                pitch = nearest(pitch, chord, tonic)
            section.play(mix, when, 1.05 * length * beat, pitch, 1.1, players=2)
            when += length * beat
        bar += 1
        yield hall.process(mix.take(int(bar * 4 * beat * rate)))


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
        cycles = bent(hz, frames, rate, wander)
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
