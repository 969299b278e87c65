"""PortAudio's devices: what there is, which one is meant, and a list that stays fresh.

PortAudio looks for devices once, when it is initialised. Looking again means ending it, which
closes every stream of this process; so that happens only while none is open, under one lock.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genred.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_lock = threading.RLock()
_open_streams = 0
_looked = False

DEFAULT = "default"
"""What the system's default input is called in the configuration."""


@dataclass(frozen=True, slots=True)
class InputDevice:
    """A device that sound can be captured from."""

    index: int
    name: str
    host_api: str
    channels: int
    rate: int
    """The rate it runs at by itself, samples a second."""
    default: bool

    @property
    def source(self) -> str:
        """What to write as ``source`` in the configuration."""
        return f"device:{self.name}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A device that is being captured from."""

    device: InputDevice
    latency_s: float
    """From the sound to the callback, as PortAudio has it."""


def library() -> Any:
    """The module ``sounddevice``; :class:`UnavailableError` where PortAudio is not installed."""
    try:
        import sounddevice  # noqa: PLC0415 - PortAudio may be missing, and costs 0.1 s
    except OSError as error:
        raise UnavailableError(
            f"sound devices need PortAudio, and it cannot be loaded: {error}",
            "on Debian: apt-get install libportaudio2",
        ) from None
    return sounddevice


def input_devices() -> list[InputDevice]:
    """All devices with an input, as they are now where no stream is open."""
    with _lock:
        return _list(library())


def choose(wanted: str) -> InputDevice:
    """The device called ``wanted``: ``default``, an index, a name or a part of one.

    An exact name goes before a part of one, and upper case is as good as lower. Raises
    :class:`UnavailableError`, listing what there is, where none or more than one fits.
    """
    devices = input_devices()
    if wanted.lower() == DEFAULT:
        fits = [device for device in devices if device.default] or [
            device for device in devices if device.name == DEFAULT
        ]
    elif wanted.isdecimal():
        fits = [device for device in devices if device.index == int(wanted)]
    else:
        name = wanted.casefold()
        fits = [device for device in devices if device.name.casefold() == name] or [
            device for device in devices if name in device.name.casefold()
        ]
    if len(fits) == 1:
        return fits[0]
    if not devices:
        raise UnavailableError(
            f"no input device {wanted!r}: this machine has none at all",
            "is the sound card plugged in, and may this user (group 'audio') open it?",
        )
    there = ", ".join(f"{device.index} {device.name!r}" for device in fits or devices)
    if fits:
        raise UnavailableError(f"more than one input device fits {wanted!r}: {there}", "name one")
    raise UnavailableError(f"no input device {wanted!r}; there are {there}", "genred devices")


@contextmanager
def opened(wanted: str, options: Callable[[InputDevice], dict[str, Any]]) -> Iterator[Opened]:
    """Choose the device ``wanted`` and capture from it; the stream is closed at the end.

    ``options`` are those of ``sounddevice.InputStream``. While a stream is open, the list of
    devices is not looked up anew. Raises what :func:`choose` raises, and
    ``sounddevice.PortAudioError``.
    """
    global _open_streams  # noqa: PLW0603 - PortAudio's state is the process's
    sounddevice = library()
    with _lock:
        device = choose(wanted)
        try:
            stream = sounddevice.InputStream(device=device.index, **options(device))
        except ValueError as error:
            raise UnavailableError(f"sound device {device.name!r}: {error}") from None
        _open_streams += 1
    try:
        stream.start()
        yield Opened(device, float(stream.latency))
    finally:
        with _lock:
            # Not stop(): it would wait for a dead device to play out.
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)
            _open_streams -= 1


def _list(sounddevice: Any) -> list[InputDevice]:
    global _looked  # noqa: PLW0603
    if _looked and _open_streams == 0:
        # There is no public way, https://github.com/spatialaudio/python-sounddevice/issues/125.
        sounddevice._terminate()  # noqa: SLF001
        sounddevice._initialize()  # noqa: SLF001
    _looked = True
    default = sounddevice.default.device[0]
    hosts = sounddevice.query_hostapis()
    return [
        InputDevice(
            index=device["index"],
            name=device["name"],
            host_api=hosts[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            rate=round(device["default_samplerate"]),
            default=device["index"] == default,
        )
        for device in sounddevice.query_devices()
        if device["max_input_channels"] > 0
    ]
