"""Jazz: walking double bass, a swinging kit, piano, and a horn that takes turns with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station import drums
from genred.station.effects import Convolver, Mix, room
from genred.station.style import Style
from genred.station.synth import blown, equaliser, noise, pluck, struck
from genred.station.theory import (
    DOMINANT_7,
    DORIAN,
    HALF_DIMINISHED,
    MAJOR,
    MAJOR_7,
    MINOR_7,
    MIXOLYDIAN,
    hertz,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

Chord = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Root above the tonic, chord tones, and the scale that goes with it."""

LOCRIAN = (0, 1, 3, 5, 6, 8, 10)
CHANGES: tuple[tuple[Chord, ...], ...] = (
    (  # two-five-one and a turnaround
        (2, MINOR_7, DORIAN),
        (7, DOMINANT_7, MIXOLYDIAN),
        (0, MAJOR_7, MAJOR),
        (9, DOMINANT_7, MIXOLYDIAN),
    ),
    (  # falling fifths in the relative minor, after many a standard
        (9, MINOR_7, DORIAN),
        (2, DOMINANT_7, MIXOLYDIAN),
        (7, MAJOR_7, MAJOR),
        (0, MAJOR_7, MAJOR),
        (6, HALF_DIMINISHED, LOCRIAN),
        (11, DOMINANT_7, MIXOLYDIAN),
        (4, MINOR_7, DORIAN),
        (4, MINOR_7, DORIAN),
    ),
    (  # a minor tune
        (0, MINOR_7, DORIAN),
        (0, MINOR_7, DORIAN),
        (5, MINOR_7, DORIAN),
        (0, MINOR_7, DORIAN),
        (8, DOMINANT_7, MIXOLYDIAN),
        (7, DOMINANT_7, MIXOLYDIAN),
        (0, MINOR_7, DORIAN),
        (7, DOMINANT_7, MIXOLYDIAN),
    ),
)
COMPING = ((0.0, 1.5), (1.5, 3.5), (0.5, 2.5), (1.5,), (0.0, 2.5, 3.5), ())
"""Beats of a bar on which the left hand plays."""

WOOD = ((40.0, -3.0), (90.0, 3.0), (250.0, 0.0), (800.0, -6.0), (2500.0, -10.0), (6000.0, -24.0))
"""A double bass in front of a microphone."""


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    tonic = 36 + int(rng.integers(-3, 7))
    beat = 60.0 / rng.uniform(118.0, 208.0)
    swing = rng.uniform(0.6, 0.68)
    changes = CHANGES[int(rng.integers(len(CHANGES)))]
    bass, piano, kit = Mix(rate), Mix(rate), _Kit(rng, rate, beat, swing)
    body = Convolver(equaliser(WOOD, rate))
    club = Convolver(room(rng, rate, t60=0.9, wet=0.4))
    hands = _Piano(rng, rate)
    walker = _Walker(rng, rate, tonic)
    horn = _Horn(rng, rate)
    soloist: _Piano | _Horn = horn if rng.random() < 0.6 else hands
    place = 72.0
    bar = 0
    while True:
        start = bar * 4 * beat
        end = int((bar + 1) * 4 * beat * rate)
        chord, after = changes[bar % len(changes)], changes[(bar + 1) % len(changes)]
        walker.bar(bass, start, beat, chord, after)
        voicing = _voicing(tonic + chord[0], chord[1], rng)
        for at in COMPING[int(rng.integers(len(COMPING)))]:
            when = start + (int(at) + (swing if at % 1 else 0.0)) * beat
            seconds = float(rng.choice([0.25, 0.5, 1.2])) * beat
            for pitch in voicing:
                hands.play(piano, when, max(seconds, 0.15), pitch, rng.uniform(0.35, 0.5))
        if bar and bar % 8 == 0:
            soloist = hands if soloist is horn else horn
        if bar % 4 != 3 or rng.random() < 0.4:
            place = _phrase(rng, soloist, piano, start, beat, swing, tonic, chord, place)
        kit.bar(bar)
        dry = np.float32(0.5) * body.process(bass.take(end))
        dry += np.float32(0.6) * piano.take(end)
        dry += np.float32(0.5) * kit.take(end)
        bar += 1
        dry += np.float32(8e-4) * rng.standard_normal(dry.size, dtype=np.float32)
        yield club.process(dry)


def _voicing(root: int, tones: tuple[int, ...], rng: np.random.Generator) -> list[int]:
    """A rootless left-hand voicing around middle C: third, seventh, and ninth or fifth."""
    wanted = (tones[1], tones[3], 14 if rng.random() < 0.6 else tones[2])
    return sorted(root + tone + 12 * round((59 - root - tone) / 12) for tone in wanted)


def _phrase(
    rng: np.random.Generator,
    soloist: _Piano | _Horn,
    mix: Mix,
    start: float,
    beat: float,
    swing: float,
    tonic: int,
    chord: Chord,
    place: float,
) -> float:
    """Improvise one bar of swung eighths around pitch ``place``; returns where it ended."""
    root, _, scale = chord
    ladder = [tonic + root + 12 * octave + step for octave in range(1, 6) for step in scale]
    low, high = soloist.RANGE
    ladder = [pitch for pitch in ladder if low <= pitch <= high]
    index = int(np.argmin([abs(pitch - place) for pitch in ladder]))
    direction = 1 if place < (low + high) / 2 else -1
    rest = False
    for eighth in range(8):
        if rest or rng.random() < (0.22 if eighth % 2 else 0.3):
            rest = False
            continue
        if rng.random() < 0.25:
            direction = -direction
        index = int(np.clip(index + direction * int(rng.choice([1, 1, 2])), 0, len(ladder) - 1))
        when = start + (eighth // 2 + (swing if eighth % 2 else 0.0)) * beat
        loud = rng.uniform(0.55, 1.0) * (1.0 if eighth % 2 else 0.85)
        held = float(rng.choice([0.6, 0.6, 0.6, 1.5]))
        soloist.play(mix, when + rng.normal(0.01, 0.008), held * beat, ladder[index], loud)
        rest = held > 1.0
    return float(ladder[index])


class _Piano:
    """The pianist's instrument: each key sounded once, soft and hard, and kept."""

    LIMIT = 96
    """Notes kept, at most: more than the keys that a passage touches."""
    RANGE = (60, 91)
    """Lowest and highest pitch of a solo."""
    HARD = 0.6
    """From this loudness on a key is struck hard."""

    def __init__(self, rng: np.random.Generator, rate: int) -> None:
        self._rng = rng
        self._rate = rate
        self._made: dict[tuple[int, bool], Audio] = {}
        self._thud = noise(
            rng, int(0.04 * rate), rate, ((80.0, 0.0), (400.0, -6.0), (2500.0, -24.0))
        ) * np.linspace(1.0, 0.0, int(0.04 * rate), dtype=np.float32)

    def play(self, mix: Mix, when: float, seconds: float, pitch: int, loud: float) -> None:
        """Strike a key and let it go after ``seconds``."""
        key = (pitch, loud > self.HARD)
        if key not in self._made:
            if len(self._made) >= self.LIMIT:
                self._made.clear()
            self._made[key] = self._strike(*key)
        frames = min(int((seconds + 0.08) * self._rate), self._made[key].size)
        note = self._made[key][:frames].copy()
        fall = min(frames, int(0.08 * self._rate))
        note[-fall:] *= np.linspace(1.0, 0.0, fall, dtype=np.float32)
        mix.add(int(when * self._rate), note, loud)

    def _strike(self, pitch: int, hard: bool) -> Audio:
        note = struck(
            self._rng,
            hertz(pitch),
            1.6,
            self._rate,
            t60=float(np.clip(9.0 * 2.0 ** (-(pitch - 48) / 14.0), 1.5, 9.0)),
            hardness=0.75 if hard else 0.3,
        )
        note[: self._thud.size] += np.float32(0.04 if hard else 0.02) * self._thud
        return note


class _Horn:
    """A tenor saxophone or a trumpet, never the same note twice."""

    SAXOPHONE = ((100.0, -6.0), (400.0, 0.0), (700.0, 3.0), (1400.0, -2.0), (3000.0, -10.0))
    TRUMPET = ((100.0, -12.0), (600.0, -2.0), (1200.0, 4.0), (2500.0, 0.0), (5000.0, -8.0))

    def __init__(self, rng: np.random.Generator, rate: int) -> None:
        self._rng = rng
        self._rate = rate
        reed = rng.random() < 0.6
        self._formants = self.SAXOPHONE if reed else self.TRUMPET
        self.RANGE = (48, 75) if reed else (57, 82)
        self._breath = noise(rng, 3 * rate, rate, ((300.0, -20.0), (1500.0, 0.0), (6000.0, -6.0)))

    def play(self, mix: Mix, when: float, seconds: float, pitch: int, loud: float) -> None:
        """Blow one note; a longer one is scooped into."""
        note = blown(
            self._rng,
            hertz(pitch + self._rng.normal(0.0, 0.06)),
            max(0.09, seconds),
            self._rate,
            loud=loud,
            formants=self._formants,
            breath=self._breath,
            scoop=float(self._rng.choice([0.0, 0.5, 1.5])),
        )
        mix.add(int(when * self._rate), note, 0.55)


class _Walker:
    """The bass player: chord tones on the strong beats, and a step into the next root."""

    def __init__(self, rng: np.random.Generator, rate: int, tonic: int) -> None:
        self._rng = rng
        self._rate = rate
        self._tonic = tonic
        self._made: dict[int, Audio] = {}

    def bar(self, mix: Mix, start: float, beat: float, chord: Chord, after: Chord) -> None:
        """Walk one bar of ``chord`` towards ``after``."""
        root = self._near(chord[0])
        goal = self._near(after[0])
        third = root + chord[1][1]
        fifth = root + chord[1][2]
        middle = [third, fifth] if self._rng.random() < 0.5 else [fifth, third]
        if self._rng.random() < 0.3:
            middle = [root + chord[2][1], third]
        approach = goal + int(self._rng.choice([-1, 1, 2, -2]))
        for number, pitch in enumerate([root, *middle, approach]):
            when = start + number * beat + self._rng.normal(0.0, 0.006)
            self._play(mix, when, 0.95 * beat, pitch, 1.0 if number % 2 else 0.9)
            if self._rng.random() < 0.08:
                self._play(mix, when + 0.66 * beat, 0.2 * beat, pitch, 0.6)

    def _near(self, interval: int) -> int:
        pitch = self._tonic + interval
        pitch += 12 * round((33 - pitch) / 12)
        return pitch if pitch >= 28 else pitch + 12

    def _play(self, mix: Mix, when: float, seconds: float, pitch: int, loud: float) -> None:
        if pitch not in self._made:
            self._made[pitch] = pluck(
                self._rng,
                hertz(pitch),
                0.7,
                self._rate,
                t60=2.2,
                damping=4.0,
                pick=0.22,
                tilt=0.9,
                highest=3500.0,
            )
        note = self._made[pitch][: int(seconds * self._rate)].copy()
        fall = min(note.size, int(0.05 * self._rate))
        note[-fall:] *= np.linspace(1.0, 0.0, fall, dtype=np.float32)
        mix.add(int(when * self._rate), note, loud)


class _Kit:
    """Ride in swing time, hi-hat on two and four, brushes, and comments of snare and kick."""

    def __init__(self, rng: np.random.Generator, rate: int, beat: float, swing: float) -> None:
        self._rng = rng
        self._rate = rate
        self._beat = beat
        self._swing = swing
        self._mix = Mix(rate)
        self._rides = [drums.ride(rng, rate) for _ in range(3)]
        self._foot = drums.hat(rng, rate, t60=0.08)
        self._snare = drums.snare(rng, rate, hz=230.0, t60=0.22, wires=0.7)
        self._kick = drums.kick(rng, rate, hz=62.0, punch=1.8, t60=0.25, click=0.1)
        self._brush = drums.brush(rng, rate, seconds=0.8 * beat)

    def bar(self, number: int) -> None:
        """Play bar ``number``."""
        rng, start = self._rng, number * 4 * self._beat
        for beat in range(4):
            self._hit(start + beat * self._beat, self._rides[int(rng.integers(3))], 0.5)
            if beat % 2 or rng.random() < 0.1:
                late = start + (beat + self._swing) * self._beat
                self._hit(late, self._rides[int(rng.integers(3))], 0.36)
            if beat % 2:
                self._hit(start + beat * self._beat, self._foot, 0.3)
            self._hit(start + beat * self._beat, self._kick, 0.16)
            self._hit(start + beat * self._beat, self._brush, 0.12)
            if rng.random() < 0.22:
                late = start + (beat + self._swing) * self._beat
                self._hit(late, self._snare, rng.uniform(0.12, 0.4))
            elif rng.random() < 0.08:
                self._hit(start + (beat + self._swing) * self._beat, self._kick, 0.5)

    def _hit(self, when: float, stroke: Audio, gain: float) -> None:
        when += self._rng.normal(0.0, 0.004)
        self._mix.add(int(when * self._rate), stroke, gain * self._rng.uniform(0.8, 1.0))

    def take(self, until: int) -> Audio:
        """The kit's audio up to sample ``until``."""
        return self._mix.take(until)


STYLE = Style("jazz", "Walking-bass jazz", "jazz", compose)
