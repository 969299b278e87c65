"""A collection from its listing to its rows: what is done is remembered, the rest is heard."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genred.archive.journal import Journal
from genred.errors import OutputError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from genred.archive.jobs import Fault, Job, Outcome


class Engine(Protocol):
    """Whoever has files heard: on this machine, or on many."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """One outcome for each job, in any order."""


class Collection:
    """The files of a run and what came of each; every file has one row or one fault."""

    def __init__(self, jobs: Sequence[Job], faults: Iterable[Fault], journal: Journal) -> None:
        self.jobs = jobs
        self.faults = list(faults)
        self._journal = journal
        self.todo = [job for job in jobs if not journal.has(job)]
        self._failed: set[str] = set()
        self._next = 0

    def hear(self, engine: Engine) -> Iterator[Outcome]:
        """Hear what is left to do, and remember it; each outcome when it is there.

        Raises :class:`OutputError` where it cannot be remembered.
        """
        for outcome in engine.run(self.todo):
            job = outcome.job
            if self._journal.has(job) or job.path in self._failed:
                continue  # an engine that repeats itself changes nothing
            if outcome.result is not None:
                self._journal.add(job, outcome.result)
            else:
                self._failed.add(job.path)
                if outcome.fault is not None:
                    self.faults.append(outcome.fault)
            yield outcome

    def ready(self) -> Iterator[dict[str, Any]]:
        """The rows that are next in the order of the listing, as far as they are there."""
        while self._next < len(self.jobs):
            job = self.jobs[self._next]
            if self._journal.has(job):
                yield self._row(job)
            elif job.path not in self._failed:
                return
            self._next += 1

    def heard(self) -> list[Job]:
        """The files that have a row, in the order of the listing."""
        return [job for job in self.jobs if self._journal.has(job)]

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows there are, in the order of the listing."""
        return (self._row(job) for job in self.jobs if self._journal.has(job))

    def row(self, job: Job) -> dict[str, Any]:
        """The row of a file that was heard."""
        return self._row(job)

    def changed(self, job: Job, size: int, mtime_ns: int) -> None:
        """A file's tags were written: it need not be heard again for that."""
        self._journal.carry_over(job, size, mtime_ns)

    def _row(self, job: Job) -> dict[str, Any]:
        return {"path": job.shown, **self._journal.result(job)}


def journal_beside(out: Path) -> Path:
    """Where a run that writes ``out`` remembers what is done."""
    return out.with_name(f"{out.name}.journal")


def journal_for(paths: Iterable[Path], environ: Mapping[str, str]) -> Path:
    """The same for a run that writes to standard output: one for each set of ``paths``."""
    state = environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    named = "\0".join(sorted(os.path.abspath(path) for path in paths))  # noqa: PTH100 - no links
    digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Path(state, "genred", "tag", f"{digest}.journal")


def open_journal(
    out: Path | None, paths: Iterable[Path], fingerprint: str, environ: Mapping[str, str]
) -> Journal:
    """The journal of a run.

    One that writes to standard output goes on without where there is no place for it, or the same
    runs twice: it could not be resumed, that is all. Raises :class:`OutputError`
    and :class:`TemporaryError`.
    """
    if out is not None:
        return Journal(journal_beside(out), fingerprint)
    try:
        return Journal(journal_for(paths, environ), fingerprint)
    except (OutputError, TemporaryError, RuntimeError):  # RuntimeError: there is no home
        return Journal(None, fingerprint)
