"""The daemon itself, watched from outside: how soon it speaks, and what one feed costs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.bench.sound import programme
from genred.bench.worker import clean_environment
from genred.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FIRST_DECISION_S: Final = 60.0
"""A daemon that has said nothing by then will not."""

SETTLE_S: Final = 2.0
"""So long after its first word, start-up is over and does not count as the cost of listening."""

STOP_S: Final = 10.0
"""The daemon stops within 5 s, or is at fault."""

CAPTURE_RATE: Final = 48_000
"""Samples a second of most microphones and sound cards."""

BLOCK_S: Final = 0.02
"""What a sound card delivers at once, about."""


@dataclass(frozen=True, slots=True)
class Start:
    """How long the daemon takes to its first decision."""

    first_decision_s: float
    """Median, from starting the process to the first decision on its standard output."""
    beyond_window_s: float
    """The same less the window that must be heard first."""
    slowest_s: float
    runs: int


@dataclass(frozen=True, slots=True)
class OneFeed:
    """What the daemon costs with one live feed."""

    core: float
    """Share of one core: capture, resampling, decisions and messages."""
    resident_mb: float
    seconds: float


@contextmanager
def daemon(
    model: Path, *options: str, source: str = "station", core: int | None = None, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``genred run`` in a process of its own, without any configuration but what is said here.

    ``settings`` are environment variables without their ``GENRED_``. Standard output is a pipe if
    ``--json`` is among the ``options``; standard input is one if ``source`` is ``-``.
    """
    command = [sys.executable, "-m", "genred", "run", "--source", source, "--model", str(model)]
    named = {f"GENRED_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        [*command, *options],
        env=clean_environment() | {"GENRED_LOGGING__LEVEL": "error"} | named,
        stdin=subprocess.PIPE if source == "-" else subprocess.DEVNULL,
        stdout=subprocess.PIPE if "--json" in options else subprocess.DEVNULL,
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def cold_start(model: Path, window_s: float, runs: int, core: int | None = None) -> Start:
    """Start the daemon on the station ``runs`` times and wait for its first decision."""
    times = []
    for _ in range(runs):
        began = time.monotonic()
        with daemon(model, "--json", core=core, MQTT__SCORES="true") as process:
            guard = threading.Timer(FIRST_DECISION_S, process.kill)
            guard.start()
            assert process.stdout is not None
            try:
                told = any(json.loads(line)["message"] == "scores" for line in process.stdout)
            finally:
                guard.cancel()
            if not told:
                raise InternalError("the daemon made no decision")
            times.append(time.monotonic() - began)
    median = statistics.median(times)
    return Start(median, median - window_s, max(times), runs)


def one_feed(model: Path, seconds: float, core: int | None = None) -> OneFeed:
    """Play raw PCM into the daemon as a sound card would, and watch it for ``seconds``.

    Raises :class:`InternalError` where it does not say what it hears.
    """
    stop, heard = threading.Event(), threading.Event()
    with daemon(model, "--json", "--rate", str(CAPTURE_RATE), source="-", core=core) as process:
        player = threading.Thread(target=_play, args=(process, stop), daemon=True)
        reader = threading.Thread(target=_listen, args=(process, heard), daemon=True)
        player.start()
        reader.start()
        try:
            if not heard.wait(FIRST_DECISION_S):
                raise InternalError("the daemon does not say what it hears")
            time.sleep(SETTLE_S)
            before, at = cpu_seconds(process.pid), time.monotonic()
            time.sleep(seconds)
            used = (cpu_seconds(process.pid) - before) / (time.monotonic() - at)
            resident = resident_mb(process.pid)
        finally:
            stop.set()
            player.join(STOP_S)
            process.terminate()
            reader.join(STOP_S)
    return OneFeed(used, resident, seconds)


def _listen(process: subprocess.Popen[bytes], heard: threading.Event) -> None:
    """Read what it says to the end; ``heard`` is set once it has heard a window."""
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if told["message"] == "state" and told["scores"]:
            heard.set()


def _play(process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    assert process.stdin is not None
    sound = (programme(20.0, CAPTURE_RATE) * 32767).astype(np.int16)
    size = round(BLOCK_S * CAPTURE_RATE)
    blocks = [sound[at : at + size].tobytes() for at in range(0, len(sound) - size + 1, size)]
    due = time.monotonic()
    number = 0
    while not stop.is_set():
        try:
            process.stdin.write(blocks[number % len(blocks)])
            process.stdin.flush()
        except BrokenPipeError:
            return
        number, due = number + 1, due + BLOCK_S
        stop.wait(max(0.0, due - time.monotonic()))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all its threads, to the resolution of the scheduler's own count."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB of 2**20 bytes."""
    return status_kb(pid, "VmRSS") / 1024


def status_kb(pid: int, key: str) -> int:
    """One line of ``/proc/PID/status``."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise InternalError(f"process {pid} has no {key}")


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, and the quartiles below and above it."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return median, low, high
