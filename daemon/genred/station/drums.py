"""A drum kit: each drum one function that makes one stroke, mono float32, peak about 1."""

from __future__ import annotations

import numpy as np

from genred.station.synth import Audio, decay, envelope, noise


def _peak(sound: Audio) -> Audio:
    return sound / np.float32(np.max(np.abs(sound)) + 1e-9)


def _sweep(rate: int, seconds: float, start_hz: float, end_hz: float, fall_s: float) -> Audio:
    """A sine whose pitch falls exponentially from ``start_hz`` to ``end_hz``."""
    t = np.arange(int(seconds * rate)) / rate
    cycles = end_hz * t + (start_hz - end_hz) * fall_s * (1.0 - np.exp(-t / fall_s))
    return np.sin(2.0 * np.pi * cycles).astype(np.float32)


def kick(
    rng: np.random.Generator,
    rate: int,
    *,
    hz: float = 50.0,
    punch: float = 3.5,
    t60: float = 0.35,
    click: float = 0.3,
) -> Audio:
    """Bass drum: a falling sine (from ``punch`` times ``hz``) and the beater's ``click``."""
    body = _sweep(rate, t60, hz * punch, hz, 0.025)
    body *= decay(body.size, rate, t60) * envelope(body.size, rate, 0.001, 0.02)
    beater = noise(rng, int(0.02 * rate), rate, ((500.0, -12.0), (2500.0, 0.0), (5000.0, -6.0)))
    body[: beater.size] += np.float32(click) * beater * decay(beater.size, rate, 0.02)
    return _peak(body)


def snare(
    rng: np.random.Generator,
    rate: int,
    *,
    hz: float = 190.0,
    t60: float = 0.3,
    wires: float = 0.8,
) -> Audio:
    """Snare drum: two modes of the head, and the wires' noise."""
    frames = int(t60 * rate)
    head = _sweep(rate, t60, hz * 1.3, hz, 0.01) * decay(frames, rate, 0.5 * t60)
    head += 0.6 * _sweep(rate, t60, hz * 2.1, hz * 1.75, 0.01) * decay(frames, rate, 0.35 * t60)
    curve = ((300.0, -18.0), (1500.0, -2.0), (4000.0, 0.0), (7000.0, -4.0))
    rattle = noise(rng, frames, rate, curve) * decay(frames, rate, t60)
    return _peak(head + np.float32(wires) * rattle)


def rim(rng: np.random.Generator, rate: int) -> Audio:
    """Cross-stick: a short woody click."""
    frames = int(0.06 * rate)
    wood = _sweep(rate, 0.06, 1800.0, 1650.0, 0.01) + 0.7 * _sweep(rate, 0.06, 800.0, 700.0, 0.01)
    wood += np.float32(0.3) * noise(rng, frames, rate, ((1000.0, 0.0), (4000.0, -6.0)))
    return _peak(wood * decay(frames, rate, 0.05))


def hat(rng: np.random.Generator, rate: int, *, t60: float = 0.07) -> Audio:
    """Hi-hat: inharmonic metal over bright noise; closed at 0.07 s, open at 0.4 s and above."""
    return _metal(rng, rate, t60, ((2500.0, -30.0), (5000.0, -3.0), (7000.0, 0.0)), 0.25)


def ride(rng: np.random.Generator, rate: int, *, t60: float = 1.1) -> Audio:
    """Ride cymbal: a stick's ping over a long wash."""
    wash = _metal(rng, rate, t60, ((500.0, -30.0), (2500.0, -6.0), (5500.0, 0.0)), 0.25)
    ping = _metal(rng, rate, 0.12, ((1500.0, -20.0), (3500.0, 0.0), (6000.0, -2.0)), 0.35)
    wash *= np.float32(0.35)
    wash[: ping.size] += ping
    return _peak(wash)


def crash(rng: np.random.Generator, rate: int, *, t60: float = 2.2) -> Audio:
    """Crash cymbal: a broad noise that opens within milliseconds and dies slowly."""
    sound = _metal(rng, rate, t60, ((300.0, -24.0), (1500.0, -4.0), (5000.0, 0.0)), 0.3)
    return sound * envelope(sound.size, rate, 0.004, 0.1)


def _metal(
    rng: np.random.Generator,
    rate: int,
    t60: float,
    points: tuple[tuple[float, float], ...],
    ring: float,
) -> Audio:
    """Noise of the given spectrum beside a dozen inharmonic partials, dying in ``t60``."""
    frames = int(t60 * rate)
    sound = noise(rng, frames, rate, points)
    t = np.arange(min(frames, int(0.5 * rate)), dtype=np.float32) / np.float32(rate)
    partials = np.zeros_like(t)
    for hz in rng.uniform(2200.0, min(7500.0, 0.45 * rate), 12):
        partials += np.sin(np.float32(2.0 * np.pi * hz) * t + np.float32(rng.uniform(0.0, 6.28)))
    sound[: t.size] += np.float32(ring / 2.45) * partials
    return _peak(sound * decay(frames, rate, t60))


def tom(rng: np.random.Generator, rate: int, *, hz: float = 110.0) -> Audio:
    """Tom-tom: a falling tone with some skin noise."""
    body = _sweep(rate, 0.45, hz * 1.5, hz, 0.04) * decay(int(0.45 * rate), rate, 0.45)
    skin = noise(rng, int(0.06 * rate), rate, ((200.0, 0.0), (1500.0, -6.0), (5000.0, -18.0)))
    body[: skin.size] += np.float32(0.25) * skin * decay(skin.size, rate, 0.06)
    return _peak(body)


def clap(rng: np.random.Generator, rate: int) -> Audio:
    """The hand clap of drum machines: three quick bursts and a tail of band-passed noise."""
    frames = int(0.25 * rate)
    curve = ((500.0, -24.0), (1100.0, 0.0), (2200.0, -3.0), (6000.0, -14.0))
    sound = noise(rng, frames, rate, curve)
    shape = np.float32(0.7) * decay(frames, rate, 0.25)
    for burst in (0.0, 0.011, 0.022):
        at = int(burst * rate)
        shape[at:] = np.maximum(shape[at:] * (burst > 0.02), decay(frames - at, rate, 0.03))
    return _peak(sound * shape)


def shaker(rng: np.random.Generator, rate: int) -> Audio:
    """Shaker: a soft swish."""
    frames = int(0.09 * rate)
    swish = noise(rng, frames, rate, ((2500.0, -24.0), (5000.0, 0.0), (7500.0, -3.0)))
    return _peak(swish * envelope(frames, rate, 0.035, 0.05))


def brush(rng: np.random.Generator, rate: int, *, seconds: float = 0.3) -> Audio:
    """A brush swept over the snare's head."""
    frames = int(seconds * rate)
    sweep = noise(rng, frames, rate, ((400.0, -12.0), (1500.0, 0.0), (5000.0, -4.0)))
    return _peak(sweep * envelope(frames, rate, 0.3 * seconds, 0.6 * seconds))
