"""``[logging]``: what goes to standard error."""

from __future__ import annotations

from typing import Literal

from genred.settings.section import Section


class LoggingSettings(Section):
    """What goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious line that is written."""

    format: Literal["text", "json"] = "text"
    """``text`` for people, ``json`` for programs: one object a line, with ``ts``, ``level``,
    ``logger`` and ``message``."""
