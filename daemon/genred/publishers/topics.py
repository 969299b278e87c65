"""Where on a broker each thing stands: ``<base>/<node>/…`` and ``<base>/<node>/<feed>/…``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")


def clean_id(text: str) -> str:
    """An id as it may stand in a topic: ``[a-zA-Z0-9_-]``, anything else becomes ``_``."""
    return _FOREIGN.sub("_", text) or "_"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one node. ``base`` may have several levels; ``node`` may be any text."""

    base: str
    node: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "node", clean_id(self.node))

    @property
    def root(self) -> str:
        """What all topics of this node begin with, without a final slash."""
        return f"{self.base}/{self.node}"

    @property
    def status(self) -> str:
        """``online`` or ``offline``, retained; the last will says ``offline`` here."""
        return f"{self.root}/status"

    @property
    def info(self) -> str:
        """What runs here, retained."""
        return f"{self.root}/info"

    def of_feed(self, feed: str, what: str) -> str:
        """The topic of one thing of one feed: ``status``, or the ``topic`` of a message class."""
        return f"{self.root}/{clean_id(feed)}/{what}"
