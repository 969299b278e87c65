"""What is done already: one JSON line a file, added as soon as it is heard.

A line counts for a file of the same absolute path, size and modification time, heard in the same
way (:meth:`genred.archive.jobs.Recipe.fingerprint`); of several the last one counts. A line is
written whole before the next file's: a process that is killed leaves at most one torn line, which
is cut off when the journal is opened again. Faults are not written down, so that the next run
tries again. Memory holds where each line stands, never the lines.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import time
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Final, Self

from genred.errors import OutputError, TemporaryError

if TYPE_CHECKING:
    from pathlib import Path

    from genred.archive.jobs import Job

SYNC_S: Final = 5.0
"""A loss of power costs the work of so long; to wait for the disk at each file would cost more."""


class Journal:
    """An append-only file of outcomes, locked against a second run.

    Without a path it is a nameless file, forgotten with the process. Raises
    :class:`TemporaryError` where another run has it, :class:`OutputError` where it cannot be
    written.
    """

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self.path = path
        self._by = fingerprint
        self._places: dict[str, tuple[int, int, int]] = {}
        self._synced = time.monotonic()
        try:
            self._file: IO[bytes] = _open(path)
        except BlockingIOError:
            raise TemporaryError(
                f"another genred tag is at work on {path}", "wait for it, or end it"
            ) from None
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from None
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was added stays."""
        self._file.close()

    def discard(self) -> None:
        """Remove it from the disk."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def has(self, job: Job) -> bool:
        """Was this very file heard in this very way."""
        place = self._places.get(job.path)
        return place is not None and place[:2] == (job.size, job.mtime_ns)

    def result(self, job: Job) -> dict[str, Any]:
        """The result of a file that :meth:`has`."""
        self._file.seek(self._places[job.path][2])
        result: dict[str, Any] = json.loads(self._file.readline())["result"]
        return result

    def carry_over(self, job: Job, size: int, mtime_ns: int) -> None:
        """A file that :meth:`has` is of another size or time now, and holds the same audio."""
        changed = replace(job, size=size, mtime_ns=mtime_ns)
        self.add(changed, self.result(job))

    def add(self, job: Job, result: dict[str, Any]) -> None:
        """Remember a result. Raises :class:`OutputError` where it cannot be written."""
        line = {
            "path": job.path,
            "size": job.size,
            "mtime_ns": job.mtime_ns,
            "by": self._by,
            "result": result,
        }
        try:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            if time.monotonic() - self._synced > SYNC_S:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror}",
                "what is done so far is kept; make room and run the same again",
            ) from None
        self._places[job.path] = (job.size, job.mtime_ns, place)

    def _read(self) -> None:
        """Take in what is there, and cut off a torn end."""
        self._file.seek(0)
        place = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                if entry["by"] == self._by and isinstance(entry["result"], dict):
                    self._places[entry["path"]] = (entry["size"], entry["mtime_ns"], place)
            place += len(line)
        self._file.truncate(place)


def _open(path: Path | None) -> IO[bytes]:
    if path is None:
        return tempfile.TemporaryFile()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file
