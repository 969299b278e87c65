"""A sound device: PortAudio listening to a real PulseAudio server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from genred.clock import SystemClock
from genred.errors import UnavailableError
from genred.messages import SourceStatus
from sources.listener import Ear, captors, loudest_hz, tone, write_audio


def device_source(name="pulse", **options):
    pytest.importorskip("sounddevice", reason="PortAudio is not installed", exc_type=OSError)
    from genred.sources.device import DeviceSource

    return DeviceSource(name, SystemClock(), **options)


@pytest.fixture
def radio(pulse, tmp_path):
    """The microphone, and 1000 Hz (left) with 2000 Hz (right) playing into it for a minute."""
    pulse.sound = write_audio(tmp_path / "radio.wav", tone(1000, 60, 48_000, 2), 48_000)
    pulse.play(pulse.sound)
    return pulse


def test_a_microphone(radio):
    """What is played is heard, at its pitch and level, on the channel that was chosen."""
    with Ear(device_source(channel="right")) as ear:
        ear.hear(4)
        heard = ear.hear(8)
    assert loudest_hz(heard) == pytest.approx(2000, abs=1)
    assert np.std(heard) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert ear.intake.overflows == 0
    assert ear.chunks[-1].info.station == "pulse"
    # What is heard now was captured a moment ago.
    assert -0.05 < ear.clock.now() - ear.chunks[-1].end < 0.7


@pytest.mark.parametrize(
    "options", [{"rate": 16_000, "channels": 1}, {"rate": 48_000, "channel": "left"}]
)
def test_rate_and_channels_as_set(radio, options):
    """Not only its native rate."""
    with Ear(device_source("PULS", **options)) as ear:
        ear.hear(4)
        heard = ear.hear(4)
    assert loudest_hz(heard, 16_000) == pytest.approx(1000, abs=4)


def test_default(radio):
    """The system's default device, by that word."""
    with Ear(device_source("default")) as ear:
        assert ear.hear(4).size


def test_two_feeds_on_one_device(radio):
    """Left and right as two feeds at once."""
    with Ear(device_source(channel="left")) as one, Ear(device_source(channel="right")) as two:
        one.hear(8)
        two.listen(seconds=0.5)
    assert loudest_hz(one.audio[-1]) == pytest.approx(1000, abs=5)
    assert loudest_hz(two.audio[-1]) == pytest.approx(2000, abs=5)


def test_no_such_device_lists_those_there_are(pulse):
    """One line, with the names that would have worked."""
    with Ear(device_source("USB Radio")) as ear:
        ear.listen()
    error = ear.runner.error
    assert isinstance(error, UnavailableError)
    assert error.exit_code == 69
    assert "no input device 'USB Radio'" in error.message
    assert "'pulse'" in error.message
    assert "\n" not in str(error)


def test_a_rate_that_the_device_refuses(pulse):
    """PortAudio's reason, in one line."""
    with Ear(device_source(channels=64)) as ear:
        ear.listen()
    assert isinstance(ear.runner.error, UnavailableError)
    assert "64 channels" in ear.runner.error.message


def test_a_missing_device_is_waited_for(pulse):
    """From a configuration file: tried again for ever, said once."""
    with Ear(device_source("USB Radio"), retry=True) as ear:
        ear.listen(seconds=2.5)
        assert ear.runner.running
        assert ear.intake.status is SourceStatus.RECONNECTING


def genred(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "genred", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_devices(pulse):
    """A table for people and JSON for programs."""
    shown = genred("devices")
    assert shown.returncode == 0, shown.stderr
    assert "device:pulse" in shown.stdout
    listed = json.loads(genred("devices", "--json").stdout)
    (found,) = [each for each in listed if each["name"] == "pulse"]
    assert found["source"] == "device:pulse"
    assert found["channels"] >= 1
    assert found["rate"] >= 8000


def test_without_any_device(tmp_path, monkeypatch):
    """Exit code 69 and one line, also as JSON."""
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/nobody")
    for arguments in (["devices"], ["devices", "--json"]):
        shown = genred(*arguments)
        if "device:" in shown.stdout:
            pytest.skip("this machine has sound devices of its own")
        assert shown.returncode == 69
        assert "no sound device with an input" in shown.stderr
        assert "Traceback" not in shown.stderr
    assert json.loads(shown.stdout) == []


def test_without_portaudio(tmp_path):
    """The line says what to install; everything but devices goes on working."""
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from genred.commands import main; sys.exit(main(['devices']))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 69
    assert "libportaudio2" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_cost(radio):
    """Capturing takes little of a core and little memory, both processes together."""
    with Ear(device_source()) as ear:
        ear.hear(8)
        (captor,) = captors()
        began = time.process_time() + cpu_s(captor)
        ear.hear(12)
        used = (time.process_time() + cpu_s(captor) - began) / 3
        rollup = Path(f"/proc/{captor}/smaps_rollup").read_text()
    assert used < 0.1
    assert int(rollup.split("\nPrivate_Dirty:")[1].split()[0]) < 20_000  # measured: 11 MB


def cpu_s(pid):
    """Processor time of all threads of a process, to the microsecond."""
    ticks = [(task / "schedstat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(each.split()[0]) for each in ticks) / 1e9
