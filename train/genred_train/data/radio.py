"""What radio does to a recording before it is heard: codecs, rooms, another speed.

Only what cannot be done to a spectrogram is here; levels, filters, noise and speech over music
are cheaper there (:mod:`genred_train.airing`).
"""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Name of FFmpeg's encoder, its container, and bits a second of mono at 16 kHz: from barely to
# well. A stereo stream of 64 kb/s has about 24 of them for what is in both channels below 8 kHz.
_CODECS = (("libmp3lame", "mp3", (24_000, 40_000, 56_000)), ("libopus", "ogg", (12_000, 20_000)))

# Decay by 60 dB of the rooms, in seconds, and how far below the direct sound they begin.
_ROOM_S = (0.15, 0.7)
_ROOM_DB = (6.0, 18.0)


def coded(audio: Floats, rate: int, random: np.random.Generator) -> Floats:
    """``audio`` (mono, full scale 1.0) through a lossy codec and back, as long as before."""
    encoder, container, rates = _CODECS[random.integers(len(_CODECS))]
    stream_rate = int(random.choice(rates))
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(encoder, rate=rate)
        stream.bit_rate, stream.layout = stream_rate, "mono"
        whole = np.clip(np.rint(audio * 32767.0), -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate = rate
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    file.seek(0)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    parts = []
    with av.open(file, "r") as source:
        for decoded in source.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(decoded)]
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    heard = np.concatenate(parts).astype(np.float32)
    return np.asarray(np.pad(heard, (0, max(0, audio.size - heard.size)))[: audio.size])


def in_room(audio: Floats, rate: int, random: np.random.Generator) -> Floats:
    """``audio`` as heard across a room: direct sound and noise that decays exponentially."""
    decay = random.uniform(*_ROOM_S)
    taps = int(decay * rate)
    tail = random.standard_normal(taps) * 10 ** (-3.0 * np.arange(taps) / taps)
    tail *= 10 ** (-random.uniform(*_ROOM_DB) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] += 1.0
    size = 1 << int(np.ceil(np.log2(audio.size + taps)))
    spectrum = np.fft.rfft(audio, size) * np.fft.rfft(tail.astype(np.float32), size)
    return np.asarray(np.fft.irfft(spectrum, size)[: audio.size], dtype=np.float32)


def played(audio: Floats, speed: float) -> Floats:
    """``audio`` played faster (``speed`` above 1) or slower, pitch with tempo."""
    place = np.arange(int((audio.size - 1) / speed)) * speed
    return np.asarray(np.interp(place, np.arange(audio.size), audio), dtype=np.float32)
