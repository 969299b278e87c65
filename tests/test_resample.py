"""The resampler: exact lengths, clean sound, no clicks, whatever the sizes of the blocks."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genred.resample import LIMIT, Resampler, _stretch, _Swresample, to_mono

RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]


def sine(hz, rate, count, start=0):
    return np.sin(2 * np.pi * hz * (np.arange(count) + start) / rate).astype(np.float32)


def run(signal, rate, rate_out=16000, sizes=(1024,), seed=1):
    resampler = Resampler(rate_out)
    pick = random.Random(seed)
    parts, at = [], 0
    while at < len(signal):
        size = pick.choice(sizes)
        parts.append(resampler.push(signal[at : at + size], rate))
        at += size
    parts.append(resampler.flush())
    return np.concatenate(parts)


def residue_db(signal, hz, rate):
    """Level of all that is not the sine of ``hz``, relative to that sine."""
    t = np.arange(len(signal)) / rate
    basis = np.stack([np.sin(2 * np.pi * hz * t), np.cos(2 * np.pi * hz * t)], axis=1)
    fit = basis @ np.linalg.lstsq(basis, signal.astype(np.float64), rcond=None)[0]
    return 10 * np.log10(np.mean((signal - fit) ** 2) / np.mean(fit**2) + 1e-20)


@pytest.mark.parametrize("rate", RATES)
def test_a_sine_stays_a_sine(rate):
    """Over odd-sized blocks nothing but the sine comes out: no clicks, no drift, no images."""
    count = 10 * rate + 17
    out = run(sine(1000, rate, count), rate, sizes=(1, 7, 160, 441, 997, 1024, 4096))
    assert len(out) == round(count * 16000 / rate)
    inner = out[1000:-1000]
    assert residue_db(inner, 1000, 16000) < -100
    ideal = sine(1000, 16000, len(inner), start=1000)
    # In phase from the first second to the last: sample k is the input at time k / 16000.
    assert np.abs(inner - ideal).max() < 1e-4


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("hz", [8200, 8500, 9000, 12000, 15900])
def test_what_is_above_half_the_rate_is_gone(rate, hz):
    """No fold-back into the band that the model hears."""
    out = run(sine(hz, rate, 2 * rate), rate)[1000:-1000]
    assert 20 * np.log10(np.sqrt(np.mean(out**2)) * np.sqrt(2) + 1e-12) < -90


@pytest.mark.parametrize("hz", [50, 3000, 7000, 7500])
def test_the_band_is_flat(hz):
    """Up to 7.5 kHz within 0.1 dB."""
    out = run(sine(hz, 44100, 88200), 44100)[2000:-2000]
    assert abs(20 * np.log10(np.sqrt(np.mean(out**2)) * np.sqrt(2))) < 0.1


@pytest.mark.parametrize("rate", [r for r in RATES if r != 16000])
def test_it_is_the_filter_of_libswresample(rate):
    """Noise comes out as FFmpeg's resampler lets it, from the first sample to the last."""
    noise = np.random.default_rng(3).normal(0, 0.1, 2 * rate + 11).astype(np.float32)
    made = []
    for stretch in (_stretch(rate, 16000), _Swresample(rate, 16000)):
        parts = [stretch.push(noise[at : at + 4001]) for at in range(0, len(noise), 4001)]
        made.append(np.concatenate([*parts, stretch.flush()]))
    ours, theirs = made
    assert not isinstance(_stretch(rate, 16000), _Swresample)
    assert abs(len(ours) - len(theirs)) <= 1
    both = min(len(ours), len(theirs))
    assert np.abs(ours[:both] - theirs[:both]).max() < 3e-5


@settings(max_examples=40, deadline=None)
@given(
    rate=st.integers(4000, 192_000),
    rate_out=st.sampled_from([8000, 16000, 22050]),
    sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=12),
)
def test_length_is_exact(rate, rate_out, sizes):
    """For any rates and blocks, as many samples come out as the time they stand for."""
    resampler = Resampler(rate_out)
    made = sum(len(resampler.push(np.zeros(size, np.float32), rate)) for size in sizes)
    made += len(resampler.flush())
    assert made == round(sum(sizes) * rate_out / rate)


def test_output_lags_by_the_latency_it_states():
    """Never more is held back than latency_s, and that is what is held back."""
    resampler = Resampler(16000)
    assert resampler.latency_s == 0
    fed = made = 0
    for _ in range(300):
        made += len(resampler.push(np.zeros(441, np.float32), 44100))
        fed += 441
        held = fed / 44100 - made / 16000
        if fed > 4410:
            assert abs(held - resampler.latency_s) < 3 / 16000
    assert resampler.latency_s == pytest.approx(0.004, abs=2e-4)


def test_no_drift_over_an_hour():
    """3600 s of audio: not one sample more or less."""
    resampler = Resampler(16000)
    block = np.zeros(441_00, np.float32)
    made = sum(len(resampler.push(block, 44100)) for _ in range(3600)) + len(resampler.flush())
    assert made == 3600 * 16000


def test_the_same_rate_passes_untouched():
    """No filter where none is needed."""
    resampler = Resampler(16000)
    block = sine(440, 16000, 999)
    np.testing.assert_array_equal(resampler.push(block, 16000), block)
    assert resampler.latency_s == 0
    assert len(resampler.flush()) == 0


def test_the_rate_may_change_in_midstream():
    """What is left of the old rate comes first, and no time is lost."""
    resampler = Resampler(16000)
    parts = [resampler.push(sine(500, 44100, 44100), 44100)]
    parts.append(resampler.push(sine(500, 48000, 48000), 48000))
    parts.append(resampler.push(sine(500, 16000, 16000), 16000))
    parts.append(resampler.flush())
    out = np.concatenate(parts)
    assert len(out) == 48000
    for second in range(3):
        inner = out[second * 16000 + 500 : second * 16000 + 15500]
        assert residue_db(inner, 500, 16000) < -90


def test_reset_forgets():
    """After a reset the old sound does not ring into the new."""
    resampler = Resampler(16000)
    resampler.push(np.ones(4410, np.float32), 44100)
    resampler.reset()
    assert not np.concatenate(
        [resampler.push(np.zeros(4410, np.float32), 44100), resampler.flush()]
    ).any()


def test_channels():
    """Mix is the mean, left and right are themselves, and mono is all of them."""
    block = np.array([[1.0, 0.0], [0.5, -0.5], [0.25, 0.75]], np.float32)
    assert to_mono(block, "mix").tolist() == [0.5, 0.0, 0.5]
    assert to_mono(block, "left").tolist() == [1.0, 0.5, 0.25]
    assert to_mono(block, "right").tolist() == [0.0, -0.5, 0.75]
    for channel in ("mix", "left", "right"):
        assert to_mono(block[:, :1], channel).tolist() == [1.0, 0.5, 0.25]
        assert to_mono(block[:, 0], channel).tolist() == [1.0, 0.5, 0.25]
    assert to_mono(np.ones((4, 6), np.float32)).tolist() == [1.0] * 4


def test_absurd_samples_do_no_harm():
    """NaN, infinity and samples beyond any sound are made harmless, and leave no trace."""
    block = sine(440, 44100, 4410)
    block[10:13] = np.nan, np.inf, -np.inf
    block[20] = 1e30
    mono = to_mono(block)
    assert mono[10:13].tolist() == [0, 0, 0]
    assert mono[20] == LIMIT
    resampler = Resampler(16000)
    resampler.push(block, 44100)
    later = resampler.push(np.zeros(44100, np.float32), 44100)
    assert np.isfinite(later).all()
    assert np.abs(later[200:]).max() < 1e-6


def test_refuses_rates_that_are_none():
    with pytest.raises(ValueError, match="positive"):
        Resampler(0)
    with pytest.raises(ValueError, match="positive"):
        Resampler(16000).push(np.zeros(4, np.float32), 0)
