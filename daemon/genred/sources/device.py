"""A sound device: microphone, line-in, or whatever PortAudio can capture from."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from genred.errors import UnavailableError
from genred.resample import Channel, Resampler
from genred.ring import Ring
from genred.sources import portaudio
from genred.sources.base import StreamInfo

if TYPE_CHECKING:
    from genred.clock import Clock
    from genred.sources.base import Intake

MOST_CHANNELS = 2
"""Channels that are opened where nothing is said: more than stereo is no broadcast."""
RING_S = 2.0
"""Audio held between PortAudio's callback and the pump, which comes once a hop."""
PUMP_S = 0.25
"""How often the pump looks around when nothing is to be fetched: well within the time a stop may
take, or until a dead device is noticed."""
BLOCK_S = 0.05
"""Audio a callback brings. Left to itself PortAudio calls up to 180 times a second."""
LATENCY_S = 0.1
"""Audio that PortAudio keeps in hand. Measured through PulseAudio: 0.4 % of a core, where its own
35 ms ("high") cost 1.2 %."""
NO_CALLBACK_S = 5.0
"""No callback for so long means a dead device, which raises nothing by itself. Opening a device
through PulseAudio was seen to take 1.5 s to the first callback."""


class DeviceSource:
    """The input device ``device`` (``default``, an index, a name or a part of one).

    At the device's own rate and at most two of its channels unless ``rate`` and ``channels`` say
    otherwise. Live: a device that dies or is missing is opened again by the runner, found by its
    name wherever it comes back.
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
        self._filled = threading.Event()
        self.description = f"sound device {device!r}"

    def interrupt(self) -> None:
        """End the pump's wait."""
        self._filled.set()

    def run(self, intake: Intake) -> None:
        """Capture until told to stop.

        Raises :class:`UnavailableError` when the device is not there, cannot be opened so, or no
        longer delivers.
        """
        captures: list[_Capture] = []

        def options(device: portaudio.InputDevice) -> dict[str, Any]:
            rate = self._rate or device.rate
            channels = self._channels or min(device.channels, MOST_CHANNELS)
            captures.append(_Capture(rate, channels, self._filled))
            return {
                "samplerate": rate,
                "channels": channels,
                "dtype": "float32",
                "blocksize": round(rate * BLOCK_S),
                "latency": LATENCY_S,
                "callback": captures[0].callback,
            }

        try:
            with portaudio.opened(self._device, options) as opened:
                intake.info(StreamInfo(station=opened.device.name))
                intake.listening()
                self._pump(captures[0], opened.latency_s, intake)
        except portaudio.library().PortAudioError as error:
            how = ""
            if captures:
                how = f" with {captures[0].ring.channels} channels at {captures[0].rate} Hz"
            raise UnavailableError(
                f"sound device {self._device!r} cannot be opened{how}: {error.args[0]}",
                "is another program using it? genred devices shows what it can do",
            ) from None

    def _pump(self, capture: _Capture, latency_s: float, intake: Intake) -> None:
        """Carry what the callback has captured to the intake, until told to stop."""
        ring, rate = capture.ring, capture.rate
        resampler = Resampler(intake.rate, self._channel)
        overflows = 0
        while not intake.stopping.is_set():
            self._filled.wait(PUMP_S)
            self._filled.clear()
            if capture.overflows != overflows:
                overflows = capture.overflows
                intake.overflowed()
                resampler.reset()
            lost = ring.lost
            block = np.empty((ring.available(), ring.channels), np.float32)
            if len(block):
                captured_at = self._clock.now() - latency_s - len(block) / rate
                if ring.read(block):
                    intake.write(resampler.push(block, rate), captured_at)
            if ring.lost != lost:
                intake.overflowed(round((ring.lost - lost) * intake.rate / rate))
                resampler.reset()
            rest_s = min(intake.due() + resampler.latency_s, RING_S / 2)
            capture.wanted = ring.written + math.ceil(rest_s * rate)
            if time.monotonic() - capture.called > NO_CALLBACK_S:
                raise UnavailableError(
                    f"sound device {self._device!r} is silent since {NO_CALLBACK_S:.0f} s",
                    "was it unplugged?",
                )


class _Capture:
    """What PortAudio's callback touches: a ring, and the event by which the pump sleeps."""

    def __init__(self, rate: int, channels: int, filled: threading.Event) -> None:
        self.rate = rate
        self.ring = Ring(round(rate * RING_S), channels)
        self.overflows = 0
        self.called = time.monotonic()
        self.wanted = 0
        """How far the ring must be written before there is something to do."""
        self._filled = filled

    def callback(self, indata: Any, frames: int, when: Any, status: Any) -> None:
        """Copy and count, nothing else: this runs on the sound card's thread.

        The pump is woken by what makes a hop whole, not by every block.
        """
        del frames, when
        if status.input_overflow:
            self.overflows += 1
            self.wanted = 0
        self.ring.write(indata)
        self.called = time.monotonic()
        if self.ring.written >= self.wanted and not self._filled.is_set():
            self._filled.set()
