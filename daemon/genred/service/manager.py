"""The seam to the service manager: sd_notify(3), spoken directly over its datagram socket.

The protocol is one line of text a datagram; a library for it would be longer than this module.
Without ``$NOTIFY_SOCKET`` nothing is sent and nothing is different.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from genred.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("genred.service")

SEND_S: Final = 1.0
"""The manager reads its socket at once; if it does not for so long, the word is lost. No thread
that handles audio ever waits for this."""

STATUS_CHARACTERS: Final = 500
"""`systemctl status` shows one line; more than this nobody reads."""


class ServiceManager(ABC):
    """Who started this daemon and wants to know how it is. Methods never raise."""

    watchdog_s: float | None = None
    """The daemon is taken for dead when nothing was heard of it for so long; None: never."""

    present: bool = True
    """Is there a manager at all."""

    @abstractmethod
    def send(self, *lines: str) -> None:
        """Send assignments ``NAME=value``, all in one datagram."""

    def ready(self) -> None:
        """Starting, or reloading, is over."""
        self.send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; :meth:`ready` must follow."""
        # systemd tells by the time which of several reloads this one answers.
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self.send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Starting, or stopping, takes at most ``seconds`` from now."""
        self.send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")

    def status(self, text: str) -> None:
        """One line for people."""
        self.send(f"STATUS={clean(text)[:STATUS_CHARACTERS]}")

    def watchdog(self) -> None:
        """There has been progress."""
        self.send("WATCHDOG=1")

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Nothing more will be sent."""


class NoManager(ServiceManager):
    """Nobody: started by hand."""

    present = False

    def send(self, *lines: str) -> None:
        """Do nothing."""


class Systemd(ServiceManager):
    """systemd, or whoever else listens on ``$NOTIFY_SOCKET``.

    ``address`` is the path of a datagram socket, or ``@name`` in Linux' abstract namespace.
    """

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SEND_S)
        self._complained = False

    def send(self, *lines: str) -> None:
        """Send assignments ``NAME=value`` in one datagram; a failure is logged once."""
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("the service manager cannot be told: %s", error.strerror or error)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def from_environment(environ: Mapping[str, str]) -> ServiceManager:
    """Who ``$NOTIFY_SOCKET``, ``$WATCHDOG_USEC`` and ``$WATCHDOG_PID`` speak of."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return NoManager()
    if address[0] not in "/@":
        log.warning("$NOTIFY_SOCKET is neither a path nor @name: nobody is told how this goes")
        return NoManager()
    return Systemd(address, _watchdog_s(environ))


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """As sd_watchdog_enabled(3): the variable may have been inherited and be meant for another."""
    usec = environ.get("WATCHDOG_USEC", "")
    pid = environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit()) or int(usec) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(usec) / 1_000_000
