"""A publisher that keeps all it is told: for tests, and for whoever embeds the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.messages import Message, NodeInfo
    from genred.publishers.base import FeedInfo


class FakePublisher:
    """Keeps every message in :attr:`messages`, in order."""

    def __init__(self) -> None:
        self.node: NodeInfo | None = None
        self.feeds: tuple[FeedInfo, ...] = ()
        self.messages: list[Message] = []
        self.started = False
        self.stopped = False

    def start(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Remember who speaks."""
        self.node = node
        self.feeds = tuple(feeds)
        self.started = True

    def rearrange(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Remember the feeds that there are now."""
        self.node = node
        self.feeds = tuple(feeds)

    def offer(self, message: Message) -> None:
        """Remember what was said."""
        self.messages.append(message)

    def status(self) -> str:
        """How many messages it has."""
        return f"kept here: {len(self.messages)} messages"

    def stop(self) -> None:
        """Remember the end."""
        self.stopped = True
