"""The dashboard on a terminal, drawn anew as long as the daemon runs.

Rich's own ``Live`` writes the whole screen for every frame. Here only the lines that differ from
what stands on the screen are written, through :meth:`rich.console.Console.update_screen_lines`,
and nothing is drawn while the view is the same: that keeps a month of drawing cheap.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console

from genred.dashboard.cells import Ink
from genred.dashboard.keys import Key, Keys
from genred.dashboard.layout import render
from genred.dashboard.notices import HeldStderr, LastWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from genred.dashboard.cells import Line
    from genred.settings.dashboard import DashboardSettings
    from genred.views import NodeView

MAX_SHARE = 0.03
"""Of one core, at most this is spent on drawing: a slow machine gets fewer frames a second."""
SMOOTHING = 0.1
"""Weight of the newest frame in the mean cost of a frame."""
SLOWEST_S = 2.0
"""Even the slowest machine draws this often."""
REPAINT_S = 10.0
"""Everything is written anew this often, so that what others wrote on the terminal goes away."""

WITHOUT_TERMINAL_S = 0.2
"""How often the end is looked for when there is nothing left to draw on."""

_NO_WRAP = "\x1b[?7l"
_WRAP = "\x1b[?7h"
"""A character wider than Rich believes it is must not push the rest to the next line."""

log = logging.getLogger(__name__)


class TerminalGoneError(Exception):
    """The terminal cannot be written to any more: its window was closed, its line is down."""


class Dashboard:
    """Shows what ``view`` returns on ``console`` until told to stop.

    For the main thread: ``view`` is called there, at most ``settings.frames_per_second`` times a
    second. Tab and the arrow keys move the focus, ``q`` leaves. ``notice`` may have something to
    say above the last warning; ``turn`` shows another node, so many further on. Where this process
    is not ``listening`` itself, it ends when the terminal goes away.
    """

    def __init__(
        self,
        view: Callable[[], NodeView],
        settings: DashboardSettings,
        console: Console | None = None,
        *,
        notice: Callable[[], str] = str,
        turn: Callable[[int], None] | None = None,
        listening: bool = True,
    ) -> None:
        self._view = view
        self._settings = settings
        self._notice = notice
        self._turn = turn
        self._listening = listening
        self._console = Console(highlight=False) if console is None else console
        self._shown: list[Line] = []
        self._size = (0, 0)
        self._drawn_for: Hashable = None
        self._repaint_at = 0.0
        self._mean_cost = 0.0
        self.focus = 0
        self.frames = 0
        """Frames written so far."""

    def run(self, ended: Callable[[], bool]) -> None:
        """Draw until ``ended()`` or ``q``, then leave the terminal as it was.

        ``ended`` is asked once a frame. Other writing to standard error is held back meanwhile
        and told afterwards; the last warning stands on the dashboard. When the terminal goes
        away, waits for the end without drawing. What ``view`` raises comes through, after the
        terminal is clean again.
        """
        with ExitStack() as stack:
            held = stack.enter_context(HeldStderr())
            warning = stack.enter_context(LastWarning())
            keys = stack.enter_context(Keys())
            try:
                with self._screen():
                    self._loop(ended, warning, keys, held)
            except TerminalGoneError as error:
                if not self._listening:
                    return
                log.warning("the terminal is gone (%s): listening goes on without it", error)
                while not ended():
                    time.sleep(WITHOUT_TERMINAL_S)

    def _loop(
        self, ended: Callable[[], bool], warning: LastWarning, keys: Keys, held: HeldStderr
    ) -> None:
        while not ended():
            began = time.monotonic()
            spent = time.thread_time()
            self.draw(self._notice() or warning.text())
            held.trim()
            spent = time.thread_time() - spent
            self._mean_cost += SMOOTHING * (spent - self._mean_cost)
            if not self._pause(self.interval() - (time.monotonic() - began), keys):
                return

    def interval(self) -> float:
        """Seconds from one frame to the next."""
        wanted = max(1 / self._settings.frames_per_second, self._mean_cost / MAX_SHARE)
        return min(wanted, max(SLOWEST_S, 1 / self._settings.frames_per_second))

    def _pause(self, seconds: float, keys: Keys) -> bool:
        """Wait for the next frame, or for a key; False when the key says to leave."""
        for key in keys.wait(seconds):
            if key is Key.QUIT:
                return False
            if key is Key.REDRAW:
                self._repaint_at = 0.0
            elif key in (Key.NEXT_NODE, Key.PREVIOUS_NODE):
                if self._turn is not None:
                    self._turn(1 if key is Key.NEXT_NODE else -1)
                    self.focus = 0
            else:
                self.focus += 1 if key is Key.NEXT else -1
        return True

    def draw(self, notice: str = "") -> bool:
        """Bring the screen up to date; False when nothing on it had to change."""
        view = self._view()
        width, height = self._console.size
        self.focus %= max(len(view.feeds), 1)
        now = time.monotonic()
        repaint = now >= self._repaint_at or (width, height) != self._size
        looks = _looks(view, self.focus, notice)
        if not repaint and looks == self._drawn_for:
            return False
        frame = render(
            view,
            width,
            height,
            self.focus,
            notice=notice,
            strip_minutes=self._settings.strip_minutes,
        )
        lines = frame.lines(Ink.of(self._console))
        self._drawn_for = looks
        with _terminal(), self._console:  # one write for the whole frame
            if (width, height) != self._size:
                self._console.clear()
            for row, line in enumerate(lines):
                if repaint or line != self._shown[row]:
                    self._console.update_screen_lines([line], 0, row)
        if repaint:
            self._repaint_at = now + REPAINT_S
            self._size = (width, height)
        self._shown = lines
        self.frames += 1
        return True

    @contextmanager
    def _screen(self) -> Iterator[None]:
        """The terminal's other screen, without cursor and without wrapping lines."""
        with _terminal():
            self._console.set_alt_screen(True)
            self._console.show_cursor(False)
            self._console.file.write(_NO_WRAP)
        try:
            yield
        finally:
            with suppress(OSError):
                self._console.file.write(_WRAP)
                self._console.set_alt_screen(False)
                self._console.show_cursor(True)


@contextmanager
def _terminal() -> Iterator[None]:
    """What fails in here fails because the terminal is gone."""
    try:
        yield
    except OSError as error:
        raise TerminalGoneError(str(error)) from error


def _looks(view: NodeView, focus: int, notice: str) -> Hashable:
    """Equal for two views that look the same: time goes by the second, sound by its newest."""
    return (
        int(view.clock),
        focus,
        notice,
        view.publishers,
        tuple(
            (
                feed.now,
                feed.peak_dbfs,
                feed.state.seq,
                feed.state.label,
                feed.state.level_dbfs,
                feed.state.title,
                feed.state.dead_air,
                feed.health.status,
                feed.health.last_error,
                feed.truth,
                len(feed.segments),
                feed.events[-1:],
            )
            for feed in view.feeds
        ),
    )
