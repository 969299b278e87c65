"""Stands in for sounddevice in a capturing process, for what no real device does at one's bidding.

FAKE_SOUND says in a word what happens. Its stereo device plays a ramp on the left, which counts
samples, and nothing on the right.
"""

import array
import os
import signal
import sys
import time
from types import SimpleNamespace

MOOD = os.environ["FAKE_SOUND"]
RATE = 16_000
PERIOD = 4096
TROUBLE = 8  # the block with which it comes

default = SimpleNamespace(device=[0, 0])


class PortAudioError(Exception):
    """As the real one: a text, a number, and perhaps the host's words."""


if MOOD == "missing":
    raise OSError("PortAudio library not found")
if MOOD == "slow":
    time.sleep(60)


def query_hostapis():
    return [{"name": "Fake"}]


def query_devices():
    names = ["USB Left", "USB Right"] if MOOD == "two" else ["USB Radio"]
    return [
        {
            "index": index,
            "name": name,
            "hostapi": 0,
            "max_input_channels": 2,
            "default_samplerate": float(RATE),
        }
        for index, name in enumerate(names)
    ]


class RawInputStream:
    latency = 0.0
    read_available = 1 << 20  # at once

    def __init__(self, **options):
        if options["channels"] > 2:
            raise PortAudioError("Invalid number of channels", -9998)
        self._block, self._at, self._blocks = options["blocksize"], 0, 0

        if MOOD == "flood":
            print("Cannot connect to server", flush=True)

    def start(self):
        self._began = time.monotonic()

    def read(self, frames):
        self._blocks += 1
        self.read_available = 0
        if self._blocks == TROUBLE:
            self._trouble()
        if MOOD == "flood":
            sys.stderr.write("Expression failed\n" * 20_000)
            print("Cannot connect to server", flush=True)
        overflowed = MOOD == "overflow" and self._blocks == TROUBLE
        self._at += 1000 * overflowed
        block = array.array("f")
        for sample in range(self._at, self._at + frames):
            block.extend((sample % PERIOD / PERIOD, 0.0))
        self._at += frames
        time.sleep(max(0.0, self._began + self._blocks * frames / RATE - time.monotonic()))
        return block.tobytes(), overflowed

    def _trouble(self):
        if MOOD == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if MOOD == "break":
            raise PortAudioError("Unanticipated host error", -9999, (0, -5, "Input/output error"))
        if MOOD == "fault":
            raise RuntimeError("nobody thought of this")
        if MOOD == "hang":
            time.sleep(60)
