"""Little of the machine for one process: what libraries take by default is made for big ones.

:func:`begin` comes before numpy and pydantic are imported, :func:`settle` once all is loaded.
Neither changes anything that somebody has set in the environment.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from typing import Final

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


class Tidy:
    """Gives freed memory back every :data:`TIDY_S`, whoever asks and however often."""

    def __init__(self) -> None:
        self._due = time.monotonic() + TIDY_S

    def __call__(self) -> None:
        """Do it if it is due: a millisecond or so for a heap of 60 MB."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + TIDY_S
        _give_back()


def _give_back() -> None:
    """Return what was freed to the kernel, from all heaps."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    """The C library where it is the GNU one; others have no such knobs."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
