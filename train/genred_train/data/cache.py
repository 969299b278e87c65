"""Decoded audio on disk: one file of samples that only grows, and an index by content.

The key of a recording is the hash of its content, and the file that of the settings, so that a
renamed or copied recording is decoded once and changed settings start anew. Samples are
written first and indexed after: what a killed run leaves behind is written over by the next.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genred.errors import OutputError
from genred_train.data import decoding
from genred_train.data.decoding import Settings, UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

# Raise it when the same settings come to mean other samples.
LAYOUT = 1

# Fewer files are decoded before the processes for them would have started.
WORTH_PROCESSES = 24


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a recording lies in the samples."""

    digest: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """A recording that was left out, and why."""

    path: Path
    reason: str


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/genred``, by default ``~/.cache/genred``."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if base else Path.home() / ".cache") / "genred"


class Cache:
    """The samples of all recordings ever decoded with ``settings`` in ``folder``."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        key = json.dumps({"layout": LAYOUT, **asdict(settings)}, sort_keys=True)
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.settings = settings
        self._samples = folder / f"{name}.s16"
        self._index = folder / f"{name}.jsonl"
        self._lock = folder / f"{name}.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the cache folder {folder}: {error.strerror}",
                "choose another with --cache",
            ) from None

    def fetch(
        self, paths: Sequence[Path], progress: Callable[[int, int], None]
    ) -> tuple[dict[Path, Stored], list[Unusable]]:
        """Find or decode ``paths``, with a process a core; ``progress(done, total)`` is told.

        Returns where each lies, and those that cannot be used. Raises :class:`OutputError` if
        the cache cannot be written.
        """
        found: dict[Path, Stored] = {}
        unusable: list[Unusable] = []
        with self._locked() as known:
            missing: dict[str, list[Path]] = {}
            for path in paths:
                try:
                    digest = decoding.digest(path)
                except UnusableError as error:
                    unusable.append(Unusable(path, str(error)))
                    continue
                if digest in known:
                    found[path] = known[digest]
                else:
                    missing.setdefault(digest, []).append(path)
            progress(len(paths) - len(missing), len(paths))
            for digest, answer in self._decoded(missing, len(paths), progress):
                if isinstance(answer, str):
                    unusable.extend(Unusable(path, answer) for path in missing[digest])
                    continue
                stored = self._append(digest, answer)
                found.update(dict.fromkeys(missing[digest], stored))
        return found, sorted(unusable, key=lambda item: item.path)

    def keep(self, recordings: Sequence[NDArray[np.int16]]) -> list[Stored]:
        """Store samples that come from no file, under the hash of the samples themselves."""
        kept = []
        with self._locked() as known:
            for samples in recordings:
                digest = hashlib.sha256(samples.tobytes()).hexdigest()
                if digest not in known:
                    known[digest] = self._append(digest, samples)
                kept.append(known[digest])
        return kept

    def samples(self) -> NDArray[np.int16]:
        """All samples, mapped from disk, read-only."""
        if not self._samples.exists() or self._samples.stat().st_size == 0:
            return np.empty(0, np.int16)
        return np.memmap(self._samples, dtype=np.int16, mode="r")

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Stored]]:
        """Hold the cache for this process alone, and read its index."""
        try:
            with self._lock.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known: dict[str, Stored] = {}
                if self._index.exists():
                    for line in self._index.read_text().splitlines():
                        try:
                            stored = Stored(**json.loads(line))
                        except (ValueError, TypeError):
                            continue  # the half line of a killed run
                        known[stored.digest] = stored
                self._end = max((s.start + s.length for s in known.values()), default=0)
                yield known
        except PermissionError as error:
            raise OutputError(
                f"cannot use the cache {self._lock.parent}: {error.strerror}",
                "choose another with --cache",
            ) from None

    def _append(self, digest: str, samples: NDArray[np.int16]) -> Stored:
        stored = Stored(digest, self._end, int(samples.size))
        try:
            with self._samples.open("r+b" if self._samples.exists() else "w+b") as file:
                file.seek(2 * self._end)
                file.write(samples.astype("<i2").tobytes())
            with self._index.open("a") as index:
                index.write(json.dumps(asdict(stored)) + "\n")
        except OSError as error:
            raise OutputError(
                f"cannot write the cache {self._samples}: {error.strerror}",
                "make room, or choose another folder with --cache",
            ) from None
        self._end += stored.length
        return stored

    def _decoded(
        self, missing: dict[str, list[Path]], total: int, progress: Callable[[int, int], None]
    ) -> Iterator[tuple[str, NDArray[np.int16] | str]]:
        if not missing:
            return
        jobs = [(digest, paths[0], self.settings) for digest, paths in missing.items()]
        workers = min(len(jobs), len(os.sched_getaffinity(0)))
        done = total - len(missing)
        if workers == 1 or len(jobs) < WORTH_PROCESSES:
            answers: Iterator[tuple[str, NDArray[np.int16] | str]] = map(_job, jobs)
            for count, answer in enumerate(answers, start=done + 1):
                yield answer
                progress(count, total)
            return
        # Started afresh, not forked: a fork of a process with threads may hang.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for count, answer in enumerate(pool.map(_job, jobs, chunksize=4), start=done + 1):
                yield answer
                progress(count, total)


def _job(job: tuple[str, Path, Settings]) -> tuple[str, NDArray[np.int16] | str]:
    digest, path, settings = job
    try:
        return digest, decoding.decode(path, settings)
    except UnusableError as error:
        return digest, str(error)
