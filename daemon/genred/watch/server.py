"""The local socket of a daemon: shows its views to whoever may connect, and hears nothing.

One thread serves all watchers. It looks at the engine only while somebody watches, as often as a
dashboard would and for no more than a small share of a core. A watcher that does not read what it
is sent is dropped; what watchers send is thrown away.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import stat
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from genred.watch.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genred.settings.dashboard import DashboardSettings
    from genred.views import NodeView

log = logging.getLogger("genred.watch")

MODE: Final = 0o660
"""For the daemon's user and group: what is heard is nobody else's business."""

WATCHERS: Final = 16
"""At once; more are turned away."""

BACKLOG_BYTES: Final = 4 << 20
"""What waits for one watcher at most, a few first lines of many feeds; then it is dropped."""

STALL_S: Final = 5.0
"""A watcher that has taken nothing for so long, while something waits for it, is dropped."""

STILL_S: Final = 1.0
"""So often a line goes out although nothing has changed: a watcher can tell it from a hang."""

MAX_SHARE: Final = 0.03
"""Of one core, at most this is spent on watchers: with many feeds they see fewer frames."""

SMOOTHING: Final = 0.1
"""Weight of the newest line in the mean cost of a line."""

STOP_S: Final = 1.0
"""For the thread to end; it waits for nothing that takes longer."""

READ_BYTES: Final = 4096


@dataclass(slots=True, eq=False)
class _Watcher:
    connection: socket.socket
    waiting: bytearray = field(default_factory=bytearray)
    moved: float = 0.0
    fresh: bool = True
    """Has seen nothing yet."""


class WatchServer:
    """Serves ``view`` at ``path`` from :meth:`start` to :meth:`stop`."""

    def __init__(
        self, path: Path, view: Callable[[], NodeView], settings: DashboardSettings
    ) -> None:
        self.path = path
        self._view = view
        self._interval = 1 / settings.frames_per_second
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._wake, self._woken = socket.socketpair()
        self._watchers: list[_Watcher] = []
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._before: NodeView | None = None
        self._due = 0.0
        self._told = 0.0
        self._mean_cost = 0.0
        self.dropped = 0
        """Watchers that did not keep up."""

    def start(self) -> bool:
        """Listen; False, with a line in the log, where that cannot be: the daemon goes on."""
        try:
            self._listener = _listen(self.path)
        except OSError as error:
            log.warning("nobody can watch at %s: %s", self.path, error.strerror or error)
            return False
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="genred-watch", daemon=True)
        self._thread.start()
        return True

    def stop(self) -> None:
        """Send everybody away and take the socket back."""
        self._stopping = True
        if self._thread is not None:
            self._wake.send(b".")
            self._thread.join(STOP_S)
            self._thread = None
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _serve(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        except Exception:
            log.exception("watching has ended: a fault in genred")
        finally:
            for watcher in self._watchers:
                watcher.connection.close()
            self._watchers.clear()
            assert self._listener is not None
            self._listener.close()

    def _turn(self) -> None:
        wait = max(self._due - time.monotonic(), 0.0) if self._watchers else None
        for key, _ in self._selector.select(wait):
            if key.fileobj is self._listener:
                self._let_in()
            elif key.fileobj is not self._woken:
                self._hear(key.data)
        now = time.monotonic()
        if self._watchers and now >= self._due and not self._stopping:
            self._show(now)
        elif not self._watchers:
            self._before = None

    def _let_in(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            if len(self._watchers) >= WATCHERS:
                connection.close()
                return
            connection.setblocking(False)
            watcher = _Watcher(connection, moved=time.monotonic())
            self._watchers.append(watcher)
            self._selector.register(connection, selectors.EVENT_READ, watcher)
            self._due = 0.0

    def _hear(self, watcher: _Watcher) -> None:
        """Whatever it says means nothing; when it leaves, it leaves."""
        try:
            if watcher.connection.recv(READ_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._send_away(watcher)

    def _show(self, now: float) -> None:
        spent = time.thread_time()
        view = self._view()
        line = b""
        if self._before is None or _differs(view, self._before) or now - self._told >= STILL_S:
            line, self._told = encode(view, self._before), now
        first = b""
        for watcher in list(self._watchers):
            if watcher.fresh:
                first = first or encode(view, None)
                watcher.waiting += first
                watcher.fresh = False
            else:
                watcher.waiting += line
            self._send(watcher, now)
        if line:
            self._before = view
        spent = time.thread_time() - spent
        self._mean_cost += SMOOTHING * (spent - self._mean_cost)
        self._due = now + max(self._interval, self._mean_cost / MAX_SHARE)

    def _send(self, watcher: _Watcher, now: float) -> None:
        try:
            while watcher.waiting:
                del watcher.waiting[: watcher.connection.send(watcher.waiting)]
                watcher.moved = now
        except BlockingIOError:
            if len(watcher.waiting) > BACKLOG_BYTES or now - watcher.moved > STALL_S:
                self.dropped += 1
                log.info("a watcher does not read what it is sent: sent away")
                self._send_away(watcher)
        except OSError:
            self._send_away(watcher)
        else:
            watcher.moved = now

    def _send_away(self, watcher: _Watcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)
            self._selector.unregister(watcher.connection)
            watcher.connection.close()


def _differs(view: NodeView, before: NodeView) -> bool:
    """Is there more to say than that time has passed."""
    if (len(view.feeds), view.publishers) != (len(before.feeds), before.publishers):
        return True
    return any(
        (one.id, one.now, one.state, one.health, one.events, one.segments)
        != (other.id, other.now, other.state, other.health, other.events, other.segments)
        for one, other in zip(view.feeds, before.feeds, strict=True)
    )


def _listen(path: Path) -> socket.socket:
    """A listening socket there. A dead one in its place is removed, a living one is not.

    Raises ``OSError``.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        if _is_dead_socket(path):
            path.unlink()
        # Nobody connects before its mode is right: it does not listen yet.
        listener.bind(str(path))
        os.chmod(path, MODE)  # noqa: PTH101 - of the path, whatever it is
        listener.listen(4 * WATCHERS)  # who is turned away is to be told so at once
    except BaseException:
        listener.close()
        raise
    return listener


def _is_dead_socket(path: Path) -> bool:
    """Is what lies there a socket that nobody listens at any more."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(STOP_S)
            probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
