"""What happens to training crops on the device, a batch at a time: level, noise, tempo, filters.

Everything draws from torch's default generator of the device, seeded by the loop.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torchaudio
from torch import Tensor, nn

from genred.labels import Kind
from genred_train import tempo

if TYPE_CHECKING:
    from genred.model.metadata import LabelInfo
    from genred_train.recipe import Augment

# Points in frequency, evenly spaced by octave, between which the random equaliser goes smoothly.
_EQUALISER_POINTS = 8
_EQUALISER_LOWEST_HZ = 60.0

# A steep low-pass falls by this much over the next third of an octave.
_LOW_PASS_DB = 60.0

_SMALL = 1e-7


class Augmenter(nn.Module):
    """Crops of samples and labels to changed crops and soft labels."""

    def __init__(
        self, settings: Augment, labels: tuple[LabelInfo, ...], sample_rate: int, window: int
    ) -> None:
        super().__init__()
        self.settings = settings
        self.sample_rate = sample_rate
        self.window = window
        self.labels = len(labels)
        kinds = [label.kind for label in labels]
        self.register_buffer("speech", torch.tensor([kind is Kind.SPEECH for kind in kinds]))
        self.register_buffer("music", torch.tensor([kind is Kind.MUSIC for kind in kinds]))
        # torchaudio's own transform draws one mask for the whole batch unless told otherwise; it
        # knows no least width, so that masks in time that have one are drawn here.
        self.masks = torchaudio.transforms.SpecAugment(
            n_time_masks=0 if settings.time_mask_least else settings.time_masks,
            time_mask_param=settings.time_mask,
            n_freq_masks=settings.frequency_masks,
            freq_mask_param=settings.frequency_mask,
            iid_masks=True,
            zero_masking=False,
        )

    @property
    def crop(self) -> int:
        """How many samples a crop must have, so that faster playing still fills the window."""
        return math.ceil(self._stretched * (1.0 + self.settings.speed)) + 1

    @property
    def _stretched(self) -> int:
        """How many samples are left to stretch, after playing at another speed."""
        settings = self.settings
        return math.ceil(self.window * (1.0 + (settings.stretch if settings.stretch_p else 0.0)))

    def forward(self, crops: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Change ``[batch, crop]`` (16 bits) with labels ``[batch]``.

        Returns audio ``[batch, window]``, full scale 1.0, and label shares ``[batch, labels]``.
        """
        settings = self.settings
        audio = self._play(crops.float() / 32768.0)
        audio = tempo.change(self._changes(audio), audio, self.window)
        soft = nn.functional.one_hot(targets, self.labels).float()
        level = _rms(audio)
        audio = audio / level
        if settings.talk_over_p:
            audio = self._talk_over(audio, targets)
        if settings.mix_p:
            audio, soft = self._mix(audio, soft)
        if settings.equalise_p or settings.low_pass_p:
            audio = self._filter(audio)
        if settings.noise_p:
            audio = self._add_noise(audio)
        if settings.level_dbfs != "own":
            level = 10 ** (_uniform(audio, *settings.level_dbfs) / 20)
        audio = audio / _rms(audio) * level
        if settings.gain:
            audio = audio * _uniform(audio, 1.0 - settings.gain, 1.0 + settings.gain)
        if settings.noise_sigma:
            audio = audio + settings.noise_sigma * torch.randn_like(audio)
        return audio.clamp(-1.0, 1.0), soft

    def mask(self, logmel: Tensor) -> Tensor:
        """SpecAugment on ``[batch, n_mels, frames]``; masks hold each picture's mean."""
        settings = self.settings
        if settings.time_masks and settings.time_mask_least:
            for _ in range(settings.time_masks):
                logmel = self._mask_time(logmel)
            if not settings.frequency_masks:
                return logmel
        elif not (settings.time_masks or settings.frequency_masks):
            return logmel
        masked: Tensor = self.masks(logmel)
        return masked

    def _mask_time(self, logmel: Tensor) -> Tensor:
        """One mask a picture, of a width between the least and the greatest."""
        frames = logmel.shape[2]
        settings = self.settings
        width = torch.randint(
            settings.time_mask_least,
            settings.time_mask + 1,
            (logmel.shape[0], 1),
            device=logmel.device,
        )
        start = (_uniform(logmel, 0.0, 1.0) * (frames - width + 1).clamp(min=1)).floor()
        place = torch.arange(frames, device=logmel.device)[None, :]
        hidden = (place >= start) & (place < start + width)
        mean = logmel.mean(dim=(1, 2), keepdim=True)
        return torch.where(hidden[:, None, :], mean, logmel)

    def _changes(self, audio: Tensor) -> tempo.Changes:
        """Draw which crops get another tempo or pitch, and what."""
        settings, count = self.settings, audio.shape[0]
        none = torch.zeros(count, 1, device=audio.device)
        stretch = pitch = none
        if settings.stretch_p:
            drawn = _uniform(audio, -settings.stretch, settings.stretch)
            stretch = drawn * _chosen(audio, settings.stretch_p)
        if settings.pitch_p:
            drawn = _uniform(audio, -settings.pitch_semitones, settings.pitch_semitones)
            pitch = drawn * _chosen(audio, settings.pitch_p)
        return tempo.Changes(1.0 + stretch[:, 0], 2.0 ** (pitch[:, 0] / 12.0))

    def _play(self, crops: Tensor) -> Tensor:
        """Play each crop at its own speed, by linear interpolation between samples."""
        length = self._stretched
        if not self.settings.speed:
            return crops[:, :length]
        speed = 1.0 + _uniform(crops, -self.settings.speed, self.settings.speed)
        place = torch.arange(length, device=crops.device)[None, :] * speed
        left = place.floor().long().clamp(max=crops.shape[1] - 2)
        share = place - left
        return crops.gather(1, left) * (1 - share) + crops.gather(1, left + 1) * share

    def _talk_over(self, audio: Tensor, targets: Tensor) -> Tensor:
        order = torch.randperm(audio.shape[0], device=audio.device)
        wanted = self.get_buffer("speech")[targets] & self.get_buffer("music")[targets[order]]
        wanted &= _chosen(audio, self.settings.talk_over_p)[:, 0]
        quieter = 10 ** (-_uniform(audio, *self.settings.talk_over_db) / 20)
        return torch.where(wanted[:, None], audio + audio[order] * quieter, audio)

    def _mix(self, audio: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        """Mixup (Zhang et al., 2018) of waveforms brought to one level."""
        alpha = torch.full((audio.shape[0], 1), self.settings.mix_alpha)
        share = torch.distributions.Beta(alpha, alpha).sample().to(audio.device)
        share = torch.where(_chosen(audio, self.settings.mix_p), share, torch.ones_like(share))
        order = torch.randperm(audio.shape[0], device=audio.device)
        mixed = share * audio + (1 - share) * audio[order]
        return mixed, share * soft + (1 - share) * soft[order]

    def _filter(self, audio: Tensor) -> Tensor:
        """Equaliser and low-pass as one frequency response per crop, without phase."""
        settings = self.settings
        spectrum = torch.fft.rfft(audio)
        bins = spectrum.shape[1]
        hertz = torch.linspace(0, self.sample_rate / 2, bins, device=audio.device)
        octave = torch.log2(hertz.clamp(min=_EQUALISER_LOWEST_HZ) / _EQUALISER_LOWEST_HZ)
        place = octave / octave[-1] * (_EQUALISER_POINTS - 1)
        left = place.floor().long().clamp(max=_EQUALISER_POINTS - 2)
        share = 0.5 - 0.5 * torch.cos(math.pi * (place - left))
        points = torch.rand(audio.shape[0], _EQUALISER_POINTS, device=audio.device) * 2 - 1
        points = points * settings.equalise_db * _chosen(audio, settings.equalise_p)
        response = points[:, left] * (1 - share) + points[:, left + 1] * share
        cutoff = _uniform(audio, *settings.low_pass_hz)
        above = 3 * torch.log2(hertz.clamp(min=1.0)[None, :] / cutoff)
        low_pass = -_LOW_PASS_DB * above.clamp(0.0, 2.0) * _chosen(audio, settings.low_pass_p)
        spectrum = spectrum * 10 ** ((response + low_pass) / 20)
        filtered: Tensor = torch.fft.irfft(spectrum, n=audio.shape[1])
        return filtered

    def _add_noise(self, audio: Tensor) -> Tensor:
        """Noise whose power falls by 0 to 6 dB an octave, at a random ratio to the signal."""
        settings = self.settings
        bins = audio.shape[1] // 2 + 1
        slope = _uniform(audio, 0.0, 1.0)
        shape = torch.arange(bins, device=audio.device).clamp(min=1)[None, :] ** -slope
        white = torch.fft.rfft(torch.randn_like(audio))
        noise = torch.fft.irfft(white * shape, n=audio.shape[1])
        ratio = _uniform(audio, *settings.noise_snr_db)
        gain = _rms(audio) * 10 ** (-ratio / 20) * _chosen(audio, settings.noise_p)
        noisy: Tensor = audio + noise / _rms(noise) * gain
        return noisy


def _rms(audio: Tensor) -> Tensor:
    return audio.square().mean(dim=1, keepdim=True).sqrt().clamp(min=_SMALL)


def _uniform(like: Tensor, low: float, high: float) -> Tensor:
    """One number a crop, ``[batch, 1]``."""
    return low + (high - low) * torch.rand(like.shape[0], 1, device=like.device)


def _chosen(like: Tensor, probability: float) -> Tensor:
    """Whether each crop is one of the chosen, ``[batch, 1]``."""
    return torch.rand(like.shape[0], 1, device=like.device) < probability
