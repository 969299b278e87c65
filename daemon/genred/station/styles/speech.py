"""Speech: a formant synthesiser that reads nonsense with a human's rhythm and melody.

Sentences of an invented language: syllables of stops, fricatives, nasals, glides and vowels;
stress, a falling pitch line, pauses for breath. Voiced sound is made period by period, each an
impulse response of the vocal tract laid at its instant (as in pitch-synchronous overlap-add);
hiss and bursts are short frames of shaped noise. Vowel formants: Peterson & Barney, *JASA* 24(2),
1952; the cascade of resonators: Klatt, *JASA* 67(3), 1980.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genred.station.effects import Convolver, room
from genred.station.style import Style
from genred.station.synth import noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from genred.station.synth import Audio, Points

FRAME_S = 0.005
"""Spacing of the control tracks."""

VOWELS = {
    "i": (270.0, 2290.0, 3010.0),
    "I": (390.0, 1990.0, 2550.0),
    "E": (530.0, 1840.0, 2480.0),
    "A": (660.0, 1720.0, 2410.0),
    "a": (730.0, 1090.0, 2440.0),
    "O": (570.0, 840.0, 2410.0),
    "U": (440.0, 1020.0, 2240.0),
    "u": (300.0, 870.0, 2240.0),
    "V": (640.0, 1190.0, 2390.0),
    "R": (490.0, 1350.0, 1690.0),
}
HIGHER = (3400.0, 4300.0, 5400.0, 6500.0)
"""Fourth formant and up of a man's vocal tract."""
BANDWIDTHS = (70.0, 95.0, 140.0, 220.0, 320.0, 450.0, 600.0)

VOICE_LEVEL = 0.1
"""RMS of a neutral vowel."""
HISS_LEVEL = 0.03
"""Level of unvoiced sound against voiced, set by the long-term spectrum of recorded speech."""

HISSES: dict[str, Points] = {
    "s": ((1500.0, -34.0), (3500.0, -14.0), (5000.0, 0.0), (7500.0, -2.0)),
    "sh": ((1000.0, -26.0), (2200.0, -3.0), (3200.0, 0.0), (5000.0, -6.0), (7500.0, -14.0)),
    "f": ((500.0, -12.0), (1500.0, -6.0), (4000.0, -2.0), (7500.0, 0.0)),
    "k": ((800.0, -12.0), (1800.0, 0.0), (3000.0, -6.0), (7000.0, -16.0)),
    "p": ((200.0, 0.0), (800.0, 0.0), (2500.0, -8.0), (7000.0, -16.0)),
    "h": ((200.0, -18.0), (600.0, -3.0), (1500.0, 0.0), (2600.0, -4.0), (5000.0, -14.0)),
}
"""Spectra of unvoiced sound."""


@dataclass(frozen=True)
class Sound:
    """One consonant: locus of the formants, lengths, and levels of voice and hiss."""

    formants: tuple[float, float, float]
    seconds: float
    voice: float = 0.0
    hiss: str = "h"
    level: float = 0.0
    burst: float = 0.0
    """Seconds of noise at the end of a stop's closure."""


CONSONANTS = {
    "p": Sound((350.0, 900.0, 2200.0), 0.085, 0.0, "p", 0.45, 0.022),
    "t": Sound((350.0, 1750.0, 2700.0), 0.08, 0.0, "s", 0.7, 0.028),
    "k": Sound((300.0, 1900.0, 2300.0), 0.09, 0.0, "k", 0.6, 0.034),
    "b": Sound((300.0, 900.0, 2200.0), 0.07, 0.14, "p", 0.25, 0.008),
    "d": Sound((300.0, 1750.0, 2600.0), 0.06, 0.14, "s", 0.3, 0.01),
    "g": Sound((300.0, 1900.0, 2300.0), 0.07, 0.14, "k", 0.3, 0.014),
    "s": Sound((350.0, 1700.0, 2600.0), 0.1, 0.0, "s", 0.8),
    "sh": Sound((350.0, 1850.0, 2400.0), 0.11, 0.0, "sh", 0.85),
    "f": Sound((350.0, 1000.0, 2300.0), 0.095, 0.0, "f", 0.28),
    "h": Sound((500.0, 1400.0, 2400.0), 0.06, 0.0, "h", 0.35),
    "v": Sound((300.0, 1000.0, 2300.0), 0.06, 0.4, "f", 0.1),
    "z": Sound((300.0, 1700.0, 2600.0), 0.075, 0.35, "s", 0.35),
    "m": Sound((250.0, 1050.0, 2200.0), 0.07, 0.42),
    "n": Sound((250.0, 1550.0, 2500.0), 0.06, 0.42),
    "l": Sound((360.0, 1100.0, 2700.0), 0.06, 0.6),
    "r": Sound((380.0, 1200.0, 1650.0), 0.065, 0.6),
    "w": Sound((320.0, 700.0, 2200.0), 0.06, 0.6),
    "y": Sound((280.0, 2150.0, 2900.0), 0.055, 0.6),
}
ONSETS = tuple(CONSONANTS)
CODAS = ("n", "s", "t", "r", "l", "m", "k", "d", "z")


def compose(rng: np.random.Generator, rate: int) -> Iterator[Audio]:
    """Yield a phrase and the pause after it at a time."""
    voice = _Voice(rng, rate)
    studio = Convolver(room(rng, rate, t60=0.3, wet=rng.uniform(0.08, 0.25)))
    left = int(rng.integers(1, 4))
    while True:
        left -= 1
        last = left <= 0
        phrase = voice.phrase(int(rng.integers(4, 13)), last=last)
        if last:
            left = int(rng.integers(1, 4))
            pause = voice.breath(rng.uniform(0.45, 0.9))
        else:
            pause = voice.breath(rng.uniform(0.12, 0.35))
        sound = np.concatenate([phrase, pause])
        sound += np.float32(2e-4) * rng.standard_normal(sound.size, dtype=np.float32)
        yield studio.process(sound)


class _Tracks:
    """Control tracks of a phrase, one value each :data:`FRAME_S`, written sound by sound."""

    def __init__(self) -> None:
        self.formants: list[tuple[float, float, float]] = []
        self.voice: list[float] = []
        self.stress: list[float] = []
        self.hiss: list[tuple[str, float]] = []

    def add(
        self,
        seconds: float,
        formants: tuple[float, float, float],
        voice: float,
        hiss: tuple[str, float] = ("h", 0.0),
        stress: float = 0.0,
    ) -> None:
        """Hold these values for ``seconds``."""
        for _ in range(max(1, round(seconds / FRAME_S))):
            self.formants.append(formants)
            self.voice.append(voice)
            self.hiss.append(hiss)
            self.stress.append(stress)


class _Voice:
    """One speaker: pitch range, size of vocal tract, breathiness and pace."""

    def __init__(self, rng: np.random.Generator, rate: int) -> None:
        self._rng = rng
        self._rate = rate
        high = rng.random() < 0.5
        self._pitch = rng.uniform(175.0, 225.0) if high else rng.uniform(95.0, 135.0)
        self._tract = rng.uniform(1.12, 1.2) if high else rng.uniform(0.95, 1.05)
        self._pace = rng.uniform(0.85, 1.12)
        self._breathy = rng.uniform(0.02, 0.06)
        self._size = 1 << int(np.ceil(np.log2(0.03 * rate)))
        """Samples of one period's response: 30 ms, in which every formant has died away."""
        hz = np.fft.rfftfreq(self._size, 1.0 / rate)
        self._z = np.exp(-2j * np.pi * hz / rate).astype(np.complex64)
        self._glottis = self._source(rng.uniform(600.0, 1100.0))
        self._inventory = [self._syllable() for _ in range(60)]

    def _source(self, tilt_hz: float) -> NDArray[np.complex64]:
        """Spectrum of the glottal pulse's derivative: two poles low down, one for the tilt."""
        z = self._z
        low = np.exp(-2.0 * np.pi * 0.5 * self._pitch / self._rate)
        tilt = np.exp(-2.0 * np.pi * tilt_hz / self._rate)
        spectrum = (1.0 - z) / (1.0 - low * z) ** 2 * (1.0 - tilt) / (1.0 - tilt * z)
        pulse = spectrum.astype(np.complex64)[None, :]
        self._cascade(pulse, [np.array([hz]) for hz in (*VOWELS["V"], *HIGHER)])
        energy = float(np.sum(np.fft.irfft(pulse[0], self._size) ** 2))
        level = VOICE_LEVEL / (energy * self._pitch / self._rate) ** 0.5
        result: NDArray[np.complex64] = (spectrum * level).astype(np.complex64)
        return result

    def _syllable(self) -> tuple[tuple[str, ...], str, str, str]:
        """Onset consonants, vowel, glide's target (the vowel itself mostly) and coda."""
        rng = self._rng
        onset: tuple[str, ...] = (str(rng.choice(ONSETS)),)
        if onset[0] in "ptkbdgf" and rng.random() < 0.25:
            onset += (str(rng.choice(["r", "l"])),)
        elif onset[0] == "s" and rng.random() < 0.4:
            onset += (str(rng.choice(["t", "p", "k"])),)
        elif rng.random() < 0.12:
            onset = ()
        vowel = str(rng.choice(list(VOWELS)))
        glide = str(rng.choice(["I", "U"])) if rng.random() < 0.2 else vowel
        coda = str(rng.choice(CODAS)) if rng.random() < 0.35 else ""
        return onset, vowel, glide, coda

    def phrase(self, syllables: int, *, last: bool) -> Audio:
        """Say a phrase; its pitch falls to the bottom where it is the ``last`` of a sentence."""
        rng, tracks = self._rng, _Tracks()
        for number in range(syllables):
            onset, vowel, glide, coda = self._inventory[int(rng.integers(len(self._inventory)))]
            stress = 1.0 if rng.random() < 0.4 else 0.0
            final = number == syllables - 1
            seconds = (0.075 + 0.045 * stress + 0.09 * final) * rng.uniform(0.85, 1.25)
            loud = 0.75 + 0.25 * stress
            for name in onset:
                self._consonant(tracks, name, VOWELS[vowel])
            pace = self._pace
            tracks.add(0.6 * seconds / pace, VOWELS[vowel], loud, stress=stress)
            tracks.add(0.4 * seconds / pace, VOWELS[glide], 0.9 * loud, stress=stress)
            if coda and (final or rng.random() < 0.8):
                self._consonant(tracks, coda, VOWELS[glide])
        tracks.add(0.04, tracks.formants[-1], 0.0)
        return self._speak(tracks, last)

    def _consonant(self, tracks: _Tracks, name: str, vowel: tuple[float, float, float]) -> None:
        sound = CONSONANTS[name]
        seconds = sound.seconds / self._pace * self._rng.uniform(0.85, 1.15)
        if sound.burst:
            tracks.add(seconds - sound.burst, sound.formants, sound.voice)
            tracks.add(sound.burst, sound.formants, sound.voice, (sound.hiss, sound.level))
            if not sound.voice:
                tracks.add(0.025, vowel, 0.0, ("h", 0.25))
        else:
            formants = vowel if name == "h" else sound.formants
            tracks.add(seconds, formants, sound.voice, (sound.hiss, sound.level))

    def breath(self, seconds: float) -> Audio:
        """A pause, with the sound of breathing in where it is long enough."""
        frames = int(seconds * self._rate)
        if seconds < 0.4:
            return np.zeros(frames, np.float32)
        air = noise(self._rng, frames, self._rate, HISSES["h"])
        t = np.linspace(0.0, 1.0, frames, dtype=np.float32)
        shape = np.clip((t - 0.25) / 0.3, 0.0, 1.0) * np.clip((0.95 - t) / 0.15, 0.0, 1.0)
        breath: Audio = np.float32(0.004) * shape * air
        return breath

    def _speak(self, tracks: _Tracks, last: bool) -> Audio:
        """Turn control tracks into sound."""
        count = len(tracks.voice)
        formants = _smooth(np.array(tracks.formants), 0.055) * self._tract
        voice = _smooth(np.array(tracks.voice), 0.018)
        pitch = self._melody(_smooth(np.array(tracks.stress), 0.12), last)
        frames = int(count * FRAME_S * self._rate)
        out = np.zeros(frames + 2 * self._size, np.float32)
        self._voiced(out, pitch, voice, formants)
        self._hissed(out, tracks.hiss)
        return out[:frames]

    def _melody(self, stress: NDArray[np.float64], last: bool) -> NDArray[np.float64]:
        """Pitch [frames] in hertz: declination, accents on stressed syllables, slow wander."""
        x = np.linspace(0.0, 1.0, stress.size)
        wander = _smooth(self._rng.normal(0.0, 1.0, stress.size), 0.2)
        end = np.clip((x - 0.8) / 0.2, 0.0, 1.0) * (-3.0 if last else 1.5)
        semitones = 2.5 - 4.0 * x + 3.2 * stress + 2.0 * wander + end
        melody: NDArray[np.float64] = self._pitch * 2.0 ** (semitones / 12.0)
        return melody

    def _voiced(
        self,
        out: Audio,
        pitch: NDArray[np.float64],
        voice: NDArray[np.float64],
        formants: NDArray[np.float64],
    ) -> None:
        """Lay the vocal tract's response to each glottal pulse on ``out``."""
        rng, rate = self._rng, self._rate
        cycles = np.cumsum(pitch * FRAME_S)
        beats = np.arange(1, int(cycles[-1])) + rng.normal(0.0, 0.006, max(0, int(cycles[-1]) - 1))
        at = np.interp(beats, cycles, np.arange(pitch.size))
        loud = np.interp(at, np.arange(pitch.size), voice)
        heard = loud > 0.02
        at, loud = at[heard], loud[heard]
        if not at.size:
            return
        loud *= rng.normal(1.0, 0.04, at.size)
        samples = at * FRAME_S * rate
        starts = samples.astype(np.int64)
        tracks = [np.interp(at, np.arange(pitch.size), formants[:, i]) for i in range(3)]
        tracks += [np.full(at.size, hz * self._tract) for hz in HIGHER]
        z = self._z[None, :]
        spectrum = np.broadcast_to(self._glottis, (at.size, self._z.size)).copy()
        breath = rng.normal(0.0, self._breathy, spectrum.shape).astype(np.float32)
        spectrum *= 1.0 + breath * np.linspace(0.3, 6.0, self._z.size, dtype=np.float32)
        self._cascade(spectrum, tracks)
        part = (samples - starts).astype(np.float32)[:, None]
        spectrum *= z**part * loud.astype(np.float32)[:, None]
        pulses = np.fft.irfft(spectrum, self._size, axis=1).astype(np.float32)
        for start, pulse in zip(starts.tolist(), pulses, strict=True):
            out[start : start + self._size] += pulse

    def _cascade(
        self, spectrum: NDArray[np.complex64], formants: list[NDArray[np.float64]]
    ) -> None:
        """Send ``spectrum`` [periods, bins] through resonators at ``formants``, [periods] each."""
        z = self._z[None, :]
        square = z * z
        for centre, bandwidth in zip(formants, BANDWIDTHS, strict=True):
            if float(centre.max()) > 0.46 * self._rate:
                continue
            radius = float(np.exp(-np.pi * bandwidth / self._rate))
            angle = 2.0 * np.pi * centre / self._rate
            b = (2.0 * radius * np.cos(angle)).astype(np.float32)[:, None]
            c = np.float32(radius**2)
            spectrum *= (1.0 - b + c) / (1.0 - b * z + c * square)

    def _hissed(self, out: Audio, hiss: list[tuple[str, float]]) -> None:
        """Add unvoiced sound, each run of one kind as one stretch of shaped noise."""
        start = 0
        step = FRAME_S * self._rate
        while start < len(hiss):
            end = start
            while end < len(hiss) and hiss[end] == hiss[start]:
                end += 1
            kind, level = hiss[start]
            if level:
                self._stretch(out, int(start * step), int((end - start) * step), kind, level)
            start = end

    def _stretch(self, out: Audio, at: int, frames: int, kind: str, level: float) -> None:
        edge = int(min(0.02 * self._rate, 0.4 * frames))
        frames += edge
        air = noise(self._rng, frames, self._rate, HISSES[kind])
        rise = np.linspace(0.0, 1.0, edge, dtype=np.float32)
        air[:edge] *= rise
        air[-edge:] *= rise[::-1]
        out[at : at + frames] += np.float32(HISS_LEVEL * level) * air


def _smooth(track: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Moving raised-cosine average of a track [frames] or [frames, n]: how muscles move."""
    width = max(3, round(seconds / FRAME_S) | 1)
    window = np.hanning(width + 2)[1:-1]
    window /= window.sum()
    half = width // 2
    padded = np.pad(track, [(half, half)] + [(0, 0)] * (track.ndim - 1), mode="edge")
    if track.ndim == 1:
        return np.convolve(padded, window, mode="valid")
    columns = [np.convolve(padded[:, i], window, mode="valid") for i in range(track.shape[1])]
    return np.stack(columns, axis=1)


STYLE = Style("speech", "Nonsense speech", "speech", compose)
