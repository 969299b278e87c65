"""Blues: a twelve-bar shuffle of boogie guitar, bass and drums under a guitar that sings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station import drums
from genred.station.effects import Convolver, Mix, room
from genred.station.guitar import COMBO, Guitar
from genred.station.style import Style
from genred.station.synth import equaliser, pluck
from genred.station.theory import BLUES, hertz

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

FORMS = (
    (0, 0, 0, 0, 5, 5, 0, 0, 7, 5, 0, 7),
    (0, 5, 0, 0, 5, 5, 0, 0, 7, 5, 0, 7),  # with the quick change
)
BOOGIE = (7, 7, 9, 9, 10, 9, 7, 9)
"""Upper note of the boogie figure, in semitones above the root, on the eight eighths of a bar."""
WALK = ((0, 4, 7, 9), (0, 12, 10, 7), (0, 4, 7, 6), (0, 0, 7, 10))
WARM = ((30.0, -4.0), (80.0, 3.0), (300.0, 0.0), (900.0, -6.0), (2500.0, -16.0))


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    root = 40 + int(rng.integers(0, 8))
    beat = 60.0 / rng.uniform(86.0, 132.0)
    form = FORMS[int(rng.integers(len(FORMS)))]
    swing = rng.uniform(0.62, 0.68)
    rhythm = Guitar(rng, rate, gain=0.6, cabinet=COMBO)
    lead = Guitar(rng, rate, gain=rng.uniform(1.2, 3.0), highest=7000.0, cabinet=COMBO)
    kit = _Kit(rng, rate, beat, swing)
    bass = Mix(rate)
    warm = Convolver(equaliser(WARM, rate))
    bar_room = Convolver(room(rng, rate, t60=0.8, wet=0.35))
    notes: dict[int, Audio] = {}
    place = 6
    bar = 0
    while True:
        start = bar * 4 * beat
        end = int((bar + 1) * 4 * beat * rate)
        chord = form[bar % 12]
        low = root + chord - (12 if root + chord > 47 else 0)
        for eighth, upper in enumerate(BOOGIE):
            when = start + (eighth // 2 + (swing if eighth % 2 else 0.0)) * beat
            length = (swing if eighth % 2 == 0 else 1.0 - swing) * beat * 0.9
            rhythm.strings(when, length, (low, low + upper))
        for number, interval in enumerate(WALK[int(rng.integers(len(WALK)))]):
            pitch = low - 12 + interval
            if pitch not in notes:
                notes[pitch] = pluck(
                    rng, hertz(pitch), 0.8, rate, t60=2.5, damping=2.5, pick=0.25, tilt=0.9
                )
            when = start + number * beat + rng.normal(0.0, 0.005)
            bass.add(int(when * rate), notes[pitch][: int(0.93 * beat * rate)], 0.8)
        if bar % 4 != 3:
            place = _lick(rng, lead, start, beat, swing, root + 24, place)
        kit.bar(bar)
        dry = np.float32(0.9) * rhythm.take(end) + np.float32(0.75) * lead.take(end)
        dry += np.float32(0.7) * warm.process(bass.take(end)) + np.float32(0.4) * kit.take(end)
        bar += 1
        yield bar_room.process(dry)


def _lick(
    rng: np.random.Generator,
    lead: Guitar,
    start: float,
    beat: float,
    swing: float,
    tonic: int,
    place: int,
) -> int:
    """Play one bar of the blues scale from scale step ``place``; returns where it ended."""
    at = 0.0 if rng.random() < 0.5 else 1.0
    while at < 4.0:
        held = rng.random() < 0.35
        steps = float(rng.choice([1.0, 2.0])) if held else (swing if at % 1 == 0.0 else 1.0 - swing)
        steps = min(steps, 4.0 - at)
        place = int(np.clip(place + rng.choice([-2, -1, -1, 0, 1, 1, 2]), 0, 12))
        octave, index = divmod(place, len(BLUES))
        if rng.random() < 0.85 and steps > 0.05:
            seconds = steps * beat * 0.95
            lead.single(start + at * beat, seconds, tonic - 12 + 12 * octave + BLUES[index])
        at += steps
        if abs(at - round(at)) < 1e-6:
            at = float(round(at))
        if rng.random() < 0.12:
            at = float(np.ceil(at + 0.01))
    return place


class _Kit:
    """A shuffle: ride or hi-hat in swung eighths, backbeat, bass drum on one and three."""

    def __init__(self, rng: np.random.Generator, rate: int, beat: float, swing: float) -> None:
        self._rng = rng
        self._rate = rate
        self._beat = beat
        self._swing = swing
        self._mix = Mix(rate)
        self._kick = drums.kick(rng, rate, hz=55.0, punch=2.2, t60=0.28, click=0.3)
        self._snares = [drums.snare(rng, rate, hz=195.0, t60=0.25) for _ in range(2)]
        self._top = (
            [drums.ride(rng, rate, t60=0.8) for _ in range(2)]
            if rng.random() < 0.5
            else [drums.hat(rng, rate, t60=0.09) for _ in range(2)]
        )
        self._crash = drums.crash(rng, rate, t60=1.6)

    def bar(self, number: int) -> None:
        """Play bar ``number``."""
        start = number * 4 * self._beat
        if number % 12 == 0:
            self._hit(start, self._crash, 0.4)
        for beat in range(4):
            when = start + beat * self._beat
            self._hit(when, self._top[0], 0.4)
            self._hit(when + self._swing * self._beat, self._top[1], 0.28)
            if beat % 2:
                self._hit(when, self._snares[0], 0.75)
            else:
                self._hit(when, self._kick, 0.85)
            if self._rng.random() < 0.15:
                self._hit(when + self._swing * self._beat, self._snares[1], 0.25)
            if self._rng.random() < 0.2:
                self._hit(when + self._swing * self._beat, self._kick, 0.6)

    def _hit(self, when: float, stroke: Audio, gain: float) -> None:
        when += self._rng.normal(0.0, 0.004)
        self._mix.add(int(when * self._rate), stroke, gain * self._rng.uniform(0.85, 1.0))

    def take(self, until: int) -> Audio:
        """The kit's audio up to sample ``until``."""
        return self._mix.take(until)


STYLE = Style("blues", "Blues shuffle", "blues", compose)
