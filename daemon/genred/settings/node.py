"""``[node]``: what this daemon is called."""

from __future__ import annotations

import socket

from pydantic import Field, field_validator

from genred.settings.section import Section
from genred.settings.shard import Shard


class NodeSettings(Section):
    """What this daemon is called."""

    name: str = Field(default_factory=socket.gethostname, min_length=1, examples=["studio"])
    """The node's name in topics and displays; anything but letters, digits, ``_`` and ``-`` is
    written ``_`` in topics. The host name if not given."""

    shard: str | None = Field(default=None, examples=["0/1"])
    """``I/N``: this node hears only its part of the feeds, part I, counted from 0, of N. Which
    feeds those are follows from their ids: all N nodes may share one file. Names of nodes must
    differ all the same."""

    @field_validator("shard")
    @classmethod
    def _is_part(cls, shard: str | None) -> str | None:
        return None if shard is None else str(Shard.parse(shard))
