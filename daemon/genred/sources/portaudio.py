"""PortAudio's devices: what there is, and which one is meant.

PortAudio looks for devices once in a process, when it is loaded: whoever wants to know what is
there now begins a process anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from genred.errors import UnavailableError

DEFAULT = "default"
"""What the system's default input is called in the configuration."""


class InputDevice(NamedTuple):
    """A device that sound can be captured from."""

    index: int  # type: ignore[assignment]  # hides a method of tuples that nobody calls
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
    """All devices with an input, as they were when this process first asked."""
    sounddevice = library()
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
