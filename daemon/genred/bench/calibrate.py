"""What one core of this machine does at best: the yardsticks of the arithmetic of limits."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE: Final = 768
"""Of the matrices multiplied: large enough for a library's best, small enough for the caches."""

COPIED: Final = 64 * 2**20
"""Bytes copied at once: beyond every cache."""

FRAMES: Final = 64
"""Frames transformed at once: enough to spread the call's cost, and within the caches."""

TRANSFORMS: Final = 100
"""Calls of it that are timed as one."""

CALLS: Final = 100_000

TURNS: Final = 7
"""The best of so many counts: a limit is what the machine does undisturbed."""


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """Speeds of one core."""

    gflops: float
    """Multiply-adds as two operations, float32, in large matrix products."""
    copy_gb_s: float
    """Read and written, both counted."""
    rfft_us: float
    """One real transform of ``n_fft`` float32 samples within a large batch, microseconds."""
    call_ns: float
    """One call of a method that does nothing."""


def yardsticks(n_fft: int) -> dict[str, Any]:
    """Measure them; some seconds."""
    generator = np.random.default_rng(0)
    left = generator.standard_normal((SIDE, SIDE), np.float32)
    right = generator.standard_normal((SIDE, SIDE), np.float32)
    out = np.empty_like(left)
    product = _best(lambda: np.matmul(left, right, out=out))
    source = np.ones(COPIED // 4, np.float32)
    target = np.zeros_like(source)
    copied = _best(lambda: np.copyto(target, source))
    frames = generator.standard_normal((FRAMES, n_fft), np.float32)
    spectrum = np.empty((FRAMES, n_fft // 2 + 1), np.complex64)
    nothing = _Nothing()

    def transforms() -> None:
        for _ in range(TRANSFORMS):
            # As the front end does, which says why.
            np.fft.rfft(frames, norm="forward", out=spectrum)  # type: ignore[arg-type]

    def calls() -> None:
        for _ in range(CALLS):
            nothing.call()

    return asdict(
        Yardsticks(
            gflops=2 * SIDE**3 / product / 1e9,
            copy_gb_s=2 * COPIED / copied / 1e9,
            rfft_us=_best(transforms) / (TRANSFORMS * FRAMES) * 1e6,
            call_ns=_best(calls) / CALLS * 1e9,
        )
    )


class _Nothing:
    def call(self) -> None:
        return None


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest turn."""
    work()
    times = []
    for _ in range(TURNS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return max(min(times), 1e-9)
