"""The front end in a model file is torchaudio's, and hears nothing near 8 kHz."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio

from genred import station
from genred.model.metadata import FrontEnd
from genred_train.data.decoding import Settings, decode
from genred_train.export.spectrum import FoldedLogMel
from genred_train.front_end import LogMel, frames_in

SHIPPED = FrontEnd(n_fft=512, hop_length=200, n_mels=64, f_min=40.0, f_max=7200.0, floor=0.01)
HOP = 4000
DATA = os.environ.get("GENRED_DATA")


def folded(settings: FrontEnd, audio: torch.Tensor, hop: int = HOP) -> torch.Tensor:
    """Run ``[samples]`` through the folded front end step by step, from zeros."""
    tail = settings.n_fft - settings.hop_length
    padded = torch.nn.functional.pad(audio, (tail, 0))
    steps = FoldedLogMel(settings, 16_000, hop)(padded.unfold(0, tail + hop, hop))
    return steps.permute(1, 0, 2).reshape(settings.n_mels, -1)


def torchaudios(settings: FrontEnd, audio: torch.Tensor) -> torch.Tensor:
    """What torchaudio itself makes of it, written out here and not by the lab."""
    padded = torch.nn.functional.pad(audio, (settings.n_fft - settings.hop_length, 0))
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=16_000,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        f_min=settings.f_min,
        f_max=settings.f_max,
        n_mels=settings.n_mels,
        center=False,
    )(padded)
    return torch.log(mel + settings.floor)


@pytest.mark.parametrize("style", sorted(station.STYLES))
def test_equals_torchaudio_on_the_station(style):
    """Every style of the station gives the same frames to 1e-4."""
    audio = torch.from_numpy(station.render(style, 5.0, seed=3, rate=16_000))
    assert (folded(SHIPPED, audio) - torchaudios(SHIPPED, audio)).abs().max() < 1e-4


@pytest.mark.skipif(not DATA, reason="GENRED_DATA is not set")
def test_equals_torchaudio_on_real_clips():
    """Real clips of every data set give the same frames to 1e-4."""
    clips = sorted(Path(str(DATA), "audio").glob("*/*/*.ogg"))[::60]
    assert len(clips) >= 20
    worst = 0.0
    for clip in clips:
        samples = decode(clip, Settings(16_000, 8.0))
        audio = torch.from_numpy(samples[: samples.size // HOP * HOP] / np.float32(32768))
        difference = (folded(SHIPPED, audio) - torchaudios(SHIPPED, audio)).abs().max()
        worst = max(worst, float(difference))
    assert worst < 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        SHIPPED.model_copy(update={"mel_scale": "slaney", "norm": "slaney", "floor": 1e-4}),
        SHIPPED.model_copy(update={"n_fft": 1024, "hop_length": 250, "n_mels": 40}),
        SHIPPED.model_copy(update={"f_min": 1000.0, "f_max": 3000.0, "n_mels": 20}),
        SHIPPED.model_copy(update={"log": "decibel"}),
        SHIPPED.model_copy(update={"power": 1.0}),
    ],
    ids=["slaney", "long", "band", "decibel", "magnitude"],
)
def test_folding_holds_for_other_settings(settings):
    """The folded form equals the lab's own transform whatever the settings."""
    audio = torch.randn(12_000, generator=torch.Generator().manual_seed(1)) * 0.1
    padded = torch.nn.functional.pad(audio, (settings.n_fft - settings.hop_length, 0))
    expected = LogMel(settings, 16_000)(padded[None])[0]
    difference = (folded(settings, audio) - expected).abs().max()
    assert difference < 1e-4 * (4.35 if settings.log == "decibel" else 1.0)


def test_nothing_above_the_band_is_heard():
    """A tone at 7.8 kHz, where codecs differ, leaves the frames at their floor."""
    time = torch.arange(16_000, dtype=torch.float64) / 16_000
    tone = 0.9 * torch.sin(2 * torch.pi * 7800 * time)
    frames = LogMel(SHIPPED, 16_000)(tone.float()[None])
    assert frames.max() < np.log(SHIPPED.floor) + 0.05


def test_frames_are_counted_as_they_come():
    """``frames_in`` says what the transform returns."""
    for samples in (100, 512, 711, 712, 15_912, 16_000):
        audio = torch.zeros(1, max(samples, 512))
        count = LogMel(SHIPPED, 16_000)(audio).shape[2] if samples >= 512 else 0
        assert frames_in(samples, SHIPPED) == count


@pytest.mark.parametrize(("n_fft", "hop"), [(510, 4000), (512, 4100)])
def test_settings_that_cannot_be_folded_are_refused(n_fft, hop):
    """An n_fft that is no multiple of four, or a hop that cuts a frame, is an error."""
    with pytest.raises(ValueError, match="multiple"):
        FoldedLogMel(SHIPPED.model_copy(update={"n_fft": n_fft}), 16_000, hop)
