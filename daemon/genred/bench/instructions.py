"""Instructions instead of time: the same on a busy machine, and for small differences."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any, Final

from genred.bench.worker import Worker
from genred.errors import UnavailableError

FEEDS: Final = 20
SHORT_S: Final = 0.5
LONG_S: Final = 2.5
"""The difference of two runs of these lengths leaves loading and opening out."""

TRY_S: Final = 30.0
"""perf says within a second that this machine lets nobody count."""

COUNT_S: Final = 1800.0
"""valgrind runs fifty times as slowly, and the imports alone are a second of work."""

VALGRIND: Final = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}")


@dataclass(frozen=True, slots=True)
class Instructions:
    """How many, and who counted."""

    per_audio_second: float
    """Of one feed; putting the audio into its ring is included here."""
    feeds: int
    by: str


def count(model: str) -> Instructions:
    """Count with ``perf`` where the machine lets it, else with ``valgrind``: some minutes.

    Raises :class:`UnavailableError` where there is neither.
    """
    if _perf_counts():
        prefix, pattern, by = _perf(), r"^(\d+),,instructions", "perf"
    elif shutil.which("valgrind"):
        prefix, pattern, by = VALGRIND, r"Collected : (\d+)", "valgrind"
    else:
        raise UnavailableError("nothing here counts instructions", "install valgrind, or perf")
    short, long = (_run(prefix, pattern, model, seconds) for seconds in (SHORT_S, LONG_S))
    return Instructions((long - short) / (FEEDS * (LONG_S - SHORT_S)), FEEDS, by)


def _perf() -> tuple[str, ...]:
    return ("perf", "stat", "-x,", "-e", "instructions:u", "--")


def _perf_counts() -> bool:
    if shutil.which("perf") is None:
        return False
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            [*_perf(), "true"], capture_output=True, text=True, timeout=TRY_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return re.search(r"^\d+,,instructions", done.stderr, re.MULTILINE) is not None


def _run(prefix: tuple[str, ...], pattern: str, model: str, seconds: float) -> float:
    how: dict[str, Any] = {"model": model, "feeds": FEEDS, "seconds": seconds}
    worker = Worker(prefix=prefix, patience_s=COUNT_S)
    try:
        # All windows end at once: how feeds fall together must not depend on how slow this is.
        worker.ask("load", **how, aligned=True)
    finally:
        worker.close()
    found = re.search(pattern, worker.said, re.MULTILINE)
    if found is None:
        raise UnavailableError(f"{prefix[0]} counted nothing: {worker.complaint}")
    return float(found[1])
