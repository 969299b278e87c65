"""``[dashboard]``: the display in the terminal."""

from __future__ import annotations

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
