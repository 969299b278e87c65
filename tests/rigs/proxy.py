"""A line to a server that can be slow, or dead without saying so: a TCP proxy on the loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

PIECE_S = 0.05
"""A throttled line carries what it may in pieces of this length."""


class Proxy:
    """Carries connections to ``port``; listens on :attr:`port` from the beginning."""

    def __init__(self, port: int) -> None:
        self.bytes_per_s: float | None = None
        """How much it carries towards the server, each connection; None: all there is."""
        self.held = False
        """Connections are accepted, and nothing is carried."""
        self._to = port
        self._open: list[socket.socket] = []
        self._closing = False
        # A small buffer, or the kernel would carry megabytes before anybody noticed.
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def hang_up(self) -> None:
        """End all connections."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self._open.append(near)
            thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket) -> None:
        while self.held and not self._closing:
            time.sleep(PIECE_S)
        with contextlib.suppress(OSError):
            far = socket.create_connection(("127.0.0.1", self._to), 5)
            far.settimeout(None)
            self._open.append(far)
            back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
            self._threads.append(back)
            back.start()
            self._pass(near, far, throttled=True)

    def _pass(self, here: socket.socket, there: socket.socket, *, throttled: bool = False) -> None:
        with contextlib.suppress(OSError):
            while True:
                rate = self.bytes_per_s if throttled else None
                data = here.recv(65536 if rate is None else max(1, round(rate * PIECE_S)))
                if not data:
                    break
                there.sendall(data)
                if rate is not None:
                    time.sleep(len(data) / rate)
        for each in (here, there):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
