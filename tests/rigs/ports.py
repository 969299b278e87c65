"""Free ports and patience, for all rigs."""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


FIRST_PORT, PORTS = 12_000, 20_000
"""Below those that the system gives away by itself, so that no connection takes one that was found
free before its rig listens there."""
STRIDE = 997
"""Processes of neighbouring ids begin so far apart: workers of one run never meet."""

_next = itertools.count(os.getpid() * STRIDE)


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on now; never the same twice."""
    while True:
        port = FIRST_PORT + next(_next) % PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(true: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
    """Return as soon as ``true()``; fail the test after ``seconds``."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s in vain for {what or 'it'}")
        time.sleep(0.02)


def bound(port: int) -> bool:
    """Does somebody listen on this loopback port; asked of the kernel, without connecting."""
    listening = "0A"
    return any(
        (fields := line.split())[1].endswith(f":{port:04X}") and fields[3] == listening
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    )


def listens(port: int) -> bool:
    """Does somebody accept connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
