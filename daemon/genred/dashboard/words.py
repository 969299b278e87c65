"""Numbers as words: times, lengths, shares and levels, as they stand on the dashboard."""

from __future__ import annotations

import time

NO_TIME = "--:--:--"


def clock_time(timestamp: float) -> str:
    """Unix seconds as local time of day, ``11:42:07``; a time no calendar has as dashes."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(timestamp))
    except (ValueError, OverflowError, OSError):
        return NO_TIME


def length(seconds: float) -> str:
    """A length of time: ``0:47``, ``12:05``, ``3:12:44``, ``12 d 3:12``."""
    whole = int(min(max(seconds, 0.0), 1e9))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour}:{minute:02}"
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minute}:{second:02}"


def share(value: float) -> str:
    """A probability in four cells: `` 83%``."""
    return f"{min(max(value, 0.0), 1.0):4.0%}"


def level(dbfs: float) -> str:
    """A level in six cells: `` -18.3``."""
    return f"{min(max(dbfs, -120.0), 20.0):6.1f}"


def minutes(value: float) -> str:
    """A number of minutes: ``5 min``, ``30 s``."""
    return f"{value * 60:.0f} s" if value < 1 else f"{value:g} min"


def provider(name: str) -> str:
    """What the model runs on, short: ``CPU``, ``CUDA``."""
    short = name.removesuffix("ExecutionProvider")
    return short.upper() if short.lower() in ("cpu", "cuda") else short
