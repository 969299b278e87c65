"""The seam between what is heard and whoever is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.messages import Message, NodeInfo


@dataclass(frozen=True, slots=True)
class FeedInfo:
    """What a publisher knows of a feed before it says anything."""

    id: str
    source: str
    """The source in words, without credentials."""


class Publisher(Protocol):
    """Tells others what is heard. Started once, stopped once."""

    def start(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Begin; returns at once and never waits for a network."""
        ...

    def rearrange(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """These are the feeds from now on, perhaps others than before; never waits.

        What was announced of a feed that is gone is taken back. States follow as messages.
        """
        ...

    def offer(self, message: Message) -> None:
        """Take a message from the engine's thread: never waits, never raises.

        What cannot be sent yet is kept within bounds; beyond them the oldest is dropped and
        counted.
        """
        ...

    def status(self) -> str:
        """How it is doing, in one line for people, without credentials."""
        ...

    def stop(self) -> None:
        """Tell the final states and end, within a bounded time."""
        ...
