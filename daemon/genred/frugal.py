"""Little of the machine for one process: what libraries take by default is made for big ones.

:func:`begin` comes before numpy and pydantic are imported, :func:`settle` once all is loaded.
Neither changes anything that somebody has set in the environment.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

ENVIRONMENT: Final = {
    # Products of matrices are small here; threads for them spin and cost more than they bring.
    "OPENBLAS_NUM_THREADS": "1",
    # Looking for plugins reads the metadata of all packages: 2 MB and a tenth of the start.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}

ARENAS: Final = 2
"""Heaps that malloc may have; by default eight a core, each with its own waste. Threads here
mostly hold Python's lock and do not get into each other's way."""

KEEP_BYTES: Final = 4 * 2**20
"""Freed memory that malloc keeps at the top of its heap. With its own 128 kB, arrays of a batch
are given back to the kernel and fetched again, page by page, in every step."""

LARGE_BYTES: Final = 32 * 2**20
"""Where long files are heard, arrays up to here come out of the heap, and not from the kernel page
by page: a stretch of two minutes takes some of 8 MB. It is the most that malloc allows."""

KEEP_FOR_FILES: Final = 64 * 2**20
"""And so much of it is kept for the next stretch. Both together spare a tenth of the work."""

# From malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def begin() -> None:
    """Before anything heavy is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    libc = _libc()
    if libc is not None:
        if "MALLOC_ARENA_MAX" not in os.environ:
            libc.mallopt(_M_ARENA_MAX, ARENAS)
        if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
            libc.mallopt(_M_TRIM_THRESHOLD, KEEP_BYTES)


def for_files() -> None:
    """Once more in a process that hears files, after :func:`begin`: the same memory again."""
    libc = _libc()
    if libc is None:
        return
    for name, number, value in (
        ("MALLOC_TRIM_THRESHOLD_", _M_TRIM_THRESHOLD, KEEP_FOR_FILES),
        ("MALLOC_MMAP_THRESHOLD_", _M_MMAP_THRESHOLD, LARGE_BYTES),
    ):
        if name not in os.environ:
            libc.mallopt(number, value)


def settle() -> None:
    """Once all is loaded: give back what loading left, and spare the collector what stays."""
    gc.collect()
    gc.freeze()
    _give_back()


TIDY_S: Final = 300.0
"""So often what was freed goes back to the kernel, from the middle of the heaps as well. What a
burst took, such as what waits while a broker stands still, would else stay in pieces for months."""


TELL_S: Final = 30.0
"""So often, where debugging is logged, a line tells what is in use."""


class Tidy:
    """Gives freed memory back every :data:`TIDY_S`, whoever asks and however often."""

    def __init__(self) -> None:
        self._due = time.monotonic() + TIDY_S
        self._told = 0.0

    @property
    def pause_s(self) -> float:
        """How long one may wait before asking again."""
        return TELL_S if log.isEnabledFor(logging.DEBUG) else TIDY_S

    def __call__(self) -> None:
        """Do it if it is due: a millisecond or so for a heap of 60 MB."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + TIDY_S
            _give_back()
        if log.isEnabledFor(logging.DEBUG) and now >= self._told + TELL_S:
            self._told = now
            log.debug("%s", Memory.now())


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process holds, told apart from what its allocators keep for later.

    Pages come and go by megabytes with every burst, so that a small leak drowns in them for hours.
    What is in use does not.
    """

    own_mb: float
    """Its own resident pages, those of files left out; MB of 2**20 bytes."""

    heap_mb: float | None
    """What malloc has handed out and not got back; None where the C library does not tell."""

    blocks: int
    """Objects and buffers of up to 512 bytes that Python has handed out and not got back."""

    @classmethod
    def now(cls) -> Memory:
        """Of this process. Linux alone tells its own pages; elsewhere they are 0."""
        try:
            status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
            own = int(status.split("RssAnon:")[1].split()[0]) / 1024
        except (OSError, IndexError, ValueError):
            own = 0.0
        return cls(own, _heap_mb(), sys.getallocatedblocks())

    def __str__(self) -> str:
        heap = "heap not known" if self.heap_mb is None else f"heap {self.heap_mb:.2f} MB"
        return f"memory: own {self.own_mb:.1f} MB, in use: {heap}, {self.blocks} Python blocks"


class _MallInfo(ctypes.Structure):
    """``struct mallinfo2`` of the GNU C library, 2.33 and later."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def _heap_mb() -> float | None:
    libc = _libc()
    if libc is None or not hasattr(libc, "mallinfo2"):
        return None
    libc.mallinfo2.restype = _MallInfo
    told = libc.mallinfo2()
    # In its heaps, and in pages of their own.
    return float(told.uordblks + told.hblkhd) / 2**20


def _give_back() -> None:
    """Return what was freed to the kernel, from all heaps."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    """The C library where it is the GNU one; others have no such knobs."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
