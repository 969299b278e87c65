"""How many feeds one core bears, and all cores."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from genred.bench.worker import Worker, ask_once

if TYPE_CHECKING:
    from collections.abc import Sequence

LATE_MS: Final = 100.0
"""What the 99th percentile of the delay may come to."""

CLOSE_ENOUGH: Final = 1.06
"""The search ends when too many and few enough are within this of each other."""

FIRST_GUESS: Final = 0.9
"""Of the feeds that would fill a core: the delay grows before it is full."""

FEWEST: Final = 8
MOST: Final = 20_000
"""A thread a feed: beyond this a system has not enough of them."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """The most feeds that were borne, and how."""

    feeds: int
    cpu_ms: float
    busy: float
    delay_p99_ms: float
    too_many: int
    """The fewest feeds that were not borne; 0 where the search was cut short."""
    too_late_ms: float
    """The 99th percentile with them."""


def search(
    model: str, cpu_ms: float, seconds: float, probes: int, core: int, most: int = MOST
) -> Capacity:
    """Look for the most feeds whose decisions come in time, beginning with a guess by ``cpu_ms``.

    ``cpu_ms`` is the cost of one feed among many, milliseconds for each second of audio; more than
    ``most`` are not tried.
    """
    good: dict[str, Any] | None = None
    bad: dict[str, Any] | None = None
    feeds = _within(FIRST_GUESS * 1000 / cpu_ms, most)
    for _ in range(probes):
        found = ask_once(core, "load", model=model, feeds=feeds, seconds=seconds)
        if found["delay_p99_ms"] <= LATE_MS and not found["dropped_seconds"]:
            good = found
            feeds = _within(1.15 * feeds, most) if bad is None else (feeds + bad["feeds"]) // 2
        else:
            bad = found
            feeds = _within(feeds / 1.3, most) if good is None else (feeds + good["feeds"]) // 2
        if good and (good["feeds"] == most or _close(good, bad)):
            break
    if good is None:
        good = ask_once(core, "load", model=model, feeds=FEWEST, seconds=seconds)
    return Capacity(
        feeds=good["feeds"],
        cpu_ms=good["cpu_ms"],
        busy=good["busy"],
        delay_p99_ms=good["delay_p99_ms"],
        too_many=bad["feeds"] if bad else 0,
        too_late_ms=bad["delay_p99_ms"] if bad else 0.0,
    )


def _close(good: dict[str, Any], bad: dict[str, Any] | None) -> bool:
    return bad is not None and bad["feeds"] <= CLOSE_ENOUGH * good["feeds"]


def _within(feeds: float, most: int) -> int:
    return int(min(max(feeds, FEWEST), most))


def everywhere(
    model: str, feeds: int, seconds: float, cores: Sequence[int]
) -> list[dict[str, Any]]:
    """The same load on every core at once, a process each; what each made of it."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(core)) for core in cores]
        for worker in workers:  # loaded and warm before any begins
            worker.ask("load", model=model, feeds=1, seconds=0.25)
        for worker in workers:
            worker.send("load", model=model, feeds=feeds, seconds=seconds)
        return [worker.receive() for worker in workers]
