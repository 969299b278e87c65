"""The one streaming resampler: any rate and channels in, mono at the model's rate out.

A windowed sinc for a rational ratio of rates (Crochiere and Rabiner, "Multirate Digital Signal
Processing", 1983; the window is Kaiser's), with 128 taps a phase. Measured from 44.1 and 48 kHz to
16 kHz: flat to 7.5 kHz (-0.1 dB), -94 dB from 8.2 kHz on. Its phases stand in one matrix, which
makes tens of output samples at once of the input around them: one product a block, and hardly more
multiplications than the filter has. Rates without a common measure (44,100 and 16,000 Hz
have 100, 44,099 and 16,000 have none) go through FFmpeg's libswresample, with the same filter.

Sample *k* of the output is the input at time *k* / ``rate_out`` exactly (no delay in the data);
what comes late is the call that returns it: output lags input by :attr:`Resampler.latency_s`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

Channel = Literal["mix", "left", "right"]

TAPS = 128
"""Length of the filter a phase, in samples of the lower of the two rates."""
CUTOFF = 0.97
"""Where the filter begins to fall, as a share of half the lower rate."""
BETA: Final = 9.0
"""Shape of Kaiser's window: 90 dB and more of attenuation."""
TOGETHER: Final = 32
"""At least so many output samples are made by one row of the product: the fewer, the more often
the same input is gathered; the more, the more zeros are multiplied."""
LARGEST_MATRIX: Final = 2**19
"""Coefficients (2 MB) beyond which a ratio is left to libswresample."""
LIMIT = 8.0
"""Louder samples (18 dB over full scale) are no sound but a fault of the sender, and are cut off:
one absurd value would otherwise ring on in the model's state."""


_NOTHING: Final = np.empty(0, np.float32)


def one_channel(block: Samples, channel: Channel) -> Samples:
    """One channel of a block, as :func:`to_mono`, but with all that is no sound in it."""
    if block.ndim == 1 or block.shape[1] == 1:
        return block.reshape(-1).astype(np.float32, copy=False)
    if channel != "mix":
        return np.ascontiguousarray(block[:, 0 if channel == "left" else 1], np.float32)
    # numpy's mean over so short an axis takes ten times as long.
    mono = block[:, 0].astype(np.float32)
    for other in range(1, block.shape[1]):
        mono += block[:, other]
    mono *= np.float32(1 / block.shape[1])
    return mono


def to_mono(block: Samples, channel: Channel = "mix") -> Samples:
    """One channel ``[n]`` of ``block`` ``[n, channels]`` (or ``[n]``).

    ``mix`` is the mean of all channels. Of a mono block every ``channel`` is the one there is.
    Values that are not finite become 0, absurd ones are cut off at :data:`LIMIT`.
    """
    return cleaned(one_channel(block, channel))


def cleaned(mono: Samples) -> Samples:
    """``mono`` without what is no sound, as :func:`to_mono` has it."""
    # The comparison is false for NaN, so that one pass finds both faults.
    if len(mono) and not float(np.abs(mono).max()) <= LIMIT:
        mono = np.clip(np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0), -LIMIT, LIMIT)
    return mono


class Resampler:
    """Blocks at any rate in, mono float32 blocks at ``rate_out`` out; one for each stream.

    The rate may change from block to block: what is left of the old rate is flushed first. Over a
    stretch of one rate, flushed, the output has ``round(n * rate_out / rate)`` samples.

    What comes in small blocks is gathered for ``gather_s`` and then resampled at once: where
    nobody waits for it, a codec's frame of 20 ms costs nearly as much as ten of them.
    """

    def __init__(self, rate_out: int, channel: Channel = "mix", gather_s: float = 0.0) -> None:
        if rate_out < 1:
            raise ValueError("a rate is positive")
        self.rate_out = rate_out
        self.channel: Channel = channel
        self.gather_s = gather_s
        self._rate_in = 0
        self._parts: list[Samples] = []
        self._gathered = 0
        self._stretch: _Stretch | None = None
        self._fed = 0
        self._made = 0

    @property
    def latency_s(self) -> float:
        """Seconds by which output lags input; 0 before the first block and where rates agree.

        What is gathered comes on top of it.
        """
        if self._rate_in in (0, self.rate_out):
            return 0.0
        return half_width(self._rate_in, self.rate_out) / self._rate_in

    def push(self, block: Samples, rate: int) -> Samples:
        """Add ``block`` (float32 ``[n, channels]`` or ``[n]`` at ``rate``); what is ready, ``[m]``.

        Raises ``ValueError`` for a rate that is not positive.
        """
        if rate < 1:
            raise ValueError("a rate is positive")
        tail = self.flush() if rate != self._rate_in else None
        self._rate_in = rate
        if rate == self.rate_out:
            made = to_mono(block, self.channel)
        else:
            self._parts.append(one_channel(block, self.channel))
            self._gathered += len(block)
            made = _NOTHING if self._gathered < self.gather_s * rate else self._convert()
        return made if tail is None or len(tail) == 0 else np.concatenate([tail, made])

    def _convert(self) -> Samples:
        """What comes of all that was gathered."""
        mono = cleaned(np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0])
        self._parts, self._gathered = [], 0
        if len(mono) == 0:
            return _NOTHING
        if self._stretch is None:
            self._stretch = _stretch(self._rate_in, self.rate_out)
        made = self._stretch.push(mono)
        self._fed += len(mono)
        self._made += len(made)
        return made

    def flush(self) -> Samples:
        """What is still inside, ``[m]``; the next block begins a new stretch."""
        last = self._convert() if self._parts else _NOTHING
        if self._stretch is None:
            return last
        rest = self._stretch.flush()
        owed = round(Fraction(self._fed * self.rate_out, self._rate_in)) - self._made
        # libswresample ends a stream one sample early or late, depending on the phase.
        rest = rest[:owed] if len(rest) >= owed else np.pad(rest, (0, owed - len(rest)))
        self.reset()
        return np.concatenate([last, rest]) if len(last) else rest

    def reset(self) -> None:
        """Forget what is inside: the next block has nothing to do with the last."""
        self._stretch = None
        self._rate_in = self._fed = self._made = self._gathered = 0
        self._parts = []


def half_width(rate_in: int, rate_out: int) -> float:
    """Samples at ``rate_in`` that the filter reaches to either side."""
    return TAPS / 2 / _cutoff(rate_in, rate_out)


def _cutoff(rate_in: int, rate_out: int) -> float:
    """Where the filter begins to fall, as a share of half of ``rate_in``."""
    return min(CUTOFF * rate_out / rate_in, 1.0)


class _Stretch(Protocol):
    """A stretch of one rate."""

    def push(self, mono: Samples) -> Samples:
        """Add samples ``[n]``, at least one; what is ready, ``[m]``."""
        ...

    def flush(self) -> Samples:
        """What is still inside, ``[m]``: all that is owed, or a few samples more or less."""
        ...


def _stretch(rate_in: int, rate_out: int) -> _Stretch:
    measure = math.gcd(rate_in, rate_out)
    up, down = rate_out // measure, rate_in // measure
    reach = math.ceil(half_width(rate_in, rate_out))
    blocks = -(-TOGETHER // up)
    if blocks * up * (blocks * down + 2 * reach) > LARGEST_MATRIX:
        return _Swresample(rate_in, rate_out)
    return _Polyphase(up, down, blocks, reach, _cutoff(rate_in, rate_out))


@lru_cache(maxsize=4)
def _matrices(up: int, down: int, blocks: int, reach: int, cutoff: float) -> Samples:
    """The filter ``[pieces, take, make]``: of pieces of input to ``make = blocks * up`` outputs.

    A piece is the input that one row of outputs takes the place of, ``blocks * down`` samples; the
    first one begins ``reach`` before the first output.
    """
    take, make = blocks * down, blocks * up
    pieces = -(-(take + 2 * reach) // take)
    inputs = np.arange(pieces * take)[:, None] - reach
    away = inputs - np.arange(make) * down / up
    window = np.i0(BETA * np.sqrt(np.maximum(1 - (away * 2 * cutoff / TAPS) ** 2, 0)))
    window[np.abs(away) * cutoff > TAPS / 2] = 0
    weights = np.sinc(away * cutoff) * window
    weights /= weights.sum(axis=0)  # whatever the phase, a constant stays what it is
    return weights.astype(np.float32).reshape(pieces, take, make)


class _Polyphase:
    """For a ratio ``up / down`` without common divisor: ``blocks * up`` outputs at once.

    Before the first sample and after the last one the sound is taken to go on as its mirror image:
    from nothing it would begin with a click.
    """

    def __init__(self, up: int, down: int, blocks: int, reach: int, cutoff: float) -> None:
        self._up, self._down, self._reach = up, down, reach
        self._weights = _matrices(up, down, blocks, reach, cutoff)
        self._take, self._make = blocks * down, blocks * up
        self._held: Samples = np.empty(0, np.float32)
        self._first = 0
        """Position of the first sample held; the stretch's own first one is at 0."""
        self._made = 0

    def push(self, mono: Samples) -> Samples:
        """See :class:`_Stretch`."""
        self._held = np.concatenate((self._held, mono))
        fed = self._first + len(self._held)
        ready = -(-(fed - self._reach) * self._up // self._down)
        if ready <= self._made:
            return np.empty(0, np.float32)
        self._begin()
        return self._up_to(ready)

    def flush(self) -> Samples:
        """See :class:`_Stretch`."""
        self._begin()
        fed = self._first + len(self._held)
        self._held = np.pad(self._held, (0, self._reach), mode="symmetric")
        return self._up_to(round(Fraction(fed * self._up, self._down)))

    def _begin(self) -> None:
        if self._first == 0:
            self._held = np.pad(self._held, (self._reach, 0), mode="reflect")
            self._first = -self._reach

    def _up_to(self, ready: int) -> Samples:
        """Make all outputs before ``ready`` that were not made yet."""
        begin = self._made // self._make
        rows = -(-ready // self._make) - begin
        held = self._held[begin * self._take - self._reach - self._first :]
        missing = (rows + len(self._weights) - 1) * self._take - len(held)
        # What is not there yet concerns only outputs of the last rows that are not ready.
        whole = np.concatenate((held, np.zeros(missing, np.float32))) if missing > 0 else held
        made = np.zeros((rows, self._make), np.float32)
        for piece, weights in enumerate(self._weights):
            start = piece * self._take
            made += whole[start : start + rows * self._take].reshape(rows, -1) @ weights
        start = self._made - begin * self._make
        self._made = ready
        keep = ready // self._make * self._take - self._reach
        self._held = self._held[keep - self._first :]
        self._first = keep
        return made.reshape(-1)[start : ready - begin * self._make]


class _Swresample:
    """libswresample through PyAV, for any ratio."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        import av  # noqa: PLC0415 - 18 MB that raw samples at a common rate need not cost

        self._av = av
        self._rate_in = rate_in
        self._graph = av.AudioResampler(
            format="flt",
            layout="mono",
            rate=rate_out,
            options={"filter_size": str(TAPS), "cutoff": str(CUTOFF)},
        )
        self._fed = 0

    def push(self, mono: Samples) -> Samples:
        """See :class:`_Stretch`."""
        frame = self._av.AudioFrame.from_ndarray(mono.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = self._rate_in
        frame.time_base = Fraction(1, self._rate_in)
        frame.pts = self._fed
        self._fed += len(mono)
        return _join(self._graph.resample(frame))

    def flush(self) -> Samples:
        """See :class:`_Stretch`."""
        return _join(self._graph.resample(None))


def _join(frames: list[av.AudioFrame]) -> Samples:
    parts = [frame.to_ndarray().reshape(-1) for frame in frames]
    if not parts:
        return np.empty(0, np.float32)
    # A copy: the array must not lean on a buffer that FFmpeg uses again.
    if len(parts) == 1:
        return parts[0].astype(np.float32)
    return np.concatenate(parts).astype(np.float32, copy=False)
