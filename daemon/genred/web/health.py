"""Is the daemon alive, and does it hear anything: two questions that are often mixed up.

``/healthz`` fails when something stands still that should move; who fails it is to be restarted.
``/readyz`` fails when nothing is heard: nothing is wrong with the daemon then, but nobody should
take its silence for an answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query

from genred.messages import SourceStatus
from genred.service.pulse import LOOK_S, Progress
from genred.web.problem import Problem
from genred.web.schemas import PROBLEMS, Health, Readiness

if TYPE_CHECKING:
    from collections.abc import Callable

    from genred.service.pulse import Pulse
    from genred.web.snapshot import Snapshots

HEARD_S: Final = 15.0
"""Audio older than this is not heard now. A source is given up as stalled after 3 s; a stream may
deliver in bursts of some seconds."""


class Heartbeat:
    """Looks at the engine once a second and remembers what stands still."""

    def __init__(self, look: Callable[[], Pulse]) -> None:
        self._look = look
        self._progress = Progress()
        self.stuck = ""
        """What stands still, in words; empty if all moves."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.stuck = self._progress.stuck(self._look(), time.monotonic())
            await asyncio.sleep(LOOK_S)


def routes(heartbeat: Heartbeat, snapshots: Snapshots) -> APIRouter:
    """``/healthz`` and ``/readyz``."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", responses=PROBLEMS)
    async def healthz() -> Health:
        """Does everything move that should: 200, else 503 with what stands still.

        That nothing is heard is no fault of the daemon's and does not fail this.
        """
        if heartbeat.stuck:
            raise Problem(503, "stuck", heartbeat.stuck)
        return Health(status="pass")

    @router.get("/readyz", responses=PROBLEMS)
    async def readyz(
        need: Annotated[
            str, Query(pattern="^(any|all)$", description="how many feeds must be heard")
        ] = "any",
    ) -> Readiness:
        """Is sound being heard and judged: 200, else 503 with the feeds that are not heard.

        No word of a feed counts as not heard: only audio of the last seconds counts as heard.
        """
        node = snapshots.node()
        heard, unheard = [], {}
        for feed in node.feeds:
            status = SourceStatus(feed.health.status)
            if status.online and feed.health.decisions and node.clock - feed.now < HEARD_S:
                heard.append(feed.id)
            else:
                unheard[feed.id] = status.value
        if not heard or (need == "all" and unheard):
            told = ", ".join(f"{feed} ({status})" for feed, status in unheard.items())
            raise Problem(503, "unheard", f"not heard: {told or 'there are no feeds'}")
        return Readiness(status="pass", heard=heard, unheard=unheard)

    return router
