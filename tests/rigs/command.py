"""The command ``genred`` as a person starts it: in a process of its own, without any settings."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENOUGH_S = 60.0
"""Far more than any command here needs; a laden machine included."""


class Genred:
    """Runs ``genred`` and collects what it says."""

    def __init__(self, home: Path) -> None:
        self._home = str(home)
        self._running: list[Running] = []

    def _environ(self, more: dict[str, str]) -> dict[str, str]:
        """Taken when a command starts: other rigs may have added to it by then."""
        environ = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("GENRED_") and key != "JOURNAL_STREAM"
        }
        return environ | {"XDG_CONFIG_HOME": self._home, "COLUMNS": "120"} | more

    def __call__(
        self, *arguments: object, stdin: bytes | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        result = subprocess.run(
            [sys.executable, "-m", "genred", *map(str, arguments)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=self._environ(environ),
            timeout=ENOUGH_S,
            check=False,
        )
        return subprocess.CompletedProcess(
            result.args, result.returncode, result.stdout.decode(), result.stderr.decode()
        )

    def start(self, *arguments: object, **environ: str) -> Running:
        """Start it and go on."""
        running = Running(list(map(str, arguments)), self._environ(environ))
        self._running.append(running)
        return running

    def close(self) -> None:
        """End what still runs."""
        for running in self._running:
            running.end(signal.SIGKILL)


class Running:
    """A ``genred`` that runs; its lines can be waited for."""

    def __init__(self, arguments: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genred", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            text=True,
        )
        self.lines: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._new.put(line.rstrip("\n"))
        self.process.stdout.close()

    def wait_for(self, text: str, seconds: float = ENOUGH_S) -> str:
        """The first line from now on that holds ``text``."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._new.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                said = "\n".join(self.lines)
                raise AssertionError(f"no line with {text!r}; it said:\n{said}") from None
            self.lines.append(line)
            if text in line:
                return line

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(ENOUGH_S)
        self._reader.join(ENOUGH_S)
        while not self._new.empty():
            self.lines.append(self._new.get())
        return code


@pytest.fixture
def genred(tmp_path_factory: Any) -> Iterator[Genred]:
    """The command, in a world where nothing is configured."""
    command = Genred(tmp_path_factory.mktemp("home"))
    yield command
    command.close()
