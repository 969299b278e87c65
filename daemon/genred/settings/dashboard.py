"""``[dashboard]``: the display in the terminal."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from genred.settings.section import Section


class DashboardSettings(Section):
    """The display in the terminal."""

    plain: bool = False
    """One line a change instead of the dashboard; so it is anyway where there is no terminal."""

    frames_per_second: float = Field(default=8.0, gt=0, le=10)
    """How often it is drawn."""

    strip_minutes: float = Field(default=5.0, gt=0, le=60)
    """How much of the past the strip of labels shows."""

    watch: bool = True
    """Let ``genred watch`` on this machine look on, through a Unix socket."""

    socket: Path | None = Field(default=None, examples=["/run/genred/watch.sock"])
    """That socket. ``watch.sock`` in the service's runtime directory if not given, and none where
    genred does not run as a service. Its owner and group may connect."""
