"""Looks at the engine, no oftener than makes sense, shared by all who ask."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from genred.views import FeedView, NodeView

FRESH_S: Final = 0.2
"""A look this old is still good: decisions come four times a second. However many ask, the engine
is looked at no oftener than this."""


class Snapshots:
    """Keeps the newest view. For the loop's thread alone."""

    def __init__(self, view: Callable[[float], NodeView]) -> None:
        self._view = view
        self._newest: NodeView | None = None
        self._at = 0.0

    def node(self) -> NodeView:
        """The node as of now, or at most :data:`FRESH_S` ago."""
        now = time.monotonic()
        if self._newest is None or now - self._at > FRESH_S:
            self._newest, self._at = self._view(0.0), now
        return self._newest

    def with_logmel(self, seconds: float) -> NodeView:
        """The node as of now, with so much of the newest log-mel."""
        self._newest, self._at = self._view(seconds), time.monotonic()
        return self._newest

    def feed(self, feed: str) -> FeedView | None:
        """One of its feeds; None if there is none of that name."""
        return next((each for each in self.node().feeds if each.id == feed), None)
