"""Reggae: guitar and organ on the off-beats, a heavy bass, one drop drums, dub echoes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station import drums
from genred.station.effects import Convolver, Mix, room
from genred.station.style import Style
from genred.station.synth import (
    blown,
    envelope,
    equaliser,
    harmonic_count,
    noise,
    pluck,
    steady,
    tone,
)
from genred.station.theory import MAJOR, MINOR, degree, hertz, nearest, triad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

PROGRESSIONS = ((0, 3, 0, 4), (0, 5, 3, 4), (0, 0, 3, 3), (0, 1, 0, 1), (0, 6, 5, 6))
DRAWBARS = ((1, 0.8), (2, 1.0), (3, 0.7), (4, 0.35), (6, 0.15), (8, 0.2))
"""Harmonics of the organ and their levels."""
DEEP = ((30.0, 0.0), (60.0, -4.0), (100.0, 2.0), (200.0, 0.0), (500.0, -10.0), (1500.0, -26.0))
"""A bass guitar with the treble turned off."""
HORNS = ((100.0, -6.0), (400.0, 0.0), (800.0, 2.0), (1600.0, -3.0), (3500.0, -14.0))
"""Colour of a trombone and a saxophone together."""
BASS_RHYTHMS = (
    (0.0, 0.5, 1.5, 2.0, 3.0, 3.5),
    (0.5, 1.0, 1.5, 2.5, 3.0),
    (0.0, 1.5, 2.0, 2.5, 3.5),
    (0.0, 0.5, 1.0, 2.5, 3.0, 3.5),
)


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    tonic = 57 + int(rng.integers(-5, 6))
    scale = MAJOR if rng.random() < 0.5 else MINOR
    beat = 60.0 / rng.uniform(128.0, 160.0)  # felt as half
    order = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
    deep = Convolver(equaliser(DEEP, rate))
    studio = Convolver(room(rng, rate, t60=0.8, wet=0.25))
    bass, band, sends = Mix(rate), Mix(rate), Mix(rate)
    players = _Players(rng, rate, beat)
    line = _bass_line(rng), _bass_line(rng)
    place = 9
    spring = Convolver(_echoes(rate, 1.5 * beat))
    bar = 0
    while True:
        start = bar * 4 * beat
        end = int((bar + 1) * 4 * beat * rate)
        step = order[bar % len(order)]
        chord = [nearest(62 + 4 * i, (p,), tonic) for i, p in enumerate(triad(scale, step))]
        for when, offset, length in line[bar % 2]:
            pitch = tonic - 24 + degree(scale, step + offset)
            pitch -= 12 if pitch > 43 else 0
            players.bass(bass, start + when * beat, length * beat, pitch)
        for off in (1, 3):
            players.skank(band, start + off * beat, chord, 0.55)
        if (bar // 4) % 2:
            for eighth in (1, 3, 5, 7):
                players.organ(band, start + eighth * beat / 2, 0.22 * beat, chord, 0.13)
        else:
            players.organ(band, start + beat, 0.35 * beat, chord, 0.15)
            players.organ(band, start + 3 * beat, 0.35 * beat, chord, 0.15)
        if (bar // 4) % 2 == 0 and bar % 4 < 3:
            place = players.lead(band, start, tonic, scale, chord, place)
        players.drums(band, sends, start, bar)
        if bar % 4 == 3:
            players.skank(sends, start + 3 * beat, chord, 0.5)
        dry = deep.process(bass.take(end)) + band.take(end)
        dry += spring.process(sends.take(end))
        dry += np.float32(8e-4) * rng.standard_normal(dry.size, dtype=np.float32)
        bar += 1
        yield studio.process(dry)


def _bass_line(rng: np.random.Generator) -> list[tuple[float, int, float]]:
    """A bar of bass: (beat, scale steps above the chord's root, beats it lasts)."""
    rhythm = BASS_RHYTHMS[int(rng.integers(len(BASS_RHYTHMS)))]
    ends = [*rhythm[1:], 4.0]
    steps = [0, *(int(rng.choice([0, 2, 4, -3, 1])) for _ in rhythm[1:])]
    return [
        (at, step, min(end - at, 0.9)) for at, step, end in zip(rhythm, steps, ends, strict=True)
    ]


def _echoes(rate: int, delay_s: float) -> Audio:
    """Impulse response of a tape echo: repeats that grow quieter and duller."""
    gap = int(delay_s * rate)
    repeats = 4
    impulse = np.zeros(repeats * gap + 512, np.float32)
    dull = equaliser(((200.0, -6.0), (600.0, 0.0), (1800.0, 0.0), (4000.0, -10.0)), rate, 256)
    once = dull
    for repeat in range(repeats):
        at = repeat * gap
        impulse[at : at + once.size] += np.float32(0.55**repeat) * once
        once = np.convolve(once, dull)[:512].astype(np.float32)
    return impulse


class _Players:
    """Guitar, organ, bass and drums."""

    def __init__(self, rng: np.random.Generator, rate: int, beat: float) -> None:
        self._rng = rng
        self._rate = rate
        self._beat = beat
        self._kick = drums.kick(rng, rate, hz=54.0, punch=2.5, t60=0.3, click=0.25)
        self._snare = drums.snare(rng, rate, hz=260.0, t60=0.2, wires=0.7)
        self._rim = drums.rim(rng, rate)
        self._hats = [drums.hat(rng, rate, t60=0.06) for _ in range(3)]
        self._open = drums.hat(rng, rate, t60=0.3)
        self._wind = noise(rng, 2 * rate, rate, ((300.0, -20.0), (1500.0, 0.0), (6000.0, -6.0)))
        self._shaker = drums.shaker(rng, rate)
        self._stepper = bool(rng.random() < 0.35)
        self._made: dict[tuple[str, int], Audio] = {}

    def bass(self, mix: Mix, when: float, seconds: float, pitch: int) -> None:
        """One note of the bass."""
        key = ("bass", pitch)
        if key not in self._made:
            self._made[key] = pluck(
                self._rng, hertz(pitch), 1.0, self._rate, t60=3.5, damping=3.0, pick=0.3, tilt=1.0
            )
        note = self._made[key][: int(seconds * self._rate)]
        shape = envelope(note.size, self._rate, 0.004, 0.06)
        mix.add(int((when + self._rng.normal(0.0, 0.006)) * self._rate), note * shape, 0.5)

    def skank(self, mix: Mix, when: float, chord: list[int], gain: float) -> None:
        """A short chop of the guitar."""
        when += self._rng.normal(0.0, 0.005)
        for string, pitch in enumerate((*chord, chord[0] + 12)):
            key = ("guitar", pitch)
            if key not in self._made:
                note = pluck(
                    self._rng, hertz(pitch), 0.16, self._rate, t60=0.9, pick=0.17, tilt=0.5
                )
                self._made[key] = note * envelope(note.size, self._rate, 0.001, 0.08)
            mix.add(int((when + 0.006 * string) * self._rate), self._made[key], 0.7 * gain)

    def organ(self, mix: Mix, when: float, seconds: float, chord: list[int], gain: float) -> None:
        """A short chord of the organ."""
        for pitch in chord:
            key = ("organ", pitch)
            if key not in self._made:
                self._made[key] = self._pipe(pitch)
            note = self._made[key][: int(seconds * self._rate)]
            shape = envelope(note.size, self._rate, 0.006, 0.03)
            mix.add(int(when * self._rate), note * shape, gain)

    def _pipe(self, pitch: int) -> Audio:
        hz = hertz(pitch)
        spectrum = np.zeros(8, np.float32)
        for harmonic, level in DRAWBARS:
            spectrum[harmonic - 1] = level
        spectrum = spectrum[: harmonic_count(hz, self._rate)]
        phases = self._rng.uniform(0.0, 6.28, spectrum.size).astype(np.float32)
        return tone(spectrum[None, :], phases, steady(hz, int(0.5 * self._rate), self._rate))

    def lead(
        self,
        mix: Mix,
        start: float,
        tonic: int,
        scale: tuple[int, ...],
        chord: list[int],
        place: int,
    ) -> int:
        """Play a bar of melody on two horns from scale step ``place``; returns where it ended."""
        at = float(self._rng.choice([0.0, 0.5, 1.0]))
        while at < 3.6:
            length = float(self._rng.choice([0.5, 1.0, 1.0, 2.0]))
            place = int(np.clip(place + self._rng.choice([-2, -1, -1, 1, 1, 2]), 5, 14))
            pitch = tonic + degree(scale, place)
            if length > 1.0:
                pitch = nearest(pitch, [(p - tonic) % 12 for p in chord], tonic)
            third = tonic + degree(scale, place - 2)
            for horn in (pitch - 12, third - 12):
                note = blown(
                    self._rng,
                    hertz(horn + self._rng.normal(0.0, 0.06)),
                    0.9 * min(length, 4.0 - at) * self._beat,
                    self._rate,
                    loud=self._rng.uniform(0.6, 0.9),
                    formants=HORNS,
                    breath=self._wind,
                    scoop=float(self._rng.choice([0.0, 0.7])),
                )
                late = abs(self._rng.normal(0.0, 0.012))
                mix.add(int((start + at * self._beat + late) * self._rate), note, 0.16)
            at += length
        return place

    def drums(self, mix: Mix, sends: Mix, start: float, bar: int) -> None:
        """One drop (kick and cross-stick together on three), or steppers."""
        beat = self._beat
        for eighth in range(8):
            late = 0.06 * beat if eighth % 2 else 0.0
            stroke = self._open if eighth == 7 and bar % 2 else self._hats[eighth % 3]
            self._hit(mix, start + eighth * beat / 2 + late, stroke, 0.2 if eighth % 2 else 0.28)
            self._hit(mix, start + eighth * beat / 2 + late, self._shaker, 0.12)
        if self._stepper:
            for quarter in range(4):
                self._hit(mix, start + quarter * beat, self._kick, 0.7)
        else:
            self._hit(mix, start + 2 * beat, self._kick, 0.9)
        self._hit(mix, start + 2 * beat, self._rim, 0.5)
        if bar % 4 == 3:
            self._hit(sends, start + 3.5 * beat, self._snare, 0.5)
            for third in range(3):
                self._hit(mix, start + (3 + third / 3) * beat, self._snare, 0.45)
        elif self._rng.random() < 0.2:
            self._hit(sends, start + 2 * beat, self._rim, 0.4)

    def _hit(self, mix: Mix, when: float, stroke: Audio, gain: float) -> None:
        when += self._rng.normal(0.0, 0.003)
        mix.add(int(when * self._rate), stroke, gain * self._rng.uniform(0.85, 1.0))


STYLE = Style("reggae", "Reggae off-beat", "reggae", compose)
