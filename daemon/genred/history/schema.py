"""The tables, how an older file becomes a newer one, and connections for writing and reading.

A file says what it is: ``application_id`` that it is genred's, ``user_version`` how many of
:data:`MIGRATIONS` it has been through. Each migration is one transaction with its number, so that
a kill in the middle leaves the file as it was before.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from genred.errors import AccessError, ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

APPLICATION_ID: Final = 0x67656E72
"""``genr``: tells the file from any other SQLite database."""

BUSY_S: Final = 5.0
"""A reader and the writer meet only while a file is opened or its log is folded back: moments."""

PAGE_BYTES: Final = 4096

LOG_BYTES: Final = 4 << 20
"""What the write-ahead log is cut to after it was folded back into the file."""

MIGRATIONS: Final[tuple[str, ...]] = (
    # 1: as it began. Times are Unix seconds of the audio.
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, node TEXT NOT NULL, version TEXT NOT NULL, model TEXT NOT NULL,
        started REAL NOT NULL, seen REAL NOT NULL, ended REAL
    ) STRICT;
    CREATE TABLE segments (
        id INTEGER PRIMARY KEY, feed TEXT NOT NULL, label TEXT NOT NULL, kind TEXT NOT NULL,
        start REAL NOT NULL, until REAL, seen REAL NOT NULL, confidence REAL NOT NULL,
        told INTEGER NOT NULL, title TEXT, cut INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX segments_by_start ON segments (feed, start);
    CREATE INDEX segments_open ON segments (feed) WHERE until IS NULL;
    CREATE TABLE dead_air (
        id INTEGER PRIMARY KEY, feed TEXT NOT NULL, start REAL NOT NULL, until REAL,
        seen REAL NOT NULL, cut INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX dead_air_by_start ON dead_air (feed, start);
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, feed TEXT NOT NULL, seq INTEGER NOT NULL,
        ts REAL NOT NULL, event_type TEXT NOT NULL, label TEXT NOT NULL, kind TEXT NOT NULL,
        confidence REAL NOT NULL, start REAL NOT NULL, until REAL, previous TEXT,
        previous_seconds REAL, title TEXT, UNIQUE (run, feed, seq, ts)
    ) STRICT;
    CREATE INDEX events_by_time ON events (feed, ts);
    """,
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def open_for_writing(
    path: Path, max_bytes: int, migrations: Sequence[str] = MIGRATIONS
) -> sqlite3.Connection:
    """The file at ``path``, made if it is not there and brought up to date.

    Raises :class:`ConfigError` for a file that is newer than this genred or no history of its
    at all, ``sqlite3.Error`` and ``OSError`` for what may pass.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # What a room was full of is nobody else's business: 0600, and SQLite's own files follow it.
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        _migrate(connection, path, migrations)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        connection.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 64)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version = check(connection, path, len(migrations))
    if version == 0:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    for number in range(version, len(migrations)):
        with transaction(connection):
            for statement in migrations[number].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")


def check(connection: sqlite3.Connection, path: Path, newest: int = len(MIGRATIONS)) -> int:
    """The version of the schema; 0 for an empty file. Raises :class:`ConfigError`."""
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB:
            raise
        raise ConfigError(f"{path} is no history of genred's", "set another history.path") from None
    if application != APPLICATION_ID and (tables or application or version):
        raise ConfigError(f"{path} is no history of genred's", "set another history.path")
    if version > newest:
        raise ConfigError(
            f"{path} was written by a newer genred (schema {version}, this one knows {newest})",
            "update genred, or set another history.path",
        )
    return int(version)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees one state of the file and cannot change it.

    Raises :class:`InputError` where there is none or it cannot be read, :class:`AccessError`
    where it may not be, :class:`ConfigError` for what is no history this genred can read.
    """
    _look(path)
    connection = None
    try:
        connection = _connect_to_read(path)
        version = check(connection, path)
        if version < len(MIGRATIONS):
            raise ConfigError(
                f"{path} was written by an older genred (schema {version})",
                "start genred once: it brings the file up to date",
            )
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        yield connection
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    finally:
        if connection is not None:
            connection.close()


def _look(path: Path) -> None:
    # Not by opening it: to close a file drops all POSIX locks that this process has on it, those
    # of a writer in the same process too.
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no history there") from None
    except PermissionError:
        raise _forbidden(path) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not os.access(path, os.R_OK):
        raise _forbidden(path)


def _forbidden(path: Path) -> AccessError:
    return AccessError(f"{path} may not be read", "be root, or the user that genred runs as")


def _connect_to_read(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # Nobody writes, and this user may not make the files that a shared log needs.
        connection = sqlite3.connect(f"{address}&immutable=1", uri=True, isolation_level=None)
    return connection
