"""``[node]``: what this daemon is called."""

from __future__ import annotations

import socket

from pydantic import Field

from genred.settings.section import Section


class NodeSettings(Section):
    """What this daemon is called."""

    name: str = Field(default_factory=socket.gethostname, min_length=1, examples=["studio"])
    """The node's name in topics and displays; anything but letters, digits, ``_`` and ``-`` is
    written ``_`` in topics. The host name if not given."""
