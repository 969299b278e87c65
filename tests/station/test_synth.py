"""The blocks that the styles are built from, held against their textbook definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genred.station import drums
from genred.station.effects import CEILING, KNEE, Convolver, Leveller, Mix, limit, room
from genred.station.synth import (
    bent,
    blown,
    decay,
    envelope,
    equaliser,
    fft_size,
    filtered,
    gain_db,
    noise,
    pluck,
    steady,
    struck,
    tone,
)
from genred.station.theory import MAJOR, MINOR, degree, hertz, nearest, triad

RATE = 16_000


def peak_hz(sound, low=20.0, high=8000.0):
    """The strongest frequency between ``low`` and ``high``, by a parabola through three bins."""
    size = 1 << 18
    power = np.log(np.abs(np.fft.rfft(sound * np.hanning(sound.size), size)) + 1e-12)
    hz = np.fft.rfftfreq(size, 1 / RATE)
    power[(hz < low) | (hz > high)] = -100.0
    k = int(np.argmax(power))
    left, mid, right = power[k - 1 : k + 2]
    return (k + 0.5 * (left - right) / (left - 2 * mid + right)) * RATE / size


@given(st.integers(1, 300_000))
def test_fft_sizes_are_small_products_of_small_primes(n):
    size = fft_size(n)
    assert n <= size <= max(2, 1.2 * n + 16)
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    assert size == 1


@pytest.mark.parametrize("hz", [41.2, 110.0, 440.0, 1975.5])
def test_a_tone_is_in_tune_and_does_not_fold_over(hz):
    harmonics = int(0.45 * RATE / hz)
    spectrum = (1.0 / np.arange(1, harmonics + 1, dtype=np.float32))[None, :]
    sound = tone(spectrum, np.zeros(harmonics, np.float32), steady(hz, RATE, RATE))
    assert peak_hz(sound, 0.5 * hz, 1.5 * hz) == pytest.approx(hz, rel=1e-3)
    power = np.abs(np.fft.rfft(sound * np.hanning(RATE))) ** 2
    bins = np.arange(power.size)
    between = np.abs((bins / hz) % 1.0 - 0.5) < 0.3
    assert power[between].sum() < 1e-4 * power.sum()


def test_a_tone_of_many_rows_follows_its_spectra():
    rows = np.zeros((222, 2), np.float32)
    rows[:111, 0] = 1.0
    rows[111:, 1] = 1.0
    sound = tone(rows, np.zeros(2, np.float32), steady(220.0, RATE, RATE))
    assert peak_hz(sound[:7500]) == pytest.approx(220.0, rel=2e-3)
    assert peak_hz(sound[8500:]) == pytest.approx(440.0, rel=2e-3)


def test_a_bend_ends_where_it_should():
    semitones = np.full(RATE, 2.0, np.float32)
    cycles = bent(220.0, RATE, semitones)
    assert cycles[-1] == pytest.approx(220.0 * 2 ** (2 / 12) * (RATE - 1) / RATE, rel=1e-6)


@pytest.mark.parametrize("hz", [82.4, 196.0, 659.3])
def test_strings_are_in_tune_and_lose_their_treble_first(hz):
    rng = np.random.default_rng(1)
    sound = pluck(rng, hz, 2.0, RATE, t60=3.0)
    assert peak_hz(sound, 0.7 * hz, 1.4 * hz) == pytest.approx(hz, rel=2e-3)

    def centroid(part):
        power = np.abs(np.fft.rfft(part)) ** 2
        return (power * np.fft.rfftfreq(part.size, 1 / RATE)).sum() / power.sum()

    assert centroid(sound[-8000:]) < 0.8 * centroid(sound[:8000])


def test_piano_strings_are_stretched():
    """A stiff string's upper partials lie sharp of the harmonics."""
    sound = struck(np.random.default_rng(1), 110.0, 2.0, RATE, t60=6.0, hardness=1.0)
    low = peak_hz(sound, 90, 130)
    high = peak_hz(sound, 9.7 * 110, 10.3 * 110)
    assert low == pytest.approx(110.0, rel=0.01)
    assert high > 10.02 * 110
    assert np.abs(sound).max() == pytest.approx(1.0, abs=1e-3)


def test_a_louder_horn_is_a_brighter_horn():
    rng = np.random.default_rng(1)
    wind = noise(rng, RATE, RATE, ((20.0, 0.0),))
    shares = []
    for loud in (0.3, 1.0):
        sound = blown(rng, 220.0, 0.8, RATE, loud=loud, formants=((20.0, 0.0),), breath=0.0 * wind)
        power = np.abs(np.fft.rfft(sound)) ** 2
        shares.append(power[int(1000 * 0.8) :].sum() / power.sum())
    assert shares[1] > 2 * shares[0]


def test_a_filter_closes_over_a_note():
    sound = filtered(110.0, 0.5, RATE, cutoff=200.0, sweep=12.0, sweep_t60=0.4)
    early, late = (np.abs(np.fft.rfft(part)) ** 2 for part in (sound[:2000], sound[-2000:]))
    assert late[125:].sum() / late.sum() < 0.2 * early[125:].sum() / early.sum()


def test_an_equaliser_does_what_its_points_say():
    points = ((100.0, -20.0), (400.0, 0.0), (2000.0, 6.0), (6000.0, -12.0))
    response = np.abs(np.fft.rfft(equaliser(points, RATE), 1 << 14))
    for hz, level in points:
        found = 20 * np.log10(response[round(hz * (1 << 14) / RATE)])
        assert found == pytest.approx(level, abs=1.5)


def test_noise_has_unit_level_and_its_spectrum():
    sound = noise(np.random.default_rng(1), 4 * RATE, RATE, ((500.0, -40.0), (1000.0, 0.0)))
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(1.0, rel=1e-3)
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert power[: 4 * 450].sum() < 1e-3 * power.sum()


def test_decay_and_envelope():
    assert decay(RATE + 1, RATE, 1.0)[-1] == pytest.approx(1e-3, rel=0.01)
    shape = envelope(1000, RATE, 0.01, 0.02)
    assert shape[0] == pytest.approx(0.0, abs=1e-6)
    assert shape[-1] == pytest.approx(0.0, abs=1e-6)
    assert shape.max() == pytest.approx(1.0, abs=1e-3)
    assert envelope(1, RATE, 1.0, 1.0).shape == (1,)


@given(
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=8),
    taps=st.integers(1, 400),
    seed=st.integers(0, 99),
)
def test_streaming_convolution_is_convolution(sizes, taps, seed):
    rng = np.random.default_rng(seed)
    impulse = rng.standard_normal(taps).astype(np.float32)
    sound = rng.standard_normal(sum(sizes)).astype(np.float32)
    convolver = Convolver(impulse)
    parts = [convolver.process(part) for part in np.split(sound, np.cumsum(sizes)[:-1])]
    wanted = np.convolve(sound, impulse)[: sound.size] if sound.size else sound
    assert np.allclose(np.concatenate(parts), wanted, atol=1e-3)


@given(
    notes=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 400)), max_size=10),
    cuts=st.lists(st.integers(0, 1500), max_size=5),
)
def test_notes_lie_where_they_were_put(notes, cuts):
    mix, wanted = Mix(50), np.zeros(1500, np.float32)
    for at, length in notes:
        mix.add(at, np.ones(length, np.float32), 0.5)
        wanted[at : at + length] += 0.5
    taken = [mix.take(cut) for cut in [*sorted(cuts), 1500]]
    assert np.allclose(np.concatenate(taken), wanted)
    assert mix.position == 1500


def test_a_late_note_starts_now():
    mix = Mix(RATE)
    mix.take(100)
    mix.add(40, np.ones(10, np.float32))
    assert mix.take(120).tolist() == [1.0] * 10 + [0.0] * 10


@pytest.mark.parametrize("level", [-50.0, -18.0, 0.0])
def test_the_leveller_reaches_its_target(level):
    rng = np.random.default_rng(1)
    leveller = Leveller(RATE, -18.0)
    sound = np.float32(gain_db(level)) * rng.standard_normal(8 * RATE).astype(np.float32)
    out = np.concatenate([leveller.process(part) for part in np.split(sound, 8)])
    assert 10 * np.log10(np.mean(out**2)) == pytest.approx(-18.0, abs=0.5)
    first = 10 * np.log10(np.mean(out[: RATE // 4] ** 2))
    assert first == pytest.approx(-18.0, abs=1.0), "nothing fades in"


def test_the_leveller_leaves_pauses_alone():
    rng = np.random.default_rng(1)
    leveller = Leveller(RATE, -18.0)
    speech = 0.1 * rng.standard_normal(RATE).astype(np.float32)
    leveller.process(speech)
    pause = leveller.process(0.001 * rng.standard_normal(6 * RATE).astype(np.float32))
    assert 10 * np.log10(np.mean(pause**2)) < -55.0


def test_the_leveller_passes_silence_and_emptiness():
    leveller = Leveller(RATE, -18.0)
    assert not leveller.process(np.zeros(RATE, np.float32)).any()
    assert leveller.process(np.zeros(0, np.float32)).size == 0


def test_the_limiter_leaves_the_quiet_and_rounds_the_loud():
    sound = np.linspace(-4.0, 4.0, 1001, dtype=np.float32)
    out = limit(sound.copy())
    quiet = np.abs(sound) < KNEE
    assert np.array_equal(out[quiet], sound[quiet])
    assert np.abs(out).max() <= CEILING
    assert (np.diff(out) >= 0.0).all()


def test_a_room_rings_as_long_as_it_should():
    impulse = room(np.random.default_rng(1), RATE, t60=1.0, wet=0.5)
    assert impulse[0] == pytest.approx(1.0, abs=0.05)
    early = np.mean(impulse[int(0.1 * RATE) : int(0.2 * RATE)] ** 2)
    late = np.mean(impulse[int(0.4 * RATE) : int(0.5 * RATE)] ** 2)
    assert 10 * np.log10(early / late) == pytest.approx(60.0 * 0.3, abs=6.0)


@pytest.mark.parametrize(
    "drum",
    [
        *(drums.kick, drums.snare, drums.rim, drums.hat, drums.ride, drums.crash),
        *(drums.tom, drums.clap, drums.shaker, drums.brush),
    ],
)
def test_a_drum_is_struck_once_and_dies(drum):
    sound = drum(np.random.default_rng(1), RATE)
    assert sound.dtype == np.float32
    assert 0.5 < np.abs(sound).max() <= 1.0001
    tenth = sound.size // 10
    assert np.mean(sound[-tenth:] ** 2) < 0.05 * np.mean(sound**2)


def test_pitches_and_chords():
    assert hertz(69) == 440.0
    assert hertz(57) == pytest.approx(220.0)
    assert [degree(MAJOR, step) for step in (0, 2, 4, 7, -1)] == [0, 4, 7, 12, -1]
    assert triad(MINOR, 0) == (0, 3, 7)
    assert triad(MAJOR, 4) == (7, 11, 2)
    assert nearest(61.0, (0, 4, 7), 60) == 60
    assert nearest(66.0, (0, 4, 7), 60) == 67
