"""Each style: level, reproducibility, any rate, and what makes it the style it is."""

import time

import numpy as np
import pytest

from genred.errors import UsageError
from genred.labels import SILENCE
from genred.station import STYLES, render
from genred.station.effects import CEILING

RATE = 16_000
HEARD = [name for name, style in STYLES.items() if style.label != SILENCE]
LABELS = {
    *("blues", "classical", "country", "disco", "electronic", "hiphop", "jazz", "metal", "pop"),
    *("reggae", "rock", "speech", "noise", SILENCE),
}
FIRST_AUDIO_S = 0.3


def dbfs(sound):
    return float(10.0 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-12))


def spectrum(sound):
    """Mean power spectrum [513] of frames of 64 ms."""
    frames = sound[: sound.size // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    return (np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(axis=0)


def share_above(sound, hz):
    power = spectrum(sound)
    return float(power[np.fft.rfftfreq(1024, 1 / RATE) > hz].sum() / power.sum())


def flatness(sound):
    """Median over frames of geometric to arithmetic mean power: 0 a tone, 0.56 white noise."""
    frames = sound[: sound.size // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames, axis=1))[:, 8:480] ** 2 + 1e-12
    return float(np.median(np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)))


def loudness_curve(sound, step=160):
    """RMS of each 10 ms."""
    return np.sqrt((sound[: sound.size // step * step].reshape(-1, step) ** 2).mean(axis=1))


@pytest.mark.parametrize("name", STYLES)
def test_names_titles_and_labels(name):
    style = STYLES[name]
    assert style.name == name
    assert style.title
    assert style.label in LABELS


@pytest.mark.parametrize("name", HEARD)
@pytest.mark.parametrize("seed", [1, 2])
def test_level_is_that_of_a_radio_programme(name, seed):
    sound = render(name, 12.0, seed)
    assert sound.shape == (12 * RATE,)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert -23.0 < dbfs(sound) < -15.0
    assert np.abs(sound).max() <= CEILING
    assert abs(float(sound.mean())) < 0.01


@pytest.mark.parametrize("name", HEARD)
def test_a_seed_is_a_piece(name):
    assert np.array_equal(render(name, 4.0, 5), render(name, 4.0, 5))
    one, other = render(name, 4.0, 5), render(name, 4.0, 6)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


@pytest.mark.parametrize("name", HEARD)
def test_a_longer_piece_begins_like_a_shorter_one(name):
    assert np.array_equal(render(name, 6.0, 5)[: 3 * RATE], render(name, 3.0, 5))


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_any_rate_will_do(name, rate):
    sound = render(name, 3.0, 1, rate)
    assert sound.shape == (3 * rate,)
    assert np.isfinite(sound).all()
    if name in HEARD:
        assert -26.0 < dbfs(sound) < -14.0


@pytest.mark.parametrize("name", STYLES)
def test_first_audio_comes_at_once(name):
    began = time.process_time()
    render(name, 0.25, 11)
    assert time.process_time() - began < FIRST_AUDIO_S


def test_dead_air_is_sometimes_hum_and_sometimes_nothing():
    levels = {round(dbfs(render("dead_air", 2.0, seed))) for seed in range(12)}
    assert -120 in levels
    assert any(-85 < level < -70 for level in levels)


def test_four_on_the_floor_keeps_its_beat():
    """The bass drum comes back at one steady interval, 120 to 138 times a minute."""
    for seed in (1, 2, 3):
        sound = render("electronic", 20.0, seed)
        bass = np.fft.rfft(sound)
        bass[(90 * 20) :] = 0.0
        curve = loudness_curve(np.fft.irfft(bass))
        onsets = np.maximum(np.diff(curve), 0.0)
        onsets -= onsets.mean()
        likeness = np.correlate(onsets, onsets, "full")[onsets.size :]
        beat = (20 + int(np.argmax(likeness[19:79]))) / 100
        nearest = min((60 / 120, 60 / 138, 30 / 120, 30 / 138), key=lambda s: abs(s - beat))
        assert 60 / 138 - 0.02 < beat < 60 / 120 + 0.02 or abs(nearest - beat) < 0.02


def test_speech_has_syllables_pauses_and_a_pitch():
    for seed in (1, 2, 3):
        sound = render("speech", 20.0, seed)
        curve = loudness_curve(sound)
        loud = np.percentile(curve, 90)
        assert 0.08 < np.mean(curve < 0.05 * loud) < 0.5, "pauses"
        swell = np.abs(np.fft.rfft(curve - curve.mean())) ** 2
        hz = np.fft.rfftfreq(curve.size, 0.01)
        syllables = swell[(hz > 2) & (hz < 9)].sum()
        assert syllables > swell[(hz >= 12) & (hz < 30)].sum(), "syllables"
        voiced = []
        for start in range(0, sound.size - 1024, 1600):
            part = sound[start : start + 1024]
            if np.sqrt(np.mean(part**2)) < 0.5 * loud:
                continue
            likeness = np.correlate(part, part, "full")[1023:]
            lag = 40 + int(np.argmax(likeness[40:240]))
            if likeness[lag] > 0.5 * likeness[0]:
                voiced.append(RATE / lag)
        assert len(voiced) > 20
        assert 80 < np.median(voiced) < 270
        assert np.std(np.log2(voiced)) > 0.05, "melody"


def test_noise_is_noise_and_music_is_not():
    noisy = min(flatness(render(name, 8.0, 2)) for name in ("rain", "static", "applause"))
    tonal = max(flatness(render(name, 8.0, 2)) for name in ("strings", "jazz", "speech", "blues"))
    assert noisy > 2 * tonal


def test_distortion_is_brighter_than_strings():
    for seed in (1, 2, 3):
        assert share_above(render("metal", 8.0, seed), 1500) > 1.5 * share_above(
            render("strings", 8.0, seed), 1500
        )


def test_reggae_leans_on_its_bass():
    for seed in (1, 2, 3):
        low = 1.0 - share_above(render("reggae", 8.0, seed), 150)
        assert low > 2 * (1.0 - share_above(render("strings", 8.0, seed), 150))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("polka", 1.0, 1), "no style 'polka'"),
        (("jazz", 0.0, 1), "cannot be rendered"),
        (("jazz", 1e9, 1), "cannot be rendered"),
        (("jazz", 1.0, 1, 100), "100 Hz"),
        (("jazz", 1.0, -1), "seed"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, said):
    with pytest.raises(UsageError, match=said) as caught:
        render(*arguments)
    assert caught.value.hint
