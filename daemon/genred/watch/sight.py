"""What is watched: several nodes, each with a view, and a word on how well they are seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from genred.dashboard.heard import OFFLINE
from genred.dashboard.words import clock_time
from genred.views import NodeView

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOOR_DBFS: Final = -120.0
"""As the level of a feed that is not heard is told."""

NO_LOGMEL: Final = np.zeros((0, 1), np.float32)


class Sight(Protocol):
    """Sees nodes, on threads of its own; asked from the dashboard's."""

    def start(self) -> None:
        """Begin to look.

        Raises :class:`genred.errors.GenredError` where there is nothing to be seen at all.
        """
        ...

    def nodes(self) -> Sequence[str]:
        """The nodes that are known, in an order that stays."""
        ...

    def view(self, node: str) -> NodeView:
        """One of them as it was last seen; never waits."""
        ...

    def notice(self, node: str) -> str:
        """What stands in the way of seeing it; empty while nothing does."""
        ...

    def stop(self) -> None:
        """Look no more."""
        ...


def away(view: NodeView, why: str, clock: float) -> NodeView:
    """``view`` of a daemon that is not heard of any more: nothing in it is said to be so now."""
    feeds = tuple(
        replace(
            feed,
            health=replace(
                feed.health, status=OFFLINE, last_error=f"{why}, last heard {clock_time(feed.now)}"
            ),
            state=replace(feed.state, dead_air=False, scores={}, level_dbfs=FLOOR_DBFS),
            peak_dbfs=FLOOR_DBFS,
        )
        for feed in view.feeds
    )
    return replace(view, feeds=feeds, clock=clock)


def nobody(name: str, clock: float) -> NodeView:
    """The view of a node that nothing is known of yet."""
    return NodeView(
        node=name,
        version="",
        model="",
        provider="",
        labels=(),
        kinds={},
        started_at=clock,
        clock=clock,
        publishers=(),
        feeds=(),
    )
