"""Many files at once on many machines, over Ray: an actor for each worker.

Actors rather than Ray Data: its blocks would be done again as a whole when a worker is lost, and a
file that kills its worker would be tried for ever. Here each call is one file; a call whose actor
is lost is made once more, on the actor that Ray starts in its place or on another one, and each
file has one outcome, whatever happens.

On a cluster (``$RAY_ADDRESS``) all nodes need genred and see the collection and the model under
the same paths. Without one Ray runs on this machine alone and ends with the command. Ray's own
telemetry and dashboard stay off.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from genred.archive.jobs import Hearer, Job, Outcome, Recipe, failed
from genred.archive.processes import ATTEMPTS, given_up
from genred.errors import InternalError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CALL_S: Final = 6 * 3600.0
"""A call that takes so long hangs; at a hundred times real time it would have heard 25 days."""

LOOK_S: Final = 5.0
"""How often it is looked whether a worker is overdue."""

LONGEST: Final = 25
"""Characters of the folder for temporary files: the names of Ray's sockets add some 80, and the
system allows 107."""

LOSSES: Final = 300
"""So many lost or unready workers on end without an outcome between them: nothing will come of
it. At least a minute, for a laden machine takes long to start one."""

AGAIN_S: Final = 0.2
"""Between two questions whether a lost worker has been started anew."""


def available() -> None:
    """Raises :class:`UnavailableError` where Ray is not installed."""
    try:
        import ray  # noqa: F401, PLC0415 - large, and needed by few
    except ImportError:
        raise UnavailableError(
            "--engine ray needs Ray, which is not installed", "pip install 'ray>=2.60,<3'"
        ) from None


class Cluster:
    """An engine of ``workers`` actors; as many as there are cores where it is None."""

    def __init__(self, recipe: Recipe, workers: int | None) -> None:
        self._recipe = recipe
        self._workers = workers

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """The outcome of each job, once, in the order in which they are done.

        Raises :class:`UnavailableError` where Ray is not there or does not start, and
        :class:`InternalError` where its workers do not live.
        """
        available()
        waiting = deque((job, 1) for job in jobs)
        if not waiting:
            return
        folder = None if os.environ.get("RAY_ADDRESS") else _folder()
        try:
            ray = _begin(folder, self._workers)
            try:
                cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
                count = min(self._workers or cores, len(waiting))
                yield from _Shift(ray, self._recipe, count).run(waiting)
            finally:
                ray.shutdown()
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def _folder() -> str:
    """Where Ray keeps its sockets and logs while it runs here."""
    where = tempfile.gettempdir()
    if len(where) > LONGEST:
        where = "/tmp"  # noqa: S108 - mkdtemp makes a folder of its own there, for nobody else
    return tempfile.mkdtemp(prefix="genred-ray-", dir=where)


def _begin(folder: str | None, workers: int | None) -> Any:
    # Read when Ray is imported or started: nothing is reported to anybody.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # A later default, which Ray otherwise warns of: it leaves such variables alone.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray  # noqa: PLC0415 - large, and needed by few

    here: dict[str, Any] = {}
    if folder is not None:
        here = {
            "address": "local",
            "num_cpus": workers or len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "_temp_dir": folder,
            # Results are small; the default would set aside a third of the memory.
            "object_store_memory": 100 * 2**20,
        }
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)
    except (OSError, RuntimeError, ValueError) as error:
        raise UnavailableError(f"Ray does not start: {str(error).splitlines()[0]}") from None
    return ray


class _Shift:
    """The actors of one run, and which file each is at."""

    def __init__(self, ray: Any, recipe: Recipe, count: int) -> None:
        self._ray = ray
        # An actor that is lost comes back; what it was at is given out again here, and counted.
        remote = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=0)(Hearer)
        self._actors = [remote.remote(recipe) for _ in range(count)]
        self._free = deque(self._actors)
        self._coming: dict[Any, Any] = {}
        self._at: dict[Any, tuple[Any, Job, int, float]] = {}
        self._lost_on_end = 0

    def run(self, waiting: deque[tuple[Job, int]]) -> Iterator[Outcome]:
        while waiting or self._at:
            while waiting and self._free:
                job, attempt = waiting.popleft()
                actor = self._free.popleft()
                until = time.monotonic() + CALL_S
                self._at[actor.hear.remote(job)] = (actor, job, attempt, until)
            calls = [*self._at, *self._coming]
            done, _ = self._ray.wait(calls, num_returns=1, timeout=LOOK_S)
            for call in done:
                if call in self._coming:
                    self._welcome(call)
                else:
                    yield from self._take(call, waiting)
            for actor, *_, until in self._at.values():
                if time.monotonic() > until:
                    self._ray.kill(actor, no_restart=False)

    def _take(self, call: Any, waiting: deque[tuple[Job, int]]) -> Iterator[Outcome]:
        actor, job, attempt, _ = self._at.pop(call)
        try:
            outcome: Outcome = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            self._await(actor, error)
            if attempt < ATTEMPTS:
                waiting.append((job, attempt + 1))
            else:
                yield failed(job, given_up(job, f"was lost ({type(error).__name__})"))
        else:
            self._free.append(actor)
            self._lost_on_end = 0
            yield outcome

    def _await(self, actor: Any, error: Exception) -> None:
        """Give a lost actor no file before Ray has started it anew: it would be lost as well."""
        self._lost_on_end += 1
        if self._lost_on_end >= LOSSES:
            reason = str(error).strip().splitlines()[0]
            raise InternalError(
                f"Ray's workers do not live: {reason}",
                "do all nodes have genred, and see the model under the same path?",
            ) from None
        self._coming[actor.__ray_ready__.remote()] = actor

    def _welcome(self, call: Any) -> None:
        actor = self._coming.pop(call)
        try:
            self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            time.sleep(AGAIN_S)
            self._await(actor, error)
        else:
            self._free.append(actor)
