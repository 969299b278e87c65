"""Seeing daemons of this machine through their local sockets."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from genred.clock import SystemClock
from genred.errors import AccessError, GenredError, UnavailableError
from genred.watch.sight import away, nobody
from genred.watch.wire import Decoder, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genred.clock import Clock
    from genred.views import NodeView

SILENT_S: Final = 5.0
"""A daemon says something every second; after so long without a word it is not there."""

RETRY_MIN_S: Final = 0.2
RETRY_MAX_S: Final = 3.0
"""The pause before a socket is tried again is doubled between these two: somebody looks on."""

STOP_S: Final = 1.0
"""For the thread to end: it waits for nothing that takes longer."""

LINE_BYTES: Final = 64 << 20
"""A longer line is no view."""

READ_BYTES: Final = 1 << 18


class Link:
    """One socket, watched on a thread of its own."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._view: NodeView | None = None
        self._trouble = ""
        self._seen = clock.monotonic()
        self._ending = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="genred-link", daemon=True)

    def connect(self) -> None:
        """Connect for the first time.

        Raises :class:`AccessError` where this user may not, :class:`UnavailableError` where
        nobody listens.
        """
        try:
            self._connection = self._connected()
        except PermissionError:
            raise AccessError(
                f"{self.path} may not be watched", "be root, or of the daemon's group"
            ) from None
        except OSError as error:
            raise UnavailableError(
                f"no daemon at {self.path}: {(error.strerror or str(error)).lower()}",
                "is it running? --broker watches over MQTT",
            ) from None

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()
        with self._lock:
            if self._connection is not None:
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)  # wakes who reads
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @property
    def name(self) -> str:
        """The node's name, or the socket's until it has said it."""
        return self._view.node if self._view is not None else str(self.path)

    def view(self) -> NodeView:
        """As last seen."""
        with self._lock:
            view, trouble, seen = self._view, self._trouble, self._seen
        now = self._clock.now()
        if view is None:
            return nobody(str(self.path), now)
        if trouble:
            return away(view, "the daemon is away", now)
        if self._clock.monotonic() - seen > SILENT_S:
            return away(view, "the daemon does not answer", now)
        return view

    def notice(self) -> str:
        """What stands in the way."""
        with self._lock:
            trouble, seen = self._trouble, self._seen
        silent = self._clock.monotonic() - seen
        if not trouble and silent > SILENT_S:
            return f"no word for {silent:.0f} s; waiting: {self.path}"
        return f"{trouble}; trying again: {self.path}" if trouble else ""

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(SILENT_S)
            connection.connect(str(self.path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _run(self) -> None:
        pause = RETRY_MIN_S
        while not self._ending.is_set():
            trouble = "the daemon has ended"
            try:
                if self._connection is None:
                    self._connection = self._connected()
                if self._read(self._connection):
                    pause = RETRY_MIN_S
            except WireError as error:
                trouble = str(error)
            except OSError as error:
                trouble = (error.strerror or str(error)).lower()
            with self._lock:
                self._trouble = trouble
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
            self._ending.wait(pause)
            pause = min(2 * pause, RETRY_MAX_S)

    def _read(self, connection: socket.socket) -> bool:
        """Take lines until the other end closes; tells whether there was any.

        Raises ``OSError`` and :class:`WireError`.
        """
        decoder = Decoder()
        rest = bytearray()
        while not self._ending.is_set():
            try:
                data = connection.recv(READ_BYTES)
            except TimeoutError:
                continue  # told by view() and notice(); a suspended daemon may go on
            if not data:
                return decoder.view is not None
            rest += data
            *lines, last = rest.split(b"\n")
            rest = bytearray(last)
            for line in lines:
                decoder.take(bytes(line))
            if lines:
                with self._lock:
                    self._view, self._trouble, self._seen = (
                        decoder.view,
                        "",
                        self._clock.monotonic(),
                    )
            if len(rest) > LINE_BYTES:
                raise WireError("what it says has no end")
        return True


class LocalSight:
    """The daemons behind ``paths``."""

    def __init__(self, paths: Sequence[Path], clock: Clock | None = None) -> None:
        self._links = [Link(path, clock or SystemClock()) for path in paths]

    def start(self) -> None:
        """Connect to all; raises what :meth:`Link.connect` raises if none can be."""
        failures: list[GenredError] = []
        for link in self._links:
            try:
                link.connect()
            except GenredError as error:
                failures.append(error)
        if len(failures) == len(self._links):
            raise failures[0]
        for link in self._links:
            link.start()

    def nodes(self) -> list[str]:
        """By socket: two daemons may bear one name."""
        return [str(link.path) for link in self._links]

    def view(self, node: str) -> NodeView:
        """The daemon behind a socket."""
        return self._of(node).view()

    def notice(self, node: str) -> str:
        """What stands in the way of seeing it."""
        return self._of(node).notice()

    def stop(self) -> None:
        """Look no more."""
        for link in self._links:
            link.stop()

    def _of(self, node: str) -> Link:
        return next(link for link in self._links if str(link.path) == node)
