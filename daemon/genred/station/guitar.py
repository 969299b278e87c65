"""An electric guitar through a valve amplifier."""

from __future__ import annotations

import numpy as np

from genred.station.effects import Convolver, Mix, drive
from genred.station.synth import Audio, Points, equaliser, noise, pluck, vibrato
from genred.station.theory import hertz

CABINET = (
    (60.0, -24.0),
    (90.0, 3.0),
    (180.0, 4.0),
    (450.0, -4.0),
    (900.0, -5.0),
    (2200.0, -1.0),
    (3500.0, 1.0),
    (5200.0, -4.0),
    (7500.0, -18.0),
)
"""A closed cabinet with 12-inch speakers and a microphone close to the cone."""
COMBO = (
    (60.0, -18.0),
    (100.0, 1.0),
    (250.0, 3.0),
    (700.0, -2.0),
    (1500.0, -3.0),
    (3000.0, -3.0),
    (4500.0, -9.0),
    (6500.0, -28.0),
)
"""An open-backed combo heard from the room, its treble turned down."""
TIGHT = ((60.0, -18.0), (150.0, -4.0), (700.0, 0.0), (1500.0, 4.0), (6000.0, -6.0))
"""What an overdrive pedal in front of the amplifier does: less bass, more middle."""
MIDRANGE_HZ = 5_500.0
"""No harmonic above this goes into the distortion, which makes enough of its own."""


class Guitar:
    """One take of one guitar: strings on a tape, then pedal, amplifier and cabinet.

    The amplifier runs at twice the rate, so that what the distortion makes above half the rate
    is cut by the cabinet instead of folding back. ``gain`` 28 is metal, 2 a blues club.
    """

    OVERSAMPLING = 2
    STRUM_S = 0.004
    """From one string to the next."""
    LIMIT = 96
    """Chords kept, at most."""
    VARIANTS = 3
    """Strokes of one chord to choose from; one alone would sound like a machine."""

    def __init__(
        self,
        rng: np.random.Generator,
        rate: int,
        *,
        gain: float = 28.0,
        highest: float = MIDRANGE_HZ,
        cabinet: Points = CABINET,
    ) -> None:
        self._rng = rng
        self._rate = rate * self.OVERSAMPLING
        self._gain = gain
        self._highest = highest
        self._tape = Mix(self._rate)
        self._tune = rng.normal(0.0, 0.03)
        self._pedal = Convolver(equaliser(TIGHT, self._rate, 512))
        self._cabinet = Convolver(equaliser(cabinet, self._rate, 512))
        self._made: dict[tuple[tuple[int, ...], bool, int, int], Audio] = {}
        self._hiss = np.float32(2e-4) * noise(rng, self._rate, self._rate, ((20.0, 0.0),))

    def chord(self, when: float, seconds: float, pitch: int, muted: bool) -> None:
        """Strum a power chord: root, fifth and octave, damped by the palm where ``muted``."""
        self.strings(
            when, min(seconds, 0.24) if muted else seconds, (pitch, pitch + 7, pitch + 12), muted
        )

    def strings(
        self,
        when: float,
        seconds: float,
        pitches: tuple[int, ...],
        muted: bool = False,
    ) -> None:
        """Strum ``pitches`` together at ``when`` seconds, for ``seconds``."""
        frames = int(seconds * self._rate)
        key = (pitches, muted, frames, int(self._rng.integers(self.VARIANTS)))
        if key not in self._made:
            if len(self._made) >= self.LIMIT:
                self._made.clear()
            self._made[key] = self._strum(pitches, frames, muted)
        when += self._rng.normal(0.0, 0.004)
        self._tape.add(int(when * self._rate), self._made[key], self._rng.uniform(0.85, 1.0))

    def _strum(self, pitches: tuple[int, ...], frames: int, muted: bool) -> Audio:
        total = np.zeros(frames, np.float32)
        for string, pitch in enumerate(pitches):
            late = int(string * self.STRUM_S * self._rate)
            note = pluck(
                self._rng,
                hertz(pitch + self._tune + self._rng.normal(0.0, 0.02)),
                max(frames - late, 64) / self._rate,
                self._rate,
                t60=0.5 if muted else 5.0,
                damping=3.0 if muted else 0.5,
                tilt=0.5,
                highest=self._highest,
            )
            total[late : late + note.size] += note[: frames - late]
        return total

    def single(self, when: float, seconds: float, pitch: int) -> None:
        """Pick one note; a longer one is bent up to and shaken."""
        frames = int(seconds * self._rate)
        bend = vibrato(self._rng, frames, self._rate, depth=0.35, onset=0.15, speed=6.0)
        if seconds > 0.3:
            reach = int(0.09 * self._rate)
            bend[:reach] -= np.linspace(2.0, 0.0, reach, dtype=np.float32)
        note = pluck(
            self._rng,
            hertz(pitch + self._tune),
            seconds,
            self._rate,
            t60=4.0,
            damping=0.3,
            tilt=0.5,
            highest=self._highest,
            semitones=bend,
        )
        self._tape.add(int(when * self._rate), note, 0.9)

    def take(self, until: int) -> Audio:
        """The amplified guitar up to sample ``until`` of the station's rate."""
        strings = self._tape.take(until * self.OVERSAMPLING)
        strings += np.resize(self._hiss, strings.size)
        loud = drive(self._pedal.process(strings), self._gain, 0.15)
        return self._cabinet.process(loud)[:: self.OVERSAMPLING].copy()
