"""Changes tempo without pitch, and pitch without tempo, of crops on the device.

Both are a phase vocoder (Flanagan and Golden, "Phase Vocoder", 1966; torchaudio's), which a pitch
shift follows by resampling to the old length. It takes one rate for a whole batch, so that the
rates that are asked for are rounded to a few.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torchaudio
from torch import Tensor

# Frames of the phase vocoder: about 60 ms, as long as pitch wants and as short as drums allow.
_FRAME = 1024
_HOP = 256

# Rates are rounded to this many steps an octave: a sixth of a semitone.
_STEPS = 72


class Changes(NamedTuple):
    """What each crop ``[batch]`` is changed by: 1 changes nothing.

    ``tempo`` 1.1 plays a tenth faster, ``pitch`` 2 an octave higher.
    """

    tempo: Tensor
    pitch: Tensor


def change(changes: Changes, audio: Tensor, length: int) -> Tensor:
    """Return ``[batch, length]`` of ``audio`` ``[batch, samples]``, changed.

    ``samples`` must be at least ``length`` times the highest tempo.
    """
    tempo = (_STEPS * torch.log2(changes.tempo)).round()
    pitch = (_STEPS * torch.log2(changes.pitch)).round()
    changed = audio[:, :length].clone()
    asked = torch.stack([tempo, pitch], dim=1)
    for pair in torch.unique(asked, dim=0):
        steps, up = (float(value) for value in pair)
        if not (steps or up):
            continue
        which = (asked == pair).all(dim=1).nonzero()[:, 0]
        changed[which] = _one(audio[which], 2.0 ** (steps / _STEPS), 2.0 ** (up / _STEPS), length)
    return changed


def _one(audio: Tensor, tempo: float, pitch: float, length: int) -> Tensor:
    """Stretch by ``pitch / tempo``, then play ``pitch`` times as fast."""
    rate = tempo / pitch
    wanted = math.ceil(length * pitch) + 1
    used = min(audio.shape[1], math.ceil(wanted * rate) + _FRAME)
    window = torch.hann_window(_FRAME, device=audio.device)
    spectrum = torch.stft(audio[:, :used], _FRAME, _HOP, window=window, return_complex=True)
    advance = torch.linspace(0, math.pi * _HOP, _FRAME // 2 + 1, device=audio.device)[:, None]
    spectrum = torchaudio.functional.phase_vocoder(spectrum, rate, advance)
    stretched = torch.istft(spectrum, _FRAME, _HOP, window=window)
    if stretched.shape[1] < wanted:  # the vocoder rounds to whole frames
        missing = wanted - stretched.shape[1]
        stretched = torch.cat([stretched, stretched[:, -missing:].flip(1)], dim=1)
    if pitch == 1.0:
        return stretched[:, :length]
    place = torch.arange(length, device=audio.device) * pitch
    left = place.floor().long()
    share = place - left
    return stretched[:, left] * (1 - share) + stretched[:, left + 1] * share
