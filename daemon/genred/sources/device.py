"""A sound device: microphone, line-in, or whatever PortAudio can capture from."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

import genred
from genred.errors import GenredError, InternalError, TemporaryError, UnavailableError
from genred.resample import Channel, Resampler
from genred.sources import capture
from genred.sources.base import StreamInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.clock import Clock
    from genred.sources.base import Intake
    from genred.sources.capture import Opened

POLL_S: Final = 0.25
"""How often a silent device is asked whether it must stop: well within the time a stop may take."""
OPEN_S: Final = 10.0
"""To look for the device and open it. It takes 0.3 s; a sound server that stands still never
answers."""
NO_SAMPLES_S: Final = 5.0
"""No samples for so long means a dead device, which raises nothing by itself. Opening a device
through PulseAudio was seen to take 1.9 s to the first of them."""
END_S: Final = 0.5
"""For the capturing process to close its device: it comes by with each block. Then it is killed."""
REAP_S: Final = 1.0
"""For a killed process to end. Only a driver that hangs in the kernel keeps one for longer."""
PIPE_BYTES: Final = 2**20
"""What the pipe holds, at most (Linux allows no more to a user): 2.7 s of 48 kHz in stereo."""
HELD_S: Final = 1.0
"""Audio that is taken out of the pipe at once."""

_NOT_ITS_BUSINESS: Final = ("GENRED_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")
"""Beginnings of the environment's names that the capturing process does not get: passwords, and
where the daemon talks to systemd."""


class DeviceSource:
    """The input device ``device`` (``default``, an index, a name or a part of one).

    At the device's own rate and at most two of its channels unless ``rate`` and ``channels`` say
    otherwise. It is captured by a process of its own (:mod:`genred.sources.capture`), and looked
    for by its name each time. Live: a device that dies or is missing is opened again by the
    runner, wherever it comes back.
    """

    live = True
    synthetic = False

    def __init__(
        self,
        device: str,
        clock: Clock,
        *,
        channel: Channel = "mix",
        rate: int | None = None,
        channels: int | None = None,
    ) -> None:
        self._device = device
        self._clock = clock
        self._channel: Channel = channel
        self._rate = rate
        self._channels = channels
        self.description = f"sound device {device!r}"

    def run(self, intake: Intake) -> None:
        """Capture until told to stop.

        Raises :class:`UnavailableError` when the device is not there, cannot be opened so, or no
        longer delivers, and :class:`TemporaryError` when no process can be started.
        """
        with _Process(self._device, self._rate or 0, self._channels or 0) as process:
            said, began = b"", time.monotonic()
            while not said.endswith(b"\n"):
                if intake.stopping.is_set():
                    return
                if time.monotonic() - began > OPEN_S:
                    raise UnavailableError(
                        f"sound device {self._device!r} did not open within {OPEN_S:.0f} s",
                        "does the sound server answer?",
                    )
                said += process.words(POLL_S)
            answer = json.loads(said)
            if "message" in answer:
                raise _refusal(said)
            opened: Opened = answer
            intake.info(StreamInfo(station=opened["device"]))
            intake.listening()
            self._pump(process, opened, intake)

    def _pump(self, process: _Process, opened: Opened, intake: Intake) -> None:
        """Carry what was captured to the intake, a hop at a time, until told to stop."""
        frames, rate = opened["block"], opened["rate"]
        block = np.dtype(
            [
                *(("at", "<f8"), ("broken", "<u4"), ("lost", "<u4")),
                ("samples", "<f4", (frames, opened["channels"])),
            ]
        )
        block_s = frames / rate
        blocks = np.empty(max(1, round(HELD_S / block_s)), block)
        held = blocks.view(np.uint8).data
        # No longer asleep than it takes to fill half of the pipe.
        most = max(1, min(len(blocks), process.capacity // 2 // block.itemsize))
        filled, wanted = 0, block.itemsize
        resampler = Resampler(intake.rate, self._channel)
        heard = time.monotonic()
        while not intake.stopping.is_set():
            count = process.read(held[filled:], POLL_S)
            if count:
                heard = time.monotonic()
                filled += count
            elif time.monotonic() - heard > NO_SAMPLES_S:
                raise UnavailableError(
                    f"sound device {self._device!r} is silent since {NO_SAMPLES_S:.0f} s",
                    "was it unplugged?",
                )
            whole = filled // block.itemsize
            # What is missing of the hop is just about to come; or not: a pause.
            if whole == 0 or (count and filled < wanted):
                continue
            self._pass_on(blocks[:whole], opened, resampler, intake)
            last = float(blocks["at"][whole - 1])
            rest = filled - whole * block.itemsize
            held[:rest] = held[whole * block.itemsize : filled]
            filled = rest
            due = min(max(1, math.ceil((intake.due() + resampler.latency_s) / block_s)), most)
            wanted = due * block.itemsize
            # Up to half a block before the last of them: what comes meanwhile costs no work.
            asleep_s = last + (due - 0.5) * block_s - time.monotonic()
            if asleep_s > 0:
                intake.stopping.wait(min(asleep_s, due * block_s))

    def _pass_on(
        self,
        blocks: NDArray[np.void],
        opened: Opened,
        resampler: Resampler,
        intake: Intake,
    ) -> None:
        """Write ``blocks``, in stretches between which sound is missing."""
        rate = opened["rate"]
        for stretch in np.split(blocks, np.flatnonzero(blocks["broken"])):
            if len(stretch) == 0:
                continue
            if stretch["broken"][0]:
                intake.overflowed(round(int(stretch["lost"][0]) * intake.rate / rate))
                resampler.reset()
            ago_s = self._clock.monotonic() - float(stretch["at"][0])
            ago_s += opened["latency_s"] + opened["block"] / rate
            samples = stretch["samples"].reshape(-1, opened["channels"])
            intake.write(resampler.push(samples, rate), self._clock.now() - ago_s)


class _Process:
    """The process that captures, and the pipes it is heard by; as a context it ends with it.

    Raises :class:`TemporaryError` when it cannot be started.
    """

    def __init__(self, device: str, rate: int, channels: int) -> None:
        self._device = device
        try:
            self._samples, theirs = os.pipe()
        except OSError as error:
            raise _no_process(error) from None
        try:
            self.capacity = _widened(self._samples)
            what = (device, rate, channels, theirs, os.getpid())
            # -P: nothing is imported from where the daemon happens to be at work.
            self._process = subprocess.Popen(  # noqa: S603 - Python itself
                [sys.executable, "-P", "-m", capture.__name__, *map(str, what)],
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                # ALSA and PortAudio talk there: of cards that are missing, and in a flood.
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs,),
                env=_environment(),
            )
        except OSError as error:
            os.close(self._samples)
            raise _no_process(error) from None
        finally:
            os.close(theirs)
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self._poll, self._words_poll = select.poll(), select.poll()
        self._poll.register(self._samples, select.POLLIN)
        for poll in (self._poll, self._words_poll):
            poll.register(self._stdout, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it: asked by closing its pipe, or killed."""
        os.close(self._samples)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            # One that hangs in the kernel is reaped when the next is started.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(REAP_S)
        self._stdout.close()

    def words(self, timeout_s: float) -> bytes:
        """What it says, as far as there is anything within ``timeout_s``.

        Raises :class:`UnavailableError` when it has ended without a word.
        """
        if not self._words_poll.poll(timeout_s * 1000):
            return b""
        said = os.read(self._stdout.fileno(), select.PIPE_BUF)
        if not said:
            raise self._ended()
        return said

    def read(self, into: memoryview[int], timeout_s: float) -> int:
        """Take samples out of the pipe; how many bytes came within ``timeout_s``.

        Raises what it gives as its reason when it can no longer capture.
        """
        ready = dict(self._poll.poll(timeout_s * 1000))
        if ready.get(self._samples, 0) & select.POLLIN:
            return os.readv(self._samples, [into])
        if ready:
            said = self.words(END_S)
            raise _refusal(said) if said else self._ended()
        return 0

    def _ended(self) -> GenredError:
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            how = "has closed its pipes"
        else:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return UnavailableError(f"sound device {self._device!r}: what captures it {how}")


def _refusal(said: bytes) -> GenredError:
    """The error that a process has told in a line."""
    refused: capture.Refused = json.loads(said)
    kind = InternalError if refused["exit_code"] == InternalError.exit_code else UnavailableError
    return kind(refused["message"], refused["hint"])


def _no_process(error: OSError) -> TemporaryError:
    return TemporaryError(
        f"no process can be started to capture with: {error.strerror}", "see genred doctor"
    )


def _widened(pipe: int) -> int:
    """Let ``pipe`` hold more, where that is allowed; the bytes it holds."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


def _environment() -> dict[str, str]:
    """The daemon's, with the place genred was imported from, and without its secrets."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_ITS_BUSINESS)
    }
    paths = [environment.get("PYTHONPATH", ""), str(Path(genred.__path__[0]).parent)]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    environment["MALLOC_ARENA_MAX"] = "1"
    return environment
