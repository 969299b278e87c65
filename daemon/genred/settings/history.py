"""``[history]``: what is kept on disk of what was heard."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from genred.settings.section import Section


class HistorySettings(Section):
    """What is kept on disk of what was heard: segments, dead air and events, never sound."""

    enabled: Literal["auto", "on", "off"] = "auto"
    """``auto`` keeps a history where ``path`` is set or the daemon runs as a service."""

    path: Path | None = Field(default=None, examples=["/var/lib/genred/history.sqlite3"])
    """The SQLite file; two daemons cannot share one. ``history.sqlite3`` in the service's state
    directory if not given, else in ``$XDG_STATE_HOME/genred``."""

    keep_days: float = Field(default=90.0, gt=0, le=36500)
    """What is older is deleted."""

    max_mb: float = Field(default=100.0, ge=1, le=1_000_000)
    """The largest the file may grow, in megabytes; before that the oldest is deleted. A feed that
    changes once a minute takes about 0.5 MB a day."""
