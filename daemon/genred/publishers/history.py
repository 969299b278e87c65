"""The publisher that tells the history: what MQTT is told is kept on disk too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.history.recorder import Recorder
from genred.history.store import DAY_S, Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genred.messages import Message, NodeInfo
    from genred.publishers.base import FeedInfo
    from genred.settings.history import HistorySettings

MEGABYTE = 1_000_000


class HistoryPublisher:
    """Keeps events and states in the file at ``path``; ``node`` is this node's name."""

    def __init__(self, settings: HistorySettings, path: Path, node: str) -> None:
        store = Store(path, settings.keep_days * DAY_S, int(settings.max_mb * MEGABYTE))
        self._recorder = Recorder(store, node)

    def start(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Begin; the file is opened on a thread of its own."""
        del feeds
        self._recorder.start(node)

    def rearrange(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Other feeds: what was on of one that is gone has been told as ended."""
        del node, feeds

    def offer(self, message: Message) -> None:
        """Take a message; what is neither event nor state is not kept."""
        self._recorder.offer(message)

    def status(self) -> str:
        """Whether the disk takes it."""
        return self._recorder.status()

    def stop(self) -> None:
        """Keep what waits and close the file."""
        self._recorder.stop()
