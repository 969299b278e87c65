"""The keyboard of the dashboard: which feed is in focus, which node is shown, and leaving."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

MAX_READ = 64
"""Bytes of typing taken at once."""

_CHARACTERS = 6
"""Where control characters stand in what ``tcgetattr`` returns."""
_NONE = b"\x00"
"""``_POSIX_VDISABLE`` on Linux: no character has that meaning."""


class Key(Enum):
    """What a key means."""

    NEXT = auto()
    PREVIOUS = auto()
    NEXT_NODE = auto()
    PREVIOUS_NODE = auto()
    REDRAW = auto()
    QUIT = auto()


_MEANING = {
    b"\t": Key.NEXT,
    b"\x1b[B": Key.NEXT,
    b"\x1b[C": Key.NEXT,
    b"j": Key.NEXT,
    b"\x1b[Z": Key.PREVIOUS,
    b"\x1b[A": Key.PREVIOUS,
    b"\x1b[D": Key.PREVIOUS,
    b"k": Key.PREVIOUS,
    b"n": Key.NEXT_NODE,
    b"p": Key.PREVIOUS_NODE,
    b"\x0c": Key.REDRAW,
    b"q": Key.QUIT,
}
_LONGEST_FIRST = sorted(_MEANING, key=len, reverse=True)


class Keys:
    """Reads keys from a terminal without waiting for Enter; does nothing where there is none.

    Ctrl-C keeps its meaning. Ctrl-Z has none: it would stop the listening, and leave the shell a
    screen without cursor. The terminal's own modes come back on leaving.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            with suppress(OSError, ValueError, AttributeError):
                descriptor = sys.stdin.fileno()
        self._descriptor = descriptor
        self._modes: list[Any] | None = None

    def __enter__(self) -> Self:
        """Switch the terminal to single keys."""
        # A process in the background is stopped when it touches the terminal's modes.
        with suppress(OSError, termios.error):
            if self._descriptor is not None and os.tcgetpgrp(self._descriptor) == os.getpgrp():
                self._modes = termios.tcgetattr(self._descriptor)
                tty.setcbreak(self._descriptor, termios.TCSANOW)
                modes = termios.tcgetattr(self._descriptor)
                modes[_CHARACTERS][termios.VSUSP] = _NONE
                termios.tcsetattr(self._descriptor, termios.TCSANOW, modes)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal its own modes back."""
        if self._modes is not None and self._descriptor is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._modes)
        self._modes = None

    def wait(self, seconds: float) -> list[Key]:
        """Keys pressed within ``seconds``; returns at the first."""
        if self._modes is None or self._descriptor is None:
            time.sleep(max(seconds, 0.0))
            return []
        try:
            ready, _, _ = select.select([self._descriptor], [], [], max(seconds, 0.0))
            typed = os.read(self._descriptor, MAX_READ) if ready else b""
        except OSError:
            self._modes = None  # the terminal has gone
            return []
        if ready and not typed:
            self._modes = None
        return meanings(typed)


def meanings(typed: bytes) -> list[Key]:
    """The keys in ``typed``; what means nothing is passed over."""
    out: list[Key] = []
    while typed:
        known = next((each for each in _LONGEST_FIRST if typed.startswith(each)), None)
        if known:
            out.append(_MEANING[known])
        typed = typed[len(known) if known else 1 :]
    return out
