"""One line a change, on standard output: for ``--plain``, pipes, files and the journal."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TextIO

from genred.clock import iso
from genred.messages import EventType, FeedEvent, FeedHealth, Message, SourceStatus
from genred.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genred.messages import NodeInfo
    from genred.publishers.base import FeedInfo

QUEUE: Final = 1000
"""Lines kept while the reader of the other end does not read; then the oldest go."""

STOP_S: Final = 1.0
"""A reader that does not read any more holds up the end of the daemon no longer than this."""

_TROUBLED = frozenset(status.value for status in SourceStatus if status.trouble)

_TIME = "dim"
_LABEL = "bold"
_TROUBLE = "bold red"


class PlainPublisher:
    """Writes a line for every event and for every source that comes or goes.

    ``2026-01-31T09:00:00.250Z kitchen changed rock -> jazz 0.83``: the audio's time, the feed,
    what happened, the label (after the one before it) and its confidence. The time is left out
    where ``stream`` is the systemd journal, which has its own; bold and colour are used on a
    terminal alone, and not with ``NO_COLOR``. With ``json_lines`` every message is a line of JSON
    instead, its kind under ``message``.

    Lines are written on a thread of its own; when nobody reads, the oldest are dropped and
    counted. When the other end closes (``| head``) nothing more is written, and nobody is told:
    :attr:`closed` says so.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        json_lines: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._stream = stream
        self._json = json_lines
        self._colour = not json_lines and stream.isatty() and not environ.get("NO_COLOR")
        self._timed = not is_journal(stream, environ.get("JOURNAL_STREAM", ""))
        self._lines: deque[str] = deque()
        self._ready = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._told: dict[str, str] = {}
        self.dropped = 0
        """Lines that nobody read in time."""
        self.closed = False
        """Has the reader gone away."""

    def start(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Begin to write."""
        del feeds
        self._thread = threading.Thread(target=self._write, name="genred-plain", daemon=True)
        self._thread.start()
        if self._json:
            self.offer(node)

    def rearrange(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Other feeds: their lines will say so; one that returns under an old name is new."""
        del feeds
        if self._json:
            self.offer(node)

    def offer(self, message: Message) -> None:
        """Queue the line for ``message``, where it makes one."""
        if self.closed:
            return
        text = self._as_json(message) if self._json else self._as_line(message)
        if not text:
            return
        with self._ready:
            if len(self._lines) >= QUEUE:
                self._lines.popleft()
                self.dropped += 1
            self._lines.append(text)
            self._ready.notify()

    def status(self) -> str:
        """Whether somebody reads."""
        if self.closed:
            return "standard output closed"
        return f"standard output, {self.dropped} lines dropped" if self.dropped else "standard out"

    def stop(self) -> None:
        """Write what is left, within :data:`STOP_S`."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join(STOP_S)
            self._thread = None

    def _as_json(self, message: Message) -> str:
        return json.dumps({"message": message.topic, **message.to_dict()}, ensure_ascii=False)

    def _as_line(self, message: Message) -> str:
        if isinstance(message, FeedEvent):
            return self._line(message.ts, message.feed, *self._event(message))
        if isinstance(message, FeedHealth):
            before = self._told.get(message.feed, SourceStatus.STARTING.value)
            self._told[message.feed] = message.status
            if message.status != before:
                trouble = message.status in _TROUBLED
                said = self._paint(message.status, _TROUBLE if trouble else None)
                why = clean(message.last_error) if trouble else ""
                return self._line(message.ts, message.feed, "source", said, why)
        return ""

    def _event(self, event: FeedEvent) -> list[str]:
        dead = event.event_type == EventType.DEAD_AIR
        words = [self._paint(clean(event.event_type), _TROUBLE if dead else None)]
        if event.event_type == EventType.CHANGED and event.previous is not None:
            words += [clean(event.previous), "->"]
        words += [self._paint(clean(event.label), _LABEL), f"{event.confidence:.2f}"]
        if event.title:
            words.append(f'"{clean(event.title)}"')
        return words

    def _line(self, ts: float, *words: str) -> str:
        stamp = self._paint(iso(ts), _TIME) if self._timed else ""
        return " ".join(word for word in (stamp, *words) if word)

    def _paint(self, text: str, style: str | None) -> str:
        if style is None or not self._colour:
            return text
        from rich.style import Style  # noqa: PLC0415 - no service needs it

        return Style.parse(style).render(text)

    def _write(self) -> None:
        """Write lines until told to stop; runs on the publisher's own thread."""
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._lines or self._stopping)
                if not self._lines:
                    return
                text = "\n".join(self._lines) + "\n"
                self._lines.clear()
            try:
                self._stream.write(text)
                self._stream.flush()
            except UnicodeEncodeError:
                # A stream that cannot write all characters gets them spelled out.
                self._write_spelled_out(text)
            except (OSError, ValueError):
                self._close()
                return

    def _write_spelled_out(self, text: str) -> None:
        try:
            self._stream.write(text.encode("ascii", "backslashreplace").decode())
            self._stream.flush()
        except (OSError, ValueError):
            self._close()

    def _close(self) -> None:
        """The reader is gone: be silent, and let Python flush at its exit into nothing."""
        self.closed = True
        with self._ready:
            self._lines.clear()
        try:
            descriptor = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        except (OSError, ValueError):
            pass  # not a file, or closed already: nothing will be flushed


def is_journal(stream: TextIO, journal_stream: str) -> bool:
    """Is ``stream`` connected to the systemd journal, by ``$JOURNAL_STREAM``.

    The variable holds ``device:inode`` of the journal's socket, and is inherited by processes
    whose output goes elsewhere; hence the comparison (systemd.exec(5)).
    """
    if not journal_stream:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"
