"""Raw PCM from standard input or a FIFO: ``rtl_fm … | genred run --source -``."""

from __future__ import annotations

import fcntl
import math
import os
import select
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from genred.errors import InputError, UsageError
from genred.resample import Channel, Resampler
from genred.sources.base import StreamInfo

if TYPE_CHECKING:
    from pathlib import Path

    from genred.clock import Clock
    from genred.sources.base import Intake

PcmFormat = Literal["s16le", "f32le"]

DEFAULT_RATE = 48_000
"""Samples a second where nothing is said."""
POLL_S = 0.25
"""How often a silent writer is asked whether it must stop: well within the time a stop may take."""
STALL_S = 2.0
"""No bytes for so long is a gap: the writer has paused (a squelch, say), and what comes next was
captured later than counting samples would have it."""
READ_BYTES = 65536
"""At most so much a read: what a pipe holds on Linux."""

GATHER_S: Final = 0.04
"""What comes in little portions, but faster than it would be heard, is read at most this often:
each costs some work, however small it is."""
LEAD_S: Final = 1.0
"""A writer whose sound is ahead of the clock by so much does not write as it hears: it is read as
fast as it writes. Above what a pipe (64 KiB) holds while the daemon starts."""
AS_IT_HEARS: Final = 1.02
"""A writer this much faster than real time still writes as it hears, after a burst perhaps."""

WAITED_S: Final = 5e-4
"""What comes later than that after it was asked for was not there yet."""
SETTLE_S: Final = 1e-3
"""So long after its time a block has come, as a rule: waiting for it would be one more wake-up."""
LONGEST_BLOCK_S: Final = 0.05
"""A longer one may be several: to sleep by it could be to sleep too long."""
TOO_FAST: Final = 0.999
"""Blocks are taken to come this much sooner than they do: in a second by as much as that."""

_DTYPES: dict[str, str] = {"s16le": "<i2", "f32le": "<f4"}


class PcmReader:
    """Bytes in any portions in, whole frames as float32 ``[n, channels]`` out."""

    def __init__(self, sample_format: PcmFormat, channels: int) -> None:
        self._dtype = np.dtype(_DTYPES[sample_format])
        self._channels = channels
        self._frame = self._dtype.itemsize * channels
        self._rest = b""

    def push(self, data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """The frames that ``data`` completes; a started frame waits for its other bytes."""
        data = self._rest + data
        whole = len(data) - len(data) % self._frame
        self._rest = data[whole:]
        block = np.frombuffer(data[:whole], self._dtype).reshape(-1, self._channels)
        if self._dtype.kind == "i":
            return block.astype(np.float32) / np.float32(32768.0)
        return block.astype(np.float32)


class _PcmReading:
    """What the sources of raw PCM share: how samples are read from a file descriptor."""

    synthetic = False

    def __init__(
        self,
        clock: Clock,
        sample_format: PcmFormat,
        rate: int | None,
        channels: int | None,
        channel: Channel,
    ) -> None:
        self._clock = clock
        self._format: PcmFormat = sample_format
        self._rate = rate or DEFAULT_RATE
        self._channels = channels or 1
        self._channel: Channel = channel

    def _words(self) -> str:
        return f"{self._format}, {self._rate} Hz, {self._channels} ch"

    def _read(self, fd: int, intake: Intake) -> int:
        """Pass on what comes until the end; how many frames that was."""
        reader = PcmReader(self._format, self._channels)
        resampler = Resampler(intake.rate, self._channel)
        pace = _Pace(self._clock)
        second = self._rate * self._channels * np.dtype(_DTYPES[self._format]).itemsize
        most = _pipe_bytes(fd) / 2 / second
        heard, held, wanted = 0, b"", 0.0
        poll = select.poll()  # select() fails for descriptors from 1024 on
        poll.register(fd, select.POLLIN)
        while not intake.stopping.is_set():
            asked = self._clock.monotonic()
            if poll.poll(POLL_S * 1000):
                data = os.read(fd, READ_BYTES)
                pace.came(len(data) / second, asked)
                held += data
                if data and len(data) < READ_BYTES and pace.as_heard and len(held) < wanted:
                    continue  # the rest of the hop is just about to come
            elif held:
                data = held  # or not: a pause
            else:
                if pace.quiet_s > STALL_S:
                    intake.gap("no samples are coming in")
                    resampler.reset()
                continue
            frames = reader.push(held)
            heard, held = heard + len(frames), b""
            if not intake.write_all(resampler.push(frames, self._rate)):
                break
            if not data:
                intake.write_all(resampler.flush())
                break
            rest_s = intake.due() + resampler.latency_s
            wanted = rest_s * second
            if pace.as_heard:
                # Asleep until the hop is there, or the pipe half full: what came meanwhile in
                # many portions costs no more than one.
                intake.stopping.wait(min(pace.until(rest_s), most))
            elif len(data) < GATHER_S * second:
                intake.stopping.wait(GATHER_S)
        return heard


class _Pace:
    """Does a writer write as it hears, in blocks of which length, and when does the next one come.

    A block that was waited for has come just now, and is as long as what was read then. From there
    on blocks are counted, a little too fast: once in a while one is waited for again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lead_s = 0.0
        self._at = clock.monotonic()
        self._block_s = 0.0
        self._came = 0.0

    def came(self, seconds: float, asked: float) -> None:
        """So much sound has come, just now; since ``asked`` it was waited for."""
        now = self._clock.monotonic()
        self._lead_s = max(self._lead_s - AS_IT_HEARS * (now - self._at), 0.0) + seconds
        self._at = now
        if now - asked > WAITED_S:
            self._block_s = seconds if seconds <= LONGEST_BLOCK_S else 0.0
            self._came = now

    def until(self, seconds: float) -> float:
        """How long to sleep until the block has come that completes so much more sound."""
        if self._block_s == 0:
            return seconds
        blocks = math.ceil(seconds / self._block_s - 1e-6)
        self._came += blocks * self._block_s * TOO_FAST
        return max(self._came + SETTLE_S - self._clock.monotonic(), 0.0)

    @property
    def as_heard(self) -> bool:
        """Is its sound no further than that ahead of the clock."""
        return self._lead_s <= LEAD_S

    @property
    def quiet_s(self) -> float:
        """For how long nothing has come."""
        return self._clock.monotonic() - self._at


def _pipe_bytes(fd: int) -> int:
    """What the pipe ``fd`` holds; where it is none, what pipes hold as a rule."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:
        return READ_BYTES


class PcmSource(_PcmReading):
    """Raw PCM from the file descriptor ``fd``, which stays open; its writer sets the pace.

    Nothing is dropped: while the analysis is behind, the writer waits. Ends when the writer ends.
    Raises :class:`UsageError` for a terminal.
    """

    live = False

    def __init__(
        self,
        fd: int,
        clock: Clock,
        *,
        sample_format: PcmFormat = "s16le",
        rate: int | None = None,
        channels: int | None = None,
        channel: Channel = "mix",
    ) -> None:
        super().__init__(clock, sample_format, rate, channels, channel)
        self._fd = fd
        self.description = f"standard input ({self._words()})"
        if os.isatty(fd):
            raise UsageError(
                "standard input is a terminal, not a stream of samples",
                "pipe raw PCM into it: rtl_fm … | genred run --source -",
            )

    def run(self, intake: Intake) -> None:
        """Read until the writer closes its end."""
        intake.listening()
        if self._read(self._fd, intake) == 0 and not intake.stopping.is_set():
            raise InputError(
                "standard input ended without a sample", "does the program that writes to it work?"
            )


class FifoSource(_PcmReading):
    """Raw PCM from a named pipe; live: when its writer leaves, the next one is waited for."""

    live = True

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        sample_format: PcmFormat = "s16le",
        rate: int | None = None,
        channels: int | None = None,
        channel: Channel = "mix",
    ) -> None:
        super().__init__(clock, sample_format, rate, channels, channel)
        self._path = path
        self.description = f"pipe {path} ({self._words()})"

    def run(self, intake: Intake) -> None:
        """Wait for a writer and read until it leaves."""
        try:
            # Without O_NONBLOCK, opening itself would wait for a writer, and could not be stopped.
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}") from None
        try:
            intake.info(StreamInfo(station=self._path.name))
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            # POLLHUP alone means that no writer has come yet; it is reported at once.
            while not any(event & select.POLLIN for _, event in poll.poll(POLL_S * 1000)):
                if self._clock.wait(intake.stopping, POLL_S):
                    return
            intake.listening()
            self._read(fd, intake)
        finally:
            os.close(fd)
