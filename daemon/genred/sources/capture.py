"""Captures one sound device, in a process of its own: what the daemon must be safe from.

::

    python -m genred.sources.capture DEVICE RATE CHANNELS FD PARENT

Sound libraries look for devices once in a process, lose some memory with each look, and may hang
or spin for ever when a sound server dies under them. All that ends with this process, which is
killed and begun anew. It is kept small: nothing of numpy, pydantic or the rest of genred.

In one line of JSON on standard output it says what it has opened (:class:`Opened`) or why it
cannot, and later why it has to end. Samples go into the pipe ``FD``, block by block: a
:data:`HEADER` and ``block`` frames of float32. It reads instead of being called back: a device
that breaks is then an error, and no thread of PortAudio's is there to hang.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys
import time
from typing import Any, Final, NamedTuple, TypedDict

from genred.errors import GenredError, InternalError, UnavailableError
from genred.sources import portaudio

MOST_CHANNELS: Final = 2
"""Channels that are opened where nothing is said: more than stereo is no broadcast."""
BLOCK_S: Final = 0.05
"""Audio in a block: so much later than its sound the end of a hop is known at worst."""
LATENCY_S: Final = 0.1
"""Audio that PortAudio keeps in hand. Measured through PulseAudio: 0.4 % of a core, where its own
35 ms ("high") cost 1.2 %."""
LOOK_S: Final = 0.01
"""How often it is asked for the first samples. To wait for them in PortAudio was seen to take all
of a core, for the 1.8 s that a PulseAudio server takes to send any."""

HEADER: Final = struct.Struct("<dII")
"""Before each block: when its last sample was at hand (seconds of the monotonic clock); is sound
missing before it (0 or 1); how many frames of that were thrown away because nobody read."""

_PR_SET_PDEATHSIG: Final = 1
"""From Linux' ``prctl.h``."""


class Opened(TypedDict):
    """What it says of the device it has opened."""

    device: str
    rate: int
    channels: int
    block: int
    """Frames."""
    latency_s: float
    """From the sound to the moment it can be read, as PortAudio has it."""


class Refused(TypedDict):
    """What it says where it cannot, or can no longer; as in :class:`genred.errors.GenredError`."""

    message: str
    hint: str
    exit_code: int


class Wanted(NamedTuple):
    """What is to be opened."""

    device: str
    rate: int
    """Samples a second; 0 for the device's own."""
    channels: int
    """0 for those it has, at most :data:`MOST_CHANNELS`."""


def main(arguments: list[str]) -> int:
    """Capture until nobody reads any more; the exit code of what went wrong otherwise."""
    # A Ctrl-C goes to all processes at a terminal, and systemd's stop to all of a service; this
    # one ends when the daemon lets go of it.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    device, rate, channels, fd, parent = arguments
    _end_with(int(parent))
    # What libraries print must not be taken for what is said here.
    words = os.dup(1)
    os.dup2(2, 1)
    try:
        _capture(Wanted(device, int(rate), int(channels)), int(fd), words)
    except BrokenPipeError:
        return 0
    except GenredError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - the daemon says it, there is nobody else to
        failure = InternalError(f"a fault in genred: {type(error).__name__}: {error}")
    said = Refused(message=failure.message, hint=failure.hint, exit_code=failure.exit_code)
    _say(words, said)
    return failure.exit_code


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        raise SystemExit(0)


def _say(words: int, what: Opened | Refused) -> None:
    os.write(words, json.dumps(what).encode() + b"\n")


def _capture(wanted: Wanted, fd: int, words: int) -> None:
    """Raises :class:`UnavailableError` when the device is not there, refuses or breaks."""
    sounddevice = portaudio.library()
    device = portaudio.choose(wanted.device)
    rate = wanted.rate or device.rate
    channels = wanted.channels or min(device.channels, MOST_CHANNELS)
    block = round(rate * BLOCK_S)
    try:
        stream = sounddevice.RawInputStream(
            device=device.index,
            samplerate=rate,
            channels=channels,
            dtype="float32",
            blocksize=block,
            latency=LATENCY_S,
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UnavailableError(
            f"sound device {wanted.device!r} cannot be opened with {channels} channels at"
            f" {rate} Hz: {error.args[0]}",
            "is another program using it? genred devices shows what it can do",
        ) from None
    latency_s = float(stream.latency)
    _say(
        words,
        Opened(device=device.name, rate=rate, channels=channels, block=block, latency_s=latency_s),
    )
    try:
        _pour(stream, block, rate, fd)
    except sounddevice.PortAudioError as error:
        raise UnavailableError(
            f"sound device {wanted.device!r} broke off: {_reason(error)}", "was it unplugged?"
        ) from None
    # sounddevice closes it when the process ends, after all is said: with a device that is gone
    # even that may hang.


def _reason(error: Any) -> str:
    """The host's words (``Input/output error``) where PortAudio has none of its own."""
    if len(error.args) > 2:
        return str(error.args[2][2])
    return str(error.args[0])


def _pour(stream: Any, block: int, rate: int, fd: int) -> None:
    """Blocks out of the device into the pipe; raises ``BrokenPipeError`` when nobody reads."""
    # A daemon that stands still must not make this process wait: the device would run over, and
    # what is old then be taken for new.
    os.set_blocking(fd, False)
    while stream.read_available == 0:
        time.sleep(LOOK_S)
    unsent: memoryview[int] = memoryview(b"")
    first, broken, lost = True, False, 0
    while True:
        samples, overflowed = stream.read(block)
        broken |= overflowed
        at = time.monotonic()
        if first or broken:  # more may have come with it than a block, and times start here
            at -= stream.read_available / rate
            first = False
        unsent = _send(fd, unsent)
        if unsent:
            broken, lost = True, lost + block
        else:
            unsent = _send(fd, memoryview(HEADER.pack(at, broken, lost) + bytes(samples)))
            broken, lost = False, 0


def _send(fd: int, data: memoryview[int]) -> memoryview[int]:
    """Write what there is room for; the rest."""
    if not data:
        return data
    try:
        return data[os.write(fd, data) :]
    except BlockingIOError:
        return data


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
