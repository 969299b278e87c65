"""Logs: one line a record on standard error, fit for the journal, a terminal or a file.

Under journald a line begins with its priority (``<4>``, as sd-daemon(3) has it) and carries
neither time nor colour, both of which the journal adds itself. In a terminal the level is
coloured unless ``NO_COLOR`` is set (no-color.org). Elsewhere a line begins with the time in UTC.
For programs that read logs a record can be one JSON object instead.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

from genred.clock import Clock, SystemClock, iso
from genred.masking import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LOGGERS: Final = ("genred", "genred_train")
"""genred's own loggers, which the level is meant for; all others speak from warnings on."""

REPEATS: Final = 10
"""Lines of one kind that pass in a period: enough to see each of a few feeds, no flood."""

PERIOD_S: Final = 60.0
"""How long repeats are counted together: a fault that lasts is told once a minute."""

KINDS: Final = 500
"""Kinds of lines that are counted at once; the oldest make room, so memory is bounded."""

MAX_CHARACTERS: Final = 4000
"""Longer lines are cut: a stream's title may be of any length."""

_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG_PRIORITY: Final = 7
_COLOURS: Final = ((logging.ERROR, "31"), (logging.WARNING, "33"), (logging.INFO, "32"))

_log = logging.getLogger(__name__)


def setup(
    level: str,
    *,
    form: Literal["text", "json"] = "text",
    journald: bool | None = None,
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> LineHandler:
    """Send all logs from ``level`` (``debug``, ``info``, ``warning``, ``error``) on to stderr.

    May be called again, to change the level. ``form`` is how a record is written; ``journald``
    None finds out by itself; ``stream`` is standard error if not given, ``environ`` the process's
    own. Exceptions that end a thread, and Python's warnings, are logged too. :func:`reset` undoes
    it.
    """
    environ = os.environ if environ is None else environ
    reset()
    least: int = logging.getLevelNamesMapping()[level.upper()]
    kind = JsonFormatter if form == "json" else LineFormatter
    handler = LineHandler(
        kind.fitting(stream or sys.stderr, environ, journald, debug=level == "debug"),
        stream,
        clock or SystemClock(),
    )
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO if level == "debug" else max(least, logging.WARNING))
    for name in LOGGERS:
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_ended
    return handler


def reset() -> None:
    """Take back what :func:`setup` did; what was held back is told first."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, LineHandler)]:
        root.removeHandler(handler)
        handler.close()
        root.setLevel(handler.before.level)
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.NOTSET)
        logging.captureWarnings(capture=False)
        threading.excepthook = handler.before.excepthook


def under_journald(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` is the journal: ``$JOURNAL_STREAM`` names its device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "?"
    error = args.exc_value or args.exc_type()
    _log.error("thread %s ended", name, exc_info=(args.exc_type, error, args.exc_traceback))


class LineFormatter(logging.Formatter):
    """A record as one line; a traceback follows at debug level alone."""

    def __init__(self, *, journald: bool, colour: bool, debug: bool) -> None:
        super().__init__()
        self.journald = journald
        self.colour = colour
        self.debug = debug

    @classmethod
    def fitting(
        cls, stream: TextIO, environ: Mapping[str, str], journald: bool | None, *, debug: bool
    ) -> LineFormatter:
        """The one for where ``stream`` leads."""
        if journald is None:
            journald = under_journald(stream, environ)
        plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb" or not stream.isatty()
        return cls(journald=journald, colour=not journald and not plain, debug=debug)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        text = f"{record.name}: {record.getMessage()}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text += f": {type(error).__name__}: {error}"
        lines = [self._head(record) + clean(text)]
        if error is not None and self.debug:
            head = f"<{_DEBUG_PRIORITY}>" if self.journald else ""
            trace = "".join(traceback.format_exception(error)).splitlines()
            lines += [f"{head}  {clean(line)}" for line in trace]
        return "\n".join(lines)

    def _head(self, record: logging.LogRecord) -> str:
        if self.journald:
            return f"<{_of(record.levelno, _PRIORITIES, _DEBUG_PRIORITY)}>"
        level = record.levelname.lower()
        if self.colour:
            level = f"\x1b[{_of(record.levelno, _COLOURS, '2')}m{level}\x1b[0m"
        return f"{iso(record.created)} {level} "


class JsonFormatter(LineFormatter):
    """A record as one JSON object: ``ts``, ``level``, ``logger``, ``message``.

    An exception adds ``error``, and at debug level ``traceback``. Under journald the priority still
    stands in front, where journald takes it away.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: dict[str, Any] = {
            "ts": iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["error"] = clean(f"{type(error).__name__}: {error}")
            if self.debug:
                trace = "".join(traceback.format_exception(error)).splitlines()
                fields["traceback"] = [clean(line) for line in trace]
        head = self._head(record) if self.journald else ""
        return head + json.dumps(fields, ensure_ascii=False)


def _of(level: int, table: tuple[tuple[int, Any], ...], otherwise: Any) -> Any:
    return next((value for least, value in table if level >= least), otherwise)


def clean(text: str) -> str:
    """``text`` as one printable line: secrets in URLs masked, control characters escaped."""
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}… ({len(text)} characters)"
    text = mask(text)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


@dataclass(frozen=True, slots=True)
class Before:
    """What :func:`setup` found, for :func:`reset` to restore."""

    level: int
    excepthook: Callable[[threading.ExceptHookArgs], object]


class LineHandler(logging.Handler):
    """Writes records to a stream, or to standard error; a stream that is gone stops nothing."""

    def __init__(self, formatter: LineFormatter, stream: TextIO | None, clock: Clock) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.before = Before(logging.getLogger().level, threading.excepthook)
        self._stream = stream
        self._repeats = Repeats(clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record``, unless too many like it went before."""
        for each in self._repeats.over():
            self._write(each)
        if self._repeats.admit(record):
            self._write(record)

    def close(self) -> None:
        """Tell what is still held back."""
        self.acquire()
        try:
            for each in self._repeats.all():
                self._write(each)
        finally:
            self.release()
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        stream = self._stream or sys.stderr
        try:
            stream.write(self.format(record) + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads the log: listening goes on
        except Exception:  # noqa: BLE001 - a wrong format string must not end a thread
            self.handleError(record)


@dataclass(slots=True)
class _Kind:
    """Records of one kind in one period."""

    last: logging.LogRecord
    since: float
    count: int = 1

    @property
    def held(self) -> int:
        return max(self.count - REPEATS, 0)

    def summary(self) -> logging.LogRecord:
        last = self.last
        text, count = last.getMessage(), self.held
        return logging.LogRecord(
            last.name, last.levelno, last.pathname, last.lineno,
            "%d more like this were held back, the last: %s", (count, text), None,
        )  # fmt: skip


class Repeats:
    """Counts warnings and errors by kind: their logger, level and text before arguments fill it.

    :data:`REPEATS` of a kind pass in :data:`PERIOD_S` seconds; of those held back the number is
    told when the period is over, with the next record of any kind.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, int, str], _Kind] = {}
        self._crowded_out: list[logging.LogRecord] = []

    def admit(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is to be written."""
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        key = (record.name, record.levelno, str(record.msg))
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= KINDS:
                oldest = self._kinds.pop(next(iter(self._kinds)))
                self._crowded_out += [oldest.summary()] if oldest.held else []
            self._kinds[key] = _Kind(record, self._clock.monotonic())
            return True
        kind.count += 1
        kind.last = record
        return kind.count <= REPEATS

    def over(self) -> Iterator[logging.LogRecord]:
        """One record for each kind that was held back in a period that is over."""
        now = self._clock.monotonic()
        yield from self._take(
            [key for key, kind in self._kinds.items() if now - kind.since >= PERIOD_S]
        )

    def all(self) -> Iterator[logging.LogRecord]:
        """The same for periods that are not over yet, at the end."""
        yield from self._take(list(self._kinds))

    def _take(self, keys: list[tuple[str, int, str]]) -> Iterator[logging.LogRecord]:
        crowded_out, self._crowded_out = self._crowded_out, []
        yield from crowded_out
        for key in keys:
            kind = self._kinds.pop(key)
            if kind.held:
                yield kind.summary()
