"""Metal: two distorted guitars on palm-muted riffs, bass, double bass drum, a lead now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station import drums
from genred.station.effects import Convolver, Mix, drive, room
from genred.station.guitar import Guitar
from genred.station.style import Style
from genred.station.synth import pluck
from genred.station.theory import MINOR, PHRYGIAN, degree, hertz

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genred.station.synth import Audio

FEEL = ("gallop", "chug", "open")


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a bar at a time."""
    root = 40 - int(rng.integers(0, 5))  # low E or tuned down
    scale = PHRYGIAN if rng.random() < 0.5 else MINOR
    beat = 60.0 / rng.uniform(126.0, 184.0)
    kit = _Kit(rng, rate)
    takes = [Guitar(rng, rate) for _ in range(2)]
    lead = Guitar(rng, rate, highest=8000.0)
    bass_line, drum_bus = Mix(rate), Mix(rate)
    stage = Convolver(room(rng, rate, t60=0.8, wet=0.4))
    riffs = [_riff(rng, FEEL[(i + int(rng.integers(3))) % 3]) for i in range(2)]
    basses: dict[tuple[int, bool], Audio] = {}
    step_s = beat / 4.0
    bar = 0
    while True:
        start = bar * 4 * beat
        end = int((bar + 1) * 4 * beat * rate)
        riff = riffs[(bar // 4) % 2]
        shift = degree(scale, int(rng.choice([0, 0, 5, 6]))) if bar % 4 == 3 else 0
        if shift > 6:
            shift -= 12
        for step, steps, scale_step, muted in riff:
            pitch = root + degree(scale, scale_step) + max(shift, -4)
            when = start + step * step_s
            for guitar in takes:
                guitar.chord(when, steps * step_s, pitch, muted)
            if (pitch, muted) not in basses:
                seconds = 0.2 if muted else 4 * beat
                basses[pitch, muted] = pluck(
                    rng, hertz(pitch - 12), seconds, rate, tilt=1.0, damping=1.5, pick=0.2
                )
            note = basses[pitch, muted][: int(steps * step_s * rate)]
            bass_line.add(int(when * rate), note, 0.5)
        kit.bar(drum_bus, start, step_s, riff, fill=bar % 4 == 3, crash=bar % 4 == 0)
        if (bar // 4) % 3 == 2:
            _solo(rng, lead, start, step_s, root + 24, scale)
        guitars = takes[0].take(end) + takes[1].take(end)
        guitars += np.float32(1.1) * lead.take(end)
        low = drive(bass_line.take(end), 2.5) * np.float32(0.7)
        bar += 1
        yield stage.process(np.float32(0.55) * guitars + low + np.float32(0.5) * drum_bus.take(end))


def _riff(rng: np.random.Generator, feel: str) -> list[tuple[int, int, int, bool]]:
    """One bar: (sixteenth it starts on, sixteenths it lasts, scale step, palm-muted)."""
    riff: list[tuple[int, int, int, bool]] = []
    if feel == "open":
        step = 0
        while step < 16:
            steps = min(16 - step, int(rng.choice([2, 4, 4, 8])))
            riff.append((step, steps, int(rng.choice([0, 5, 6, 2, 3])) if step else 0, False))
            step += steps
        return riff
    for beat in range(4):
        base = 4 * beat
        if rng.random() < 0.3:
            riff.append((base, 4, int(rng.choice([1, 2, 3, 4])), False))
        elif feel == "gallop":
            riff += [(base, 2, 0, True), (base + 2, 1, 0, True), (base + 3, 1, 0, True)]
        else:
            riff += [(base + i, 1, 0, True) for i in range(4)]
    return riff


def _solo(
    rng: np.random.Generator,
    lead: Guitar,
    start: float,
    step_s: float,
    tonic: int,
    scale: tuple[int, ...],
) -> None:
    """One bar of lead guitar: a run or held notes with vibrato."""
    place = int(rng.integers(4, 10))
    step = 0
    while step < 16:
        fast = rng.random() < 0.6
        place = int(np.clip(place + rng.choice([-2, -1, 1, 2]), 0, 14))
        steps = min(16 - step, 1 if fast else int(rng.choice([4, 6])))
        lead.single(start + step * step_s, steps * step_s, tonic + degree(scale, place))
        step += steps


class _Kit:
    """The drums of a metal band."""

    def __init__(self, rng: np.random.Generator, rate: int) -> None:
        self._rng = rng
        self._rate = rate
        self._kick = drums.kick(rng, rate, hz=58.0, punch=3.0, t60=0.22, click=0.9)
        self._snares = [drums.snare(rng, rate, hz=205.0, t60=0.28, wires=1.0) for _ in range(3)]
        self._crash = drums.crash(rng, rate)
        self._china = drums.crash(rng, rate, t60=0.8)
        self._toms = [drums.tom(rng, rate, hz=hz) for hz in (170.0, 130.0, 95.0)]

    def bar(
        self,
        mix: Mix,
        start: float,
        step_s: float,
        riff: list[tuple[int, int, int, bool]],
        *,
        fill: bool,
        crash: bool,
    ) -> None:
        """Lay one bar: kicks with the riff, snare on two and four, cymbals in quarters."""
        if crash:
            self._hit(mix, start, self._crash, 0.55)
        kicks = {step for step, *_ in riff} | {0, 8}
        if all(not muted for *_, muted in riff):
            kicks |= set(range(0, 16, 2))
        for step in range(16):
            when = start + step * step_s
            rolling = fill and step >= 12
            if step in kicks:
                self._hit(mix, when, self._kick, 0.9)
            if rolling:
                self._hit(mix, when, self._toms[(step - 12) * 3 // 4], 0.7)
            elif step in (4, 12):
                self._hit(mix, when, self._snares[int(self._rng.integers(3))], 0.9)
            if step % 4 == 0 and not rolling:
                self._hit(mix, when, self._china, 0.55)

    def _hit(self, mix: Mix, when: float, stroke: Audio, gain: float) -> None:
        when += self._rng.normal(0.0, 0.002)
        mix.add(int(when * self._rate), stroke, gain * self._rng.uniform(0.88, 1.0))


STYLE = Style("metal", "Distorted guitars and drums", "metal", compose)
