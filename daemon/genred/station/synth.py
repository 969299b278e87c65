"""Sound generators and effects in numpy that the station's styles are built from.

All audio is mono float32; ``rate`` is in samples a second, times are in seconds and positions in
samples. Everything works on whole notes or whole bars at once, for speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Audio: TypeAlias = NDArray[np.float32]
Points: TypeAlias = "Sequence[tuple[float, float]]"
"""A frequency response as (hertz, decibels) corners, read off in log frequency."""

HIGHEST_HZ = 16_000.0
"""Nothing is synthesised above this, whatever the rate: the demo need not cost more at 48 kHz."""

MAX_HARMONICS = 200
"""Bounds the cost of the lowest notes; 200 harmonics of a bass's 41 Hz end above 8 kHz."""


FEW_HARMONICS = 64
"""Up to here a tone's tape is sampled twice as densely: the top harmonics are still strong, and
linear interpolation would leave images of them. Beyond, that would cost more than it mends."""


def gain_db(level: float) -> float:
    """Linear factor of ``level`` decibels."""
    return float(10.0 ** (level / 20.0))


def response(points: Points, hz: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Linear gain at each of ``hz`` [n] of the curve through ``points``, held beyond its ends."""
    corners = np.log([p[0] for p in points])
    levels = [p[1] for p in points]
    gains: NDArray[np.float64] = 10.0 ** (
        np.interp(np.log(np.maximum(hz, 1.0)), corners, levels) / 20.0
    )
    return gains


def fft_size(n: int) -> int:
    """The smallest product of 2, 3 and 5 that is at least ``n``: what pocketfft is quick at."""
    best = 1 << (n - 1).bit_length()
    for odd in (3, 5, 9, 15, 25, 27, 45, 75):
        size = odd << max(0, (-(-n // odd) - 1).bit_length())
        best = min(best, size)
    return best


def equaliser(points: Points, rate: int, taps: int = 1024) -> Audio:
    """Minimum-phase impulse response [taps] of the gain curve through ``points``.

    By the folded real cepstrum (Oppenheim & Schafer, *Discrete-Time Signal Processing*, ch. 13).
    """
    size = 4 * taps
    gains = response(points, np.fft.rfftfreq(size, 1.0 / rate))
    cepstrum = np.fft.irfft(np.log(np.maximum(gains, 1e-6)), size)
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    impulse = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[:taps]
    impulse[taps // 2 :] *= np.linspace(1.0, 0.0, taps - taps // 2)
    return impulse.astype(np.float32)


def noise(rng: np.random.Generator, frames: int, rate: int, points: Points) -> Audio:
    """Gaussian noise [frames] with the spectrum of ``points``, scaled to an RMS of 1."""
    size = fft_size(max(frames, 64))
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    spectrum *= response(points, np.fft.rfftfreq(size, 1.0 / rate)).astype(np.float32)
    shaped = np.fft.irfft(spectrum, size)[:frames].astype(np.float32)
    scaled: Audio = shaped / np.float32(np.sqrt(np.mean(shaped**2)) + 1e-9)
    return scaled


def decay(frames: int, rate: int, t60: float) -> Audio:
    """Exponential envelope [frames] that falls by 60 dB in ``t60`` seconds."""
    fall: Audio = np.exp(np.arange(frames, dtype=np.float32) * np.float32(-6.908 / (t60 * rate)))
    return fall


def envelope(frames: int, rate: int, attack: float, release: float) -> Audio:
    """Envelope [frames] with raised-cosine attack and release, given in seconds."""
    shape = np.ones(frames, np.float32)
    rise = max(1, min(frames // 2, int(attack * rate)))
    fall = max(1, min(frames - rise, int(release * rate)))
    shape[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise, dtype=np.float32) / rise)
    shape[-fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1, dtype=np.float32) / fall)
    return shape


def harmonic_count(hz: float, rate: int, highest: float = HIGHEST_HZ) -> int:
    """How many harmonics of ``hz`` lie below ``highest`` and 0.45 of the rate; at least one."""
    return max(1, min(MAX_HARMONICS, int(min(highest, HIGHEST_HZ, 0.45 * rate) / hz)))


def tone(
    amplitudes: NDArray[np.float32],
    phases: NDArray[np.float32],
    cycles: NDArray[np.float64],
) -> Audio:
    """A harmonic tone whose spectrum changes from period to period.

    ``amplitudes`` [periods, harmonics] holds each period's spectrum, ``phases`` [harmonics] are in
    radians, and ``cycles`` [frames] is how many periods have gone by at each sample (it may bend
    and shake). One inverse FFT makes all periods, laid end to end; the tone is read off that tape,
    interpolated linearly, so any pitch is exact and no harmonic folds over. A single row is a
    spectrum that stays.
    """
    periods, harmonics = amplitudes.shape
    oversampling = 8 if harmonics <= FEW_HARMONICS else 4
    size = max(64, 1 << (oversampling * harmonics - 1).bit_length())
    spectrum = np.zeros((periods, size // 2 + 1), np.complex64)
    spectrum[:, 1 : harmonics + 1] = amplitudes * np.exp(-1j * phases).astype(np.complex64)
    tape = np.fft.irfft(spectrum, size, axis=1).astype(np.float32).ravel()
    tape *= np.float32(size / 2)
    if periods == 1:
        tape = np.append(tape, tape[:2])
        at = (cycles - np.floor(cycles)) * size
    else:
        at = np.minimum(cycles * size, tape.size - 2.001)
    whole = at.astype(np.int32)
    part = (at - whole).astype(np.float32)
    low = tape.take(whole)
    result: Audio = low + part * (tape.take(whole + 1) - low)
    return result


def steady(hz: float, frames: int, rate: int) -> NDArray[np.float64]:
    """Cycles gone by at each of ``frames`` samples of an unbending pitch."""
    return np.arange(frames, dtype=np.float64) * (hz / rate)


def bent(
    hz: float,
    rate: int,
    semitones: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Cycles gone by at each sample where the pitch is ``semitones`` [frames] off."""
    speed = np.exp2(semitones.astype(np.float64) / 12.0) * (hz / rate)
    cycles: NDArray[np.float64] = np.cumsum(speed) - speed[0]
    return cycles


def vibrato(
    rng: np.random.Generator,
    frames: int,
    rate: int,
    *,
    depth: float,
    onset: float = 0.25,
    speed: float = 5.5,
) -> Audio:
    """Pitch deviation [frames] in semitones: a vibrato that grows in after ``onset`` seconds."""
    t = np.arange(frames, dtype=np.float32) / np.float32(rate)
    grown = np.clip((t - onset) / 0.3, 0.0, 1.0)
    pace = np.float32(2.0 * np.pi * speed * rng.uniform(0.92, 1.08))
    start = np.float32(rng.uniform(0.0, 6.28))
    swing: Audio = (np.float32(depth) * grown * np.sin(pace * t + start)).astype(np.float32)
    return swing


def period_count(cycles: NDArray[np.float64]) -> int:
    """Rows of spectrum that :func:`tone` needs to follow ``cycles``."""
    return int(cycles[-1]) + 2


def pluck(
    rng: np.random.Generator,
    hz: float,
    seconds: float,
    rate: int,
    *,
    t60: float = 3.0,
    damping: float = 1.0,
    pick: float = 0.13,
    tilt: float = 0.4,
    highest: float = HIGHEST_HZ,
    semitones: NDArray[np.float32] | None = None,
    strings: Sequence[float] = (1.0,),
) -> Audio:
    """A plucked or struck string [seconds * rate].

    The extended Karplus-Strong string (Jaffe & Smith, *Computer Music Journal* 7(2), 1983) in the
    frequency domain: a burst of random phase, combed by the ``pick`` position, whose harmonics
    die away the faster the higher they are. ``t60`` is the fundamental's; ``damping`` scales how
    much sooner the treble goes; ``tilt`` is the burst's slope in powers of frequency. ``strings``
    are the detunings, as ratios, of strings that sound together, as in a piano.
    """
    frames = int(seconds * rate)
    cycles = steady(hz, frames, rate) if semitones is None else bent(hz, rate, semitones)
    widest = max(strings)
    harmonics = harmonic_count(hz, rate, highest)
    k = np.arange(1, harmonics + 1, dtype=np.float32)
    burst = np.abs(np.sin(np.pi * k * pick)) / k**tilt
    burst *= rng.uniform(0.7, 1.0, harmonics).astype(np.float32)
    lives = t60 / (1.0 + damping * (k * hz / 900.0) ** 1.2)
    row = np.arange(period_count(cycles * widest), dtype=np.float32)[:, None] / np.float32(hz)
    amplitudes = burst * np.exp(row * (-6.908 / lives).astype(np.float32))
    phases = rng.uniform(0.0, 2.0 * np.pi, harmonics).astype(np.float32)
    total = np.zeros(frames, np.float32)
    for ratio in strings:
        total += tone(amplitudes, phases, cycles * ratio)
    total *= np.float32(1.0 / (np.sqrt(np.sum(burst**2)) * np.sqrt(len(strings)) + 1e-9))
    fade = min(frames, max(8, int(0.012 * rate)))
    total[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return total


def struck(
    rng: np.random.Generator,
    hz: float,
    seconds: float,
    rate: int,
    *,
    t60: float,
    hardness: float,
) -> Audio:
    """A piano string [seconds * rate], peak about 1: stiff, so its partials are stretched.

    Partial k lies at ``k hz sqrt(1 + B k^2)`` (Fletcher, *JASA* 36(1), 1964); each is two modes a
    fraction of a hertz apart, one dying quickly and one slowly (Weinreich, *JASA* 62(6), 1977).
    ``hardness`` from 0 to 1 is how hard the hammer strikes: the harder, the brighter.
    """
    frames = int(seconds * rate)
    stiffness = 3e-4 * (hz / 261.6) ** 1.2
    k = np.arange(1, min(28, harmonic_count(hz, rate, 7500.0)) + 1, dtype=np.float32)
    partials = k * hz * np.sqrt(1.0 + stiffness * k**2)
    partials = partials[partials < min(0.45 * rate, 8000.0)]
    k = k[: partials.size]
    levels = np.abs(np.sin(np.pi * k * 0.12)) / k ** (1.5 - 0.7 * hardness)
    levels *= np.exp(-partials / (1500.0 + 2500.0 * hardness))
    levels *= rng.uniform(0.6, 1.0, k.size)
    lives = t60 / (1.0 + (partials / 1200.0) ** 0.9)
    t = np.arange(frames, dtype=np.float32) / np.float32(rate)
    total = np.zeros(frames, np.float32)
    for level, partial, life in zip(levels, partials, lives, strict=True):
        beat = rng.uniform(0.2, 0.9)
        for share, detune, span in ((0.7, 0.0, 0.35 * life), (0.45, beat, life)):
            pace = np.float32(2.0 * np.pi * (partial + detune))
            wave = np.sin(pace * t + np.float32(rng.uniform(0.0, 6.28)))
            total += np.float32(level * share) * wave * decay(frames, rate, span)
    attack = max(2, int(0.002 * rate))
    total[:attack] *= np.linspace(0.0, 1.0, attack, dtype=np.float32)
    peak: Audio = total / np.float32(np.abs(total).max() + 1e-9)
    return peak


def blown(
    rng: np.random.Generator,
    hz: float,
    seconds: float,
    rate: int,
    *,
    loud: float,
    formants: Points,
    breath: Audio,
    scoop: float = 0.0,
) -> Audio:
    """A note of a reed or brass instrument [seconds * rate].

    The spectrum opens with the loudness, during each note as between notes (Risset & Mathews,
    *Physics Today* 22(2), 1969), under fixed ``formants``; a ``scoop`` in semitones leads up into
    the note, vibrato into its end. ``breath`` is noise to take the wind's sound from.
    """
    frames = int(seconds * rate)
    t = np.arange(frames, dtype=np.float32) / np.float32(rate)
    pitch = vibrato(rng, frames, rate, depth=0.22, onset=0.3, speed=5.0)
    pitch -= np.float32(scoop) * np.exp(-t / np.float32(0.05))
    cycles = bent(hz, rate, pitch)
    k = np.arange(1, harmonic_count(hz, rate, 7000.0) + 1, dtype=np.float32)
    when = np.arange(period_count(cycles), dtype=np.float32)[:, None] / np.float32(hz)
    blow = loud * (1.0 - np.exp(-when / 0.035)) * (1.0 - 0.25 * np.clip(when / seconds, 0.0, 1.0))
    blow *= 1.0 + rng.normal(0.0, 0.04, blow.shape)
    colour = response(formants, (k * hz).astype(np.float64)).astype(np.float32)
    jagged = rng.uniform(0.6, 1.0, k.size).astype(np.float32)
    amplitudes = colour * jagged * blow * np.exp(-(k - 1.0) * (0.55 - 0.4 * blow))
    phases = rng.uniform(0.0, 6.28, k.size).astype(np.float32)
    sound = tone(amplitudes.astype(np.float32), phases, cycles)
    at = int(rng.integers(0, max(1, breath.size - frames)))
    wind = breath[at : at + frames]
    sound[: wind.size] += np.float32(0.05 * loud) * wind
    shaped: Audio = sound * envelope(frames, rate, 0.015, min(0.07, 0.3 * seconds))
    return shaped


def filtered(
    hz: float,
    seconds: float,
    rate: int,
    *,
    cutoff: float,
    sweep: float,
    sweep_t60: float,
    resonance: float = 0.0,
    square: bool = False,
    detune: Sequence[float] = (1.0,),
) -> Audio:
    """A subtractive synthesiser's note: sawtooth or square through a swept low-pass filter.

    The filter falls from ``cutoff * sweep`` to ``cutoff`` hertz with ``sweep_t60``; its magnitude
    is that of a two-pole low-pass with a peak of ``resonance`` (0 none, 10 screaming).
    """
    frames = int(seconds * rate)
    harmonics = harmonic_count(hz, rate)
    k = np.arange(1, harmonics + 1, dtype=np.float32)
    wave = (k % 2 if square else np.ones_like(k)) / k
    cycles = steady(hz, frames, rate)
    rows = period_count(cycles * max(detune))
    t = np.arange(rows, dtype=np.float32)[:, None] / np.float32(hz)
    corner = cutoff * (1.0 + (sweep - 1.0) * np.exp(-6.908 * t / sweep_t60))
    ratio = (k * hz) / corner
    damp = 1.0 / (0.7 + resonance)
    passed = wave / np.sqrt((1.0 - ratio**2) ** 2 + (2.0 * damp * ratio) ** 2)
    phases = np.full(harmonics, np.pi / 2, np.float32)
    total = np.zeros(frames, np.float32)
    for ratio_ in detune:
        total += tone(passed.astype(np.float32), phases, cycles * ratio_ + 0.37 * (ratio_ - 1.0))
    total *= envelope(frames, rate, 0.003, 0.01) / np.float32(np.sqrt(len(detune)))
    return total
