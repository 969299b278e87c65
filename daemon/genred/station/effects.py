"""What happens to the station's sound after it is made: tape, rooms, amplifiers, levels.

All audio is mono float32. Streams are processed in blocks of any size, state kept in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genred.station.synth import Audio, decay, equaliser, fft_size, gain_db, noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.station.synth import Points


class Mix:
    """A tape that notes are laid on and bars are taken from.

    It is as long as the longest note still ringing, so an endless piece needs bounded memory.
    """

    def __init__(self, rate: int) -> None:
        self.position = 0
        """Samples taken so far."""
        self._tape = np.zeros(4 * rate, np.float32)

    def add(self, at: int, sound: Audio, gain: float = 1.0) -> None:
        """Lay ``sound`` with its first sample ``at`` samples from the start (or now, if late)."""
        start = max(0, at - self.position)
        end = start + sound.size
        if end > self._tape.size:
            grown = np.zeros(max(end, 2 * self._tape.size), np.float32)
            grown[: self._tape.size] = self._tape
            self._tape = grown
        self._tape[start:end] += np.float32(gain) * sound

    def take(self, until: int) -> Audio:
        """The audio from :attr:`position` to ``until``, which becomes the position."""
        frames = until - self.position
        if frames > self._tape.size:
            self._tape = np.concatenate([self._tape, np.zeros(frames, np.float32)])
        taken = self._tape[:frames].copy()
        kept = self._tape.size - frames
        self._tape[:kept] = self._tape[frames:].copy()
        self._tape[kept:] = 0.0
        self.position = until
        return taken


class Convolver:
    """Streaming convolution with a fixed impulse response: overlap-add by FFT."""

    def __init__(self, impulse: Audio) -> None:
        self._impulse = impulse
        self._tail = np.zeros(impulse.size - 1, np.float32)
        self._spectra: dict[int, NDArray[np.complex64]] = {}

    def process(self, block: Audio) -> Audio:
        """The next samples [frames] of the convolved stream, for a block of any size."""
        if not block.size:
            return block
        full = block.size + self._impulse.size - 1
        size = fft_size(full)
        if size not in self._spectra:
            self._spectra = {size: np.fft.rfft(self._impulse, size).astype(np.complex64)}
        spectrum = np.fft.rfft(block, size)
        spectrum *= self._spectra[size]
        wet = np.fft.irfft(spectrum, size)[:full].astype(np.float32)
        wet[: self._tail.size] += self._tail
        self._tail = wet[block.size :].copy()
        return wet[: block.size]


def room(
    rng: np.random.Generator,
    rate: int,
    *,
    t60: float,
    wet: float,
    points: Points = ((20.0, 0.0),),
) -> Audio:
    """Impulse response of an equaliser and a room behind it: direct sound, echoes, diffuse tail.

    ``t60`` is the reverberation time at low frequencies (the treble dies in half of it), ``wet``
    the level of the room against the direct sound, ``points`` the equaliser's curve.
    """
    frames = int(min(t60, 2.5) * 0.75 * rate)
    dark = noise(rng, frames, rate, ((100.0, -6.0), (300.0, 0.0), (1500.0, 0.0), (2500.0, -18.0)))
    bright = noise(rng, frames, rate, ((1500.0, -18.0), (2500.0, 0.0), (6000.0, -3.0)))
    tail = dark * decay(frames, rate, t60) + np.float32(0.7) * bright * decay(
        frames, rate, 0.5 * t60
    )
    tail[: int(0.012 * rate)] = 0.0
    for _ in range(6):
        tail[int(rng.uniform(0.006, 0.05) * rate)] += np.float32(rng.choice([-2.0, 2.0]))
    tail *= np.float32(wet / np.sqrt(np.sum(tail**2)))
    fade = frames // 8
    tail[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    tail[0] = 1.0
    shaped: Audio = Convolver(equaliser(points, rate)).process(tail)
    return shaped


def drive(sound: Audio, amount: float, bias: float = 0.1) -> Audio:
    """A valve stage: a hyperbolic tangent with a ``bias`` that adds even harmonics."""
    driven = np.tanh(np.float32(amount) * sound + np.float32(bias))
    result: Audio = driven - np.float32(np.tanh(bias))
    return result


class Leveller:
    """Broadcast processing: rides the gain towards a target RMS and rounds peaks off.

    Slow enough to leave phrases their shape, and at rest in pauses. Peaks end below
    :data:`CEILING`.
    """

    STEP_S = 0.05
    """Spacing of the points where power is measured and gain is set."""
    RISE_S = 4.0
    FALL_S = 1.0
    """Gain rises slowly and falls faster, as in a station's compressor."""
    PAUSE = 10.0 ** (-15.0 / 10.0)
    """A step this far (power ratio) below the running power is a pause, and not ridden up."""

    def __init__(self, rate: int, target_db: float) -> None:
        self._rate = rate
        self._target = gain_db(target_db) ** 2
        self._power = 0.0
        self._gain = 0.0

    def process(self, block: Audio) -> Audio:
        """The block [frames] at the target level."""
        if not block.size:
            return block
        steps = max(1, round(block.size / (self.STEP_S * self._rate)))
        edges = np.linspace(0, block.size, steps + 1).astype(np.int64)
        powers = np.add.reduceat(block * block, edges[:-1]) / np.maximum(np.diff(edges), 1)
        if not self._power:  # the first block sets the gain, so that nothing fades in
            loud = powers[powers > self.PAUSE * powers.max()]
            self._power = float(loud.mean()) if loud.size else 0.0
            if not self._power:
                return block
            self._gain = (self._target / self._power) ** 0.5
        gains = [self._gain]
        for power in powers.tolist():
            if power > self.PAUSE * self._power:
                span = self.FALL_S if power > self._power else self.RISE_S
                self._power += (power - self._power) * min(1.0, self.STEP_S / span)
            self._gain = (self._target / self._power) ** 0.5
            gains.append(self._gain)
        ridden = block * np.interp(np.arange(block.size), edges, gains).astype(np.float32)
        return limit(ridden)


KNEE = np.float32(0.55)
CEILING = np.float32(0.95)


def limit(sound: Audio) -> Audio:
    """Leave what is below :data:`KNEE` alone and round the rest off below :data:`CEILING`."""
    size = np.abs(sound)
    loud = np.flatnonzero(size > KNEE)
    if loud.size:
        span = CEILING - KNEE
        rounded = KNEE + span * np.tanh((size[loud] - KNEE) / span)
        sound[loud] = np.copysign(rounded, sound[loud])
    return sound
