"""What else would write on the terminal while the dashboard has it: kept back, told afterwards."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

SHOWN_SECONDS = 60.0
"""How long the last warning stands on the dashboard."""

MAX_KEPT_BYTES = 256 * 1024
"""Of what was written to standard error at most this is told afterwards; the daemon runs for
months, and its oldest lines are of no use then."""


class LastWarning(logging.Handler):
    """Remembers the last log record of level warning or above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: tuple[float, str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remember ``record``; never raises."""
        try:
            self._last = (time.monotonic(), record.getMessage())
        except Exception:  # noqa: BLE001 - a record that cannot be formatted is the logger's fault
            self.handleError(record)

    def text(self) -> str:
        """The last warning while it is news, else an empty string."""
        last = self._last
        if last is None or time.monotonic() - last[0] > SHOWN_SECONDS:
            return ""
        return last[1]

    def __enter__(self) -> Self:
        """Listen to every logger."""
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        logging.getLogger().removeHandler(self)
        self.close()


class HeldStderr:
    """Holds back standard error (the file descriptor, so that libraries in C are held back too).

    Only where it is a terminal: a redirected one disturbs no display. What was written comes out
    on leaving, the newest :data:`MAX_KEPT_BYTES` of it.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._kept: int | None = None
        self._saved: int | None = None
        self._dropped = 0

    def __enter__(self) -> Self:
        """Hold it back from now on."""
        if not os.isatty(self._descriptor):
            return self
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        try:
            with tempfile.TemporaryFile(buffering=0) as file:
                self._kept = os.dup(file.fileno())
        except OSError:  # nowhere to write: the lines then show on the display
            return self
        self._saved = os.dup(self._descriptor)
        os.dup2(self._kept, self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back and tell what was held back."""
        if self._saved is None or self._kept is None:
            return
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(self._saved, self._descriptor)
        text = self._read()
        if self._dropped:
            text = f"({self._dropped} older bytes of messages are not kept)\n".encode() + text
        with suppress(OSError):
            while text:
                text = text[os.write(self._descriptor, text) :]
        os.close(self._saved)
        os.close(self._kept)
        self._saved = self._kept = None

    def trim(self) -> None:
        """Forget the older half when too much has come together; cheap, called now and then."""
        if self._kept is None or os.fstat(self._kept).st_size <= 2 * MAX_KEPT_BYTES:
            return
        text = self._read()
        # Both descriptors share one offset: the next write follows on what is written here.
        os.lseek(self._kept, 0, os.SEEK_SET)
        os.ftruncate(self._kept, 0)
        os.write(self._kept, text)

    def _read(self) -> bytes:
        """The newest lines kept."""
        assert self._kept is not None
        size = os.fstat(self._kept).st_size
        start = max(size - MAX_KEPT_BYTES, 0)
        text = os.pread(self._kept, MAX_KEPT_BYTES, start)
        if start:
            newline = text.find(b"\n") + 1
            self._dropped += start + newline
            text = text[newline:]
        return text
