"""A microphone: a private PulseAudio server whose null sink is played into and listened to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rigs.ports import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class PulseRig:
    """PulseAudio with the sink ``radio``; PortAudio sees its monitor as the device ``pulse``."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime
        self.socket = runtime / "pulse" / "native"
        self.environment = {
            "XDG_RUNTIME_DIR": str(runtime),
            "PULSE_SERVER": f"unix:{self.socket}",
            "PULSE_COOKIE": str(runtime / "cookie"),
        }
        self._players: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the server and wait until it answers."""
        subprocess.run(
            [
                "pulseaudio",
                "--daemonize=yes",
                "--exit-idle-time=-1",
                "-n",
                "--load=module-null-sink sink_name=radio rate=48000",
                "--load=module-native-protocol-unix",
            ],
            env=self._env(without="PULSE_SERVER"),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
        )
        wait_until(self.socket.exists, what="PulseAudio's socket")

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal: SIGSTOP for one that no longer answers, SIGCONT."""
        os.kill(self._pid(), number)

    def kill(self) -> None:
        """End the server at once, as if the sound card had been pulled out."""
        pid = self._pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _alive(pid), what="the end of PulseAudio")
        shutil.rmtree(self.runtime / "pulse", ignore_errors=True)

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Play a WAV file on the radio."""
        player = subprocess.Popen(["paplay", "-d", "radio", str(path)], env=self._env())
        self._players.append(player)
        return player

    def pactl(self, *arguments: str) -> None:
        """Tell the server something."""
        subprocess.run(["pactl", *arguments], env=self._env(), check=True, timeout=10)

    def stop(self) -> None:
        """End the players, then the server."""
        for player in self._players:
            player.terminate()
            player.wait(10)
        if (self.runtime / "pulse" / "pid").exists():
            self.kill()

    def _pid(self) -> int:
        return int((self.runtime / "pulse" / "pid").read_text())

    def _env(self, without: str = "") -> dict[str, str]:
        merged = {**os.environ, **self.environment}
        merged.pop(without, None)
        return merged


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    return "State:\tZ" not in status


@contextmanager
def microphone() -> Iterator[PulseRig]:
    """A running server of its own; nobody finds it without its environment."""
    for program in ("pulseaudio", "paplay", "pactl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    # A socket's path may have 107 characters: pytest's own folders can be longer.
    runtime = Path(tempfile.mkdtemp(prefix="genred-pulse-"))
    rig = PulseRig(runtime)
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
        shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseRig]:
    """A running microphone of its own for the test; whatever looks for devices finds it."""
    with microphone() as rig:
        for name, value in rig.environment.items():
            monkeypatch.setenv(name, value)
        yield rig
