"""Many files at once on this machine: a process for each worker.

Processes rather than threads: a decoder that crashes on a hostile file takes its own process with
it and nothing else, and what Python does between two packets runs in parallel.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Final

from genred import frugal
from genred.archive.jobs import Hearer, Job, Outcome, Recipe, failed
from genred.errors import GenredError, InternalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.context import SpawnProcess

ATTEMPTS: Final = 2
"""A worker may die of what is no fault of its file (somebody ended it, the memory ran out): the
file is tried once more."""

SILENT_S: Final = 300.0
"""A worker that says nothing for so long hangs: of a file that goes on it says so every 5 s, and a
network drive that is away is given up after 30 s. Its file counts as one that cannot be heard."""

START_S: Final = 120.0
"""A worker that has not loaded the model by then never will, not even on a laden machine."""

DEAD_STARTS: Final = 3
"""So many workers on end that die before they are ready: nothing will come of it."""

LEAVE_S: Final = 5.0
"""An idle worker leaves at once when its pipe is closed; one that does not is ended."""


class Processes:
    """An engine of ``workers`` processes; closing it ends them all."""

    def __init__(self, recipe: Recipe, workers: int) -> None:
        self._recipe = recipe
        self._workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._staff: list[_Worker] = []
        self._dead_starts = 0

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """The outcome of each job, once, in the order in which they are done.

        Raises what loading the model does, and :class:`InternalError` where no worker lives.
        """
        waiting = deque((job, 1) for job in jobs)
        try:
            for _ in range(min(self._workers, len(waiting))):
                self._staff.append(_Worker(self._context, self._recipe))
            while waiting or any(worker.job for worker in self._staff):
                for worker in self._staff:
                    if worker.ready and worker.job is None and waiting:
                        worker.give(*waiting.popleft())
                yield from self._news(waiting)
        finally:
            self.close()

    def close(self) -> None:
        """End all workers."""
        for worker in self._staff:
            worker.end()
        self._staff.clear()

    def _news(self, waiting: deque[tuple[Job, int]]) -> Iterator[Outcome]:
        """Wait until a worker says something, dies or takes too long."""
        limit = min(worker.until for worker in self._staff) - time.monotonic()
        patience = min(max(0.0, limit), START_S)  # no system waits for an infinite time
        said = wait([worker.pipe for worker in self._staff], patience)
        for worker in list(self._staff):
            if worker.pipe in said:
                outcome = worker.read()
                if outcome is None:
                    yield from self._lost(worker, waiting)
                elif isinstance(outcome, Outcome):
                    yield outcome
                elif worker.ready:
                    self._dead_starts = 0
            elif time.monotonic() > worker.until:
                worker.kill()
                yield from self._lost(worker, waiting)

    def _lost(self, worker: _Worker, waiting: deque[tuple[Job, int]]) -> Iterator[Outcome]:
        """Put another in the place of a worker that has died."""
        how = worker.end()
        self._staff.remove(worker)
        if not worker.ready:
            self._dead_starts += 1
            if self._dead_starts >= DEAD_STARTS:
                raise InternalError(
                    f"no worker lives long enough to load the model ({how})",
                    "is there memory for so many? try --workers 1",
                )
        if worker.job is not None:
            if worker.attempt < ATTEMPTS:
                waiting.appendleft((worker.job, worker.attempt + 1))
            else:
                yield failed(worker.job, given_up(worker.job, how))
        if waiting:
            self._staff.append(_Worker(self._context, self._recipe))


def given_up(job: Job, how: str) -> GenredError:
    """Why a file is not tried again."""
    return InternalError(
        f"{job.path}: its worker {how}, {ATTEMPTS} times", "damaged? try it alone: genred tag FILE"
    )


class _Worker:
    """A process, and what it is at."""

    def __init__(self, context: multiprocessing.context.SpawnContext, recipe: Recipe) -> None:
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, recipe), daemon=True
        )
        self.process.start()
        theirs.close()
        self.ready = False
        self.job: Job | None = None
        self.attempt = 0
        self.until = time.monotonic() + START_S
        self._late = False

    def give(self, job: Job, attempt: int) -> None:
        """Have a file heard; a worker that has died meanwhile is noticed by its pipe."""
        self.job, self.attempt = job, attempt
        self.until = time.monotonic() + SILENT_S
        with contextlib.suppress(OSError):
            self.pipe.send(job)

    def read(self) -> Outcome | bool | None:
        """What it says: an outcome, True when it is ready or goes on; None when it has died.

        Raises the error that kept it from getting ready.
        """
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(said, GenredError):
            raise said
        if isinstance(said, Outcome):
            self.job = None
            self.until = math.inf
            return said
        self.until = math.inf if self.job is None else time.monotonic() + SILENT_S
        self.ready = True
        return True

    def kill(self) -> None:
        """End it for taking too long."""
        self._late = True
        self.process.kill()

    def end(self) -> str:
        """Let it go, by force where it does not leave; how it ended."""
        self.pipe.close()
        self.process.join(0 if self.job is not None and self.process.is_alive() else LEAVE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        if self._late:
            return f"was silent for {SILENT_S:.0f} s"
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _serve(pipe: Connection, recipe: Recipe) -> None:
    """A worker's life: load, say so, then hear what comes until the pipe is closed."""
    # An interrupt from the keyboard reaches all processes; the first of them decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frugal.for_files()
    with pipe, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            hearer = Hearer(recipe)
        except GenredError as error:
            pipe.send(error)
            return
        ready = True
        pipe.send(ready)
        while True:
            pipe.send(hearer.hear(pipe.recv(), lambda: pipe.send(ready)))
