"""What happens to crops before training: levels, mixtures, noise, masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genred.labels import Kind
from genred.model.metadata import LabelInfo
from genred_train import tempo
from genred_train.augmentation import Augmenter
from genred_train.recipe import Augment

LABELS = (
    LabelInfo(name="jazz", kind=Kind.MUSIC),
    LabelInfo(name="speech", kind=Kind.SPEECH),
    LabelInfo(name="noise", kind=Kind.NOISE),
)
WINDOW = 16_000
OFF = {"equalise_p": 0, "low_pass_p": 0, "noise_p": 0, "mix_p": 0, "talk_over_p": 0}


def augmenter(**changes: object) -> Augmenter:
    return Augmenter(Augment.model_validate(OFF | changes), LABELS, 16_000, WINDOW)


def tone(hertz: float, samples: int = WINDOW + 1, amplitude: float = 0.3) -> torch.Tensor:
    time = np.arange(samples) / 16_000
    return torch.from_numpy((amplitude * 32767 * np.sin(2 * np.pi * hertz * time)).astype(np.int16))


def peak(audio: torch.Tensor) -> torch.Tensor:
    """The loudest frequency of each crop in Hz."""
    return torch.fft.rfft(audio).abs().argmax(dim=1) * 16_000 / audio.shape[1]


def test_levels_are_drawn_over_the_whole_range():
    """Crops come out between the recipe's levels, from quiet to loud ones alike."""
    crops = torch.stack([tone(440.0, amplitude=a) for a in np.geomspace(0.001, 0.9, 200)])
    audio, _ = augmenter(level_dbfs=(-45.0, -8.0))(crops, torch.zeros(200, dtype=torch.long))
    level = 20 * audio.square().mean(dim=1).sqrt().log10()
    assert level.min() > -45.1
    assert level.max() < -7.9
    assert level.std() > 8
    assert abs(np.corrcoef(level, np.arange(200))[0, 1]) < 0.3
    assert audio.abs().max() <= 1.0


def test_nothing_happens_when_all_is_off():
    """With every part off, crops differ from what they were by their level alone."""
    crops = torch.stack([tone(440.0), tone(1000.0)])
    audio, soft = augmenter(level_dbfs=(-20.0, -20.0))(crops, torch.tensor([0, 2]))
    before = crops[:, :WINDOW].float()
    cosine = torch.nn.functional.cosine_similarity(audio, before)
    assert cosine.min() > 0.9999
    assert soft.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_mixing_mixes_sound_and_labels_alike():
    """Shares of labels sum to one and follow the power of what is heard."""
    crops = torch.stack([tone(400.0) if n % 2 else tone(3000.0) for n in range(64)])
    targets = torch.tensor([0 if n % 2 else 2 for n in range(64)])
    torch.manual_seed(0)
    audio, soft = augmenter(mix_p=1.0)(crops, targets)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(64))
    assert ((soft > 0.02).sum(dim=1) > 1).any()
    spectrum = torch.fft.rfft(audio).abs()
    low, high = spectrum[:, 400], spectrum[:, 3000]
    torch.testing.assert_close(low / (low + high), soft[:, 0], atol=0.02, rtol=0)


def test_talking_over_music_is_speech():
    """Speech gets quieter music under it and stays speech; nothing else changes."""
    crops = torch.stack([tone(400.0) if n % 2 else tone(3000.0) for n in range(64)])
    targets = torch.tensor([0 if n % 2 else 1 for n in range(64)])
    torch.manual_seed(0)
    audio, soft = augmenter(talk_over_p=1.0, talk_over_db=(6.0, 20.0))(crops, targets)
    assert soft.argmax(dim=1).equal(targets)
    spectrum = torch.fft.rfft(audio).abs()
    ratio = 20 * torch.log10(spectrum[:, 3000] / spectrum[:, 400].clamp(min=1e-6))
    under = ratio[targets == 1]
    mixed = under[under < 60]
    assert 8 < mixed.numel() < 32
    assert mixed.min() > 5.5
    assert mixed.max() < 20.5
    assert (spectrum[targets == 0, 3000] < 1e-2 * spectrum[targets == 0, 400]).all()


def test_noise_is_at_the_ratio_asked_for():
    """What is not the tone is as far below it as the recipe says."""
    crops = torch.stack([tone(500.0)] * 16)
    audio, _ = augmenter(noise_p=1.0, noise_snr_db=(12.0, 12.0))(crops, torch.zeros(16).long())
    power = torch.fft.rfft(audio).abs().square()
    signal = power[:, 498:503].sum(dim=1)
    rest = power.sum(dim=1) - signal
    torch.testing.assert_close(
        10 * torch.log10(signal / rest), torch.full((16,), 12.0), atol=2.0, rtol=0
    )


def test_the_low_pass_takes_what_is_above():
    """A tone an octave over the cut-off is gone, one below is as it was."""
    settings = {"low_pass_p": 1.0, "low_pass_hz": (2000.0, 2000.0)}
    both = (tone(1000.0).int() + tone(4000.0).int()).to(torch.int16)
    audio, _ = augmenter(**settings)(torch.stack([both] * 4), torch.zeros(4).long())
    spectrum = torch.fft.rfft(audio).abs()
    assert (20 * torch.log10(spectrum[:, 1000] / spectrum[:, 4000])).min() > 60


def test_the_equaliser_stays_within_its_bounds():
    """Each band moves by at most so many decibels, and bands move apart from each other."""
    random = torch.Generator().manual_seed(1)
    crops = (torch.randn(64, WINDOW + 1, generator=random) * 3000).to(torch.int16)
    plain, _ = augmenter(level_dbfs=(-20, -20))(crops, torch.zeros(64).long())
    torch.manual_seed(0)
    audio, _ = augmenter(level_dbfs=(-20, -20), equalise_p=1.0, equalise_db=6.0)(
        crops, torch.zeros(64).long()
    )
    ratio = 20 * torch.log10(torch.fft.rfft(audio).abs() / torch.fft.rfft(plain).abs())
    spread = ratio.amax(dim=1) - ratio.amin(dim=1)
    assert spread.max() <= 12.01
    assert spread.median() > 3


def test_speed_changes_pitch_within_bounds_and_fills_the_window():
    """A played-faster tone is higher; the crop is long enough for the fastest."""
    made = augmenter(speed=0.1)
    crops = torch.stack([tone(1000.0, made.crop)] * 64)
    audio, _ = made(crops, torch.zeros(64).long())
    pitch = peak(audio)
    assert audio.shape == (64, WINDOW)
    assert pitch.min() >= 899
    assert pitch.max() <= 1101
    assert pitch.std() > 20


def test_masks_differ_between_crops():
    """SpecAugment draws its masks for each picture by itself, and puts the mean there."""
    made = augmenter(time_masks=1, time_mask=20, frequency_masks=1, frequency_mask=10)
    torch.manual_seed(0)
    logmel = torch.randn(8, 64, 78)
    masked = made.mask(logmel)
    changed = masked != logmel
    assert changed.any(dim=(1, 2)).all()
    assert not changed.all(dim=(1, 2)).any()
    assert len({tuple(bands) for bands in changed.all(dim=2).tolist()}) > 1
    assert made.mask(logmel).shape == logmel.shape
    assert augmenter(time_masks=0, frequency_masks=0).mask(logmel) is logmel


def test_the_same_seed_gives_the_same_crops():
    """All draws come from torch's generator."""
    made = Augmenter(Augment(), LABELS, 16_000, WINDOW)
    crops = torch.stack([tone(100.0 * n, made.crop) for n in range(1, 9)])
    answers = []
    for _ in range(2):
        torch.manual_seed(4)
        answers.append(made(crops, torch.arange(8) % 3))
    assert answers[0][0].equal(answers[1][0])
    assert answers[0][1].equal(answers[1][1])


def test_gain_keeps_each_crops_own_level_but_for_its_share():
    """Loud crops stay loud, quiet ones quiet, each within the gain's range."""
    amplitudes = np.geomspace(0.01, 0.5, 40)
    crops = torch.stack([tone(440.0, amplitude=a) for a in amplitudes])
    targets = torch.zeros(40, dtype=torch.long)
    audio, _ = augmenter(level_dbfs="own", gain=0.1)(crops, targets)
    factor = audio.abs().amax(dim=1).numpy() / amplitudes
    assert 0.89 < factor.min() < 0.97
    assert 1.03 < factor.max() < 1.11


def test_noise_has_the_deviation_that_is_asked_for():
    """Whatever a crop's level, what is added has the same deviation."""
    crops = torch.stack([tone(440.0, amplitude=a) for a in (0.0, 0.3)])
    audio, _ = augmenter(level_dbfs="own", noise_sigma=0.02)(crops, torch.tensor([0, 0]))
    added = audio - crops[:, :WINDOW].float() / 32768
    assert added.std(dim=1).tolist() == pytest.approx([0.02, 0.02], rel=0.05)


def clicks(samples: int) -> torch.Tensor:
    """A tone that begins anew every quarter of a second."""
    time = np.arange(samples) / 16_000
    beat = np.exp(-12 * (time % 0.25))
    return torch.from_numpy((0.5 * 32767 * beat * np.sin(2 * np.pi * 880 * time)).astype(np.int16))


def beats(audio: torch.Tensor) -> float:
    """Beats a second, from the envelope's strongest rate between 2 and 8 a second."""
    envelope = audio.abs().unfold(0, 160, 160).mean(dim=1)
    spectrum = torch.fft.rfft(envelope - envelope.mean(), n=10_000).abs()
    rates = torch.arange(spectrum.size(0)) * 100 / 10_000
    spectrum[(rates < 2) | (rates > 8)] = 0
    return float(rates[spectrum.argmax()])


@pytest.mark.parametrize("faster", [0.8, 1.25])
def test_tempo_changes_without_pitch(faster):
    """Beats come faster or slower, the tone stays."""
    audio = clicks(5 * WINDOW).float()[None] / 32768
    one = torch.ones(1)
    changed = tempo.change(tempo.Changes(one * faster, one), audio, 3 * WINDOW)
    assert changed.shape == (1, 3 * WINDOW)
    assert beats(changed[0]) == pytest.approx(4 * faster, rel=0.05)
    assert float(peak(changed)) == pytest.approx(880, rel=0.02)


@pytest.mark.parametrize("semitones", [-3, 4])
def test_pitch_changes_without_tempo(semitones):
    """The tone goes up or down, beats stay."""
    audio = clicks(5 * WINDOW).float()[None] / 32768
    one, ratio = torch.ones(1), 2 ** (semitones / 12)
    changed = tempo.change(tempo.Changes(one, one * ratio), audio, 3 * WINDOW)
    assert changed.shape == (1, 3 * WINDOW)
    assert float(peak(changed)) == pytest.approx(880 * ratio, rel=0.02)
    assert beats(changed[0]) == pytest.approx(4, rel=0.05)


def test_only_some_crops_are_stretched_and_none_is_short():
    """The share that is asked for, each to the length of the window."""
    made = augmenter(level_dbfs="own", stretch_p=0.5, stretch=0.2, pitch_p=0.3)
    assert made.crop >= 1.2 * WINDOW
    crops = torch.stack([tone(440.0, made.crop)] * 60)
    torch.manual_seed(0)
    audio, _ = made(crops, torch.zeros(60, dtype=torch.long))
    assert audio.shape == (60, WINDOW)
    untouched = ((audio - crops[:, :WINDOW].float() / 32768).abs().amax(dim=1) < 1e-3).sum()
    assert 8 <= int(untouched) <= 35  # 0.5 * 0.7 of 60 are 21


def test_time_masks_have_a_least_width():
    """Of ten to forty frames, over all bands, and what is outside stays."""
    made = augmenter(time_masks=1, time_mask_least=10, time_mask=40, frequency_masks=0)
    pictures = torch.randn(200, 8, 120)
    masked = made.mask(pictures)
    hidden = (masked != pictures).all(dim=1)
    widths = hidden.sum(dim=1)
    assert int(widths.min()) == 10
    assert int(widths.max()) == 40
    for row in hidden:
        places = row.nonzero()[:, 0]
        assert int(places[-1] - places[0]) == len(places) - 1
    assert masked[~hidden[:, None, :].expand_as(masked)].equal(
        pictures[~hidden[:, None, :].expand_as(pictures)]
    )
