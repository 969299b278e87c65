"""Makes passages of radio out of spectrograms: pieces one after the other, as they are aired.

A passage holds one to three pieces with cuts, pauses or cross-fades between them, processed as
stations and receivers do: levels, compression, equalisers, low-passes, speech over music, noise.
All of it is arithmetic on log-mel power, where levels and filters are additions, and sums of
signals are sums of power, as they are on average for signals that know nothing of each other.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from genred_train.data import spectrograms
from genred_train.data.corpus import LEVEL_BLOCK_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import FrontEnd
    from genred_train.data.spectrograms import Picture
    from genred_train.recipe import Audio, Recipe

# Natural logarithms of power in a decibel.
_DB = math.log(10.0) / 10.0

# A random equaliser goes smoothly through so many points, even in mel.
_EQUALISER_POINTS = 7

# Bands above a low-pass fall by so much for each band, to a tenth of a thousandth.
_LOW_PASS_DB_A_BAND = 6.0
_LOW_PASS_MOST_DB = 60.0

# The compressor follows the level over so many frames.
_COMPRESSOR_FRAMES = 41

# No piece is shorter, so that each has decisions of its own.
_LEAST_PIECE_S = 1.5


@dataclass(frozen=True)
class Track:
    """A recording to train on, and what is known of each quarter of a second of it.

    ``targets`` are the label shares ``[labels]`` of the whole, ``lessons`` for each picture a
    teacher's view ``[decisions, components]`` of its windows that end at 1 s, 1.25 s …, ``audible``
    says of each block of a quarter of a second of the recording whether there is anything in it.
    A track without a label has -1.
    """

    pictures: Sequence[Picture]
    targets: NDArray[np.float32]
    audible: NDArray[np.bool_]
    lessons: Sequence[NDArray[np.float16]] | None = None
    label: int = -1


@dataclass(frozen=True)
class Batch:
    """Passages and what is to be said of them, decision by decision."""

    logmel: Tensor
    """``[passages, n_mels, frames]``."""

    targets: Tensor
    """``[passages, decisions, labels]``."""

    weights: Tensor
    """``[passages, decisions]``: how much each decision counts."""

    lessons: Tensor
    """``[passages, decisions, components]``."""

    taught: Tensor
    """``[passages, decisions]``: 1 where there is a lesson."""


@dataclass(frozen=True)
class Shape:
    """Frames and decisions of passages."""

    sample_rate: int
    hop_length: int
    n_fft: int
    window: int
    """Frames of one window."""
    step: int
    """Frames between two decisions."""
    decisions: int

    @classmethod
    def of(cls, audio: Audio, front_end: FrontEnd, window: int, seconds: float) -> Shape:
        """Passages of about ``seconds``."""
        step = audio.hop // front_end.hop_length
        decisions = max(1, round((seconds - audio.window_s) / audio.hop_s) + 1)
        return cls(
            audio.sample_rate, front_end.hop_length, front_end.n_fft, window, step, decisions
        )

    @property
    def frames(self) -> int:
        """Frames of one passage."""
        return self.window + (self.decisions - 1) * self.step

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length


class Studio:
    """Draws passages from tracks, the same for the same seed."""

    def __init__(
        self,
        tracks: Sequence[Track],
        weights: NDArray[np.float64],
        shape: Shape,
        recipe: Recipe,
        band_hertz: NDArray[np.float64],
        speech: Sequence[int],
        noise: Sequence[int],
        components: int,
    ) -> None:
        self.tracks, self.weights, self.shape = tracks, weights, shape
        self.airing, self.augment = recipe.airing, recipe.augment
        self.floor, self.components = recipe.front_end.floor, components
        self.band_hertz = band_hertz
        self.labels = tracks[0].targets.size
        self.cumulative = np.cumsum(weights / weights.sum())
        self.speech, self.noise = set(speech), set(noise)
        named = np.array([track.label for track in tracks])
        self.noises = np.flatnonzero(np.isin(named, list(noise)))
        self.music = np.flatnonzero(~np.isin(named, [*speech, *noise]))

    def batch(self, count: int, random: np.random.Generator) -> Batch:
        """``count`` passages."""
        shape = self.shape
        power = np.empty((count, shape.frames, self._mels), np.float32)
        targets = np.zeros((count, shape.decisions, self.labels), np.float32)
        weights = np.zeros((count, shape.decisions), np.float32)
        lessons = np.zeros((count, shape.decisions, self.components), np.float32)
        taught = np.zeros((count, shape.decisions), np.float32)
        for number in range(count):
            power[number] = self._passage(
                random, targets[number], weights[number], lessons[number], taught[number]
            )
        logmel = self._received(torch.from_numpy(power), random)
        return Batch(
            logmel.transpose(1, 2).contiguous(),
            torch.from_numpy(targets),
            torch.from_numpy(weights),
            torch.from_numpy(lessons),
            torch.from_numpy(taught),
        )

    @property
    def _mels(self) -> int:
        return int(self.tracks[0].pictures[0].frames.shape[1])

    def _passage(
        self,
        random: np.random.Generator,
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
        lessons: NDArray[np.float32],
        taught: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """One passage as power ``[frames, n_mels]``; fills in what is to be said of it."""
        shape, airing = self.shape, self.airing
        pieces = 1 + int(
            np.searchsorted(np.cumsum(airing.pieces), random.random() * sum(airing.pieces))
        )
        bounds = self._bounds(pieces, random)
        power = np.zeros((shape.frames, self._mels), np.float32)
        ends = shape.window + shape.step * np.arange(shape.decisions)
        audible = np.zeros(shape.frames, bool)
        for begin, end in itertools.pairwise(bounds):
            fade = 0
            if end < shape.frames:
                drawn = random.random()
                if drawn < airing.cross_fade_p:
                    fade = int(random.uniform(*airing.cross_fade_s) * shape.rate)
                elif drawn < airing.cross_fade_p + airing.pause_p:
                    fade = -int(random.uniform(*airing.pause_s) * shape.rate)
            first = max(0, begin)
            last = min(shape.frames, end + fade) if fade else end
            last = max(last, first + 1)
            track = self.tracks[self._draw(random)]
            rendering = int(random.integers(len(track.pictures)))
            picture = track.pictures[rendering]
            level, start = self._piece(track, picture, last - first, random)
            gain = self._tone(random)
            piece = np.exp(level + gain)
            piece *= np.float32(10 ** (random.uniform(-airing.level_db, airing.level_db) / 10))
            piece += self._under(track, last - first, random)
            if fade > 0:
                ramp = np.linspace(1.0, 0.0, last - end + 1, dtype=np.float32)[1:] ** 2
                piece[end - first :] *= ramp[: last - end, None]
            if begin > 0 and self._fading > 0:
                rise = min(self._fading, last - first)
                ramp = np.linspace(0.0, 1.0, rise + 1, dtype=np.float32)[1:] ** 2
                piece[:rise] *= ramp[:, None]
            self._fading = max(fade, 0)
            power[first:last] += piece
            middle = slice(first, min(last, end))
            length = middle.stop - middle.start
            frame = start + np.arange(length)
            block = frame * picture.speed / shape.rate / LEVEL_BLOCK_S
            audible[middle] = track.audible[
                np.minimum(block.astype(np.int64), track.audible.size - 1)
            ]
            place = (first, middle.stop, start)
            self._say(track, rendering, place, ends, targets, lessons, taught)
        self._fading = 0
        covered = targets.sum(axis=1, keepdims=True)
        np.divide(targets, covered, out=targets, where=covered > 0)
        heard = np.concatenate([[0], np.cumsum(audible)])
        loud = (heard[ends] - heard[ends - shape.window]) / shape.window
        weights[:] = (loud >= 0.5) & (covered[:, 0] > 0)
        return power

    _fading = 0

    def _say(
        self,
        track: Track,
        rendering: int,
        place: tuple[int, int, int],
        ends: NDArray[np.int64],
        targets: NDArray[np.float32],
        lessons: NDArray[np.float32],
        taught: NDArray[np.float32],
    ) -> None:
        """Add the share that a piece has in each decision's window, and the teacher's words."""
        shape = self.shape
        first, last, start = place
        share = np.minimum(last, ends) - np.maximum(first, ends - shape.window)
        share = np.clip(share, 0, None) / shape.window
        seconds = (start + ends - first) / shape.rate
        at = np.rint((seconds - 1.0) / LEVEL_BLOCK_S).astype(np.int64)
        targets += share[:, None].astype(np.float32) * track.targets
        if track.lessons is not None:
            alone = share > 0.95
            lesson = track.lessons[rendering]
            at = np.clip(at, 0, len(lesson) - 1)
            lessons[alone] = lesson[at[alone]]
            taught[alone] = 1.0

    def _bounds(self, pieces: int, random: np.random.Generator) -> list[int]:
        shape = self.shape
        least = int(_LEAST_PIECE_S * shape.rate)
        free = shape.frames - pieces * least
        if free <= 0:
            return [0, shape.frames]
        cuts = np.sort(random.integers(0, free + 1, pieces - 1))
        inner = [int(cut) + least * (n + 1) for n, cut in enumerate(cuts)]
        return [0, *inner, shape.frames]

    def _draw(self, random: np.random.Generator) -> int:
        found = int(np.searchsorted(self.cumulative, random.random(), side="right"))
        return min(found, len(self.tracks) - 1)

    def _piece(
        self, track: Track, picture: Picture, length: int, random: np.random.Generator
    ) -> tuple[NDArray[np.float32], int]:
        """``length`` frames of a track, from an audible place; short tracks begin again."""
        frames = picture.frames
        room = max(1, len(frames) - length + 1)
        for _ in range(4):
            start = int(random.integers(room))
            begin = int(start * picture.speed / self.shape.rate / LEVEL_BLOCK_S)
            if track.audible[begin : begin + 8].mean() >= 0.5:
                break
        if start + length <= len(frames):
            return frames[start : start + length].astype(np.float32), start
        index = (start + np.arange(length)) % len(frames)
        return frames[index].astype(np.float32), start

    def _tone(self, random: np.random.Generator) -> NDArray[np.float32]:
        """Gains in natural logarithms ``[n_mels]`` of a random equaliser."""
        augment = self.augment
        if random.random() >= augment.equalise_p:
            return np.zeros(self._mels, np.float32)
        points = random.uniform(-1, 1, _EQUALISER_POINTS) * augment.equalise_db * _DB
        place = np.linspace(0, _EQUALISER_POINTS - 1, self._mels)
        left = np.minimum(place.astype(int), _EQUALISER_POINTS - 2)
        share = 0.5 - 0.5 * np.cos(np.pi * (place - left))
        return np.asarray(points[left] * (1 - share) + points[left + 1] * share, np.float32)

    def _under(
        self, track: Track, length: int, random: np.random.Generator
    ) -> NDArray[np.float32] | float:
        """Music under speech, or everyday noise under music: its power, quieter."""
        if track.label in self.speech and random.random() < self.augment.talk_over_p:
            pool, decibels = self.music, self.augment.talk_over_db
        elif track.label not in self.noise and random.random() < self.airing.noise_under_p:
            pool, decibels = self.noises, self.airing.noise_under_db
        else:
            return 0.0
        if not pool.size:
            return 0.0
        other = self.tracks[int(random.choice(pool))]
        level, _ = self._piece(other, other.pictures[0], length, random)
        return np.asarray(np.exp(level - np.float32(random.uniform(*decibels) * _DB)))

    @torch.no_grad()
    def _received(self, power: Tensor, random: np.random.Generator) -> Tensor:
        """What a receiver makes of ``[passages, frames, n_mels]``: log-mel with its floor."""
        augment, count = self.augment, power.shape[0]

        def chosen(probability: float) -> Tensor:
            return torch.from_numpy(random.random(count) < probability)

        def drawn(low: float, high: float) -> Tensor:
            return torch.from_numpy(random.uniform(low, high, count).astype(np.float32))

        level = power.mean(dim=2)
        if self.airing.compress_p:
            smooth = nn.functional.avg_pool1d(
                level[:, None], _COMPRESSOR_FRAMES, 1, _COMPRESSOR_FRAMES // 2
            )[:, 0]
            smooth = (smooth + spectrograms.FLOOR).log()
            over = (smooth - smooth.mean(dim=1, keepdim=True)).clamp(min=-4.0)
            ratio = drawn(0.2, 0.7) * chosen(self.airing.compress_p)
            power = power * torch.exp(-ratio[:, None] * over)[:, :, None]
        mean = power.mean(dim=(1, 2)) + spectrograms.FLOOR
        if augment.noise_p:
            # White to brown, as it is in mel bands of growing width; its power in a band of one
            # frame is exponentially distributed.
            slope = drawn(-0.06, 0.03)[:, None] * torch.arange(self._mels)[None, :]
            shape = torch.softmax(slope, dim=1) * self._mels
            ratio = torch.exp(-drawn(*augment.noise_snr_db) * _DB) * chosen(augment.noise_p)
            generator = torch.Generator().manual_seed(int(random.integers(1 << 31)))
            fluctuation = -torch.rand(power.shape, generator=generator).clamp(min=1e-7).log()
            power = power + (mean * ratio)[:, None, None] * shape[:, None, :] * fluctuation
        if augment.low_pass_p:
            hertz = drawn(*augment.low_pass_hz)
            cut = torch.from_numpy(np.searchsorted(self.band_hertz, hertz.numpy())).float()
            above = (torch.arange(self._mels)[None, :] - cut[:, None]).clamp(min=0.0)
            fall = (above * _LOW_PASS_DB_A_BAND).clamp(max=_LOW_PASS_MOST_DB) * _DB
            power = power * torch.exp(-fall * chosen(augment.low_pass_p)[:, None])[:, None, :]
        if augment.level_dbfs != "own":
            wanted = drawn(*augment.level_dbfs) - spectrograms.LEVEL_DBFS
            power = power * torch.exp(wanted * _DB)[:, None, None]
        logmel = torch.log(power + self.floor)
        return self._masked(logmel, random)

    def _masked(self, logmel: Tensor, random: np.random.Generator) -> Tensor:
        """SpecAugment's masks (Park et al., 2019) over bands and, short, over time."""
        augment = self.augment
        mean = logmel.mean(dim=(1, 2))
        for picture in range(logmel.shape[0]):
            for _ in range(augment.frequency_masks):
                width = int(random.integers(augment.frequency_mask + 1))
                begin = int(random.integers(self._mels - width + 1))
                logmel[picture, :, begin : begin + width] = mean[picture]
            for _ in range(augment.time_masks * max(1, logmel.shape[1] // 300)):
                width = int(random.integers(augment.time_mask + 1))
                begin = int(random.integers(logmel.shape[1] - width + 1))
                logmel[picture, begin : begin + width] = mean[picture]
        return logmel
