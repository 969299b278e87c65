"""The daemon with its HTTP server, as a process; and what asks it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from rigs.command import Genred, Running
from rigs.ports import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEARD_S = 60.0
"""Until a feed is heard, on a laden machine."""


class WebDaemon:
    """``genred run`` with two feeds of the synthesised station and ``[web]`` on a free port."""

    def __init__(self, genred: Genred, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "genred.toml"
        self.config.write_text(
            f"[node]\nname = 'studio'\n[web]\nenabled = true\nport = {self.port}\n"
            f"upload_mb = 2\nupload_s = 5\n"
            f"[history]\npath = '{folder / 'history.sqlite3'}'\n"
            "[[feeds]]\nid = 'on_air'\nsource = 'station'\n"
            "[[feeds]]\nid = 'kitchen'\nsource = 'station:9'\n"
        )
        self._genred = genred
        self.process: Running | None = None

    def start(self) -> None:
        """Start it, and wait until all feeds are heard."""
        self.process = self._genred.start("run", "--plain", "--config", self.config)
        wait_until(self._heard, HEARD_S, "all feeds to be heard")

    def _heard(self) -> bool:
        assert self.process is not None
        assert self.process.process.poll() is None, self.process.lines
        try:
            return httpx.get(f"{self.url}/readyz?need=all", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; the exit code."""
        assert self.process is not None
        return self.process.end(how)


@pytest.fixture(scope="module")
def web_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDaemon]:
    """One that runs, for all tests of a module."""
    genred = Genred(tmp_path_factory.mktemp("home"))
    daemon = WebDaemon(genred, tmp_path_factory.mktemp("web"))
    daemon.start()
    yield daemon
    genred.close()
