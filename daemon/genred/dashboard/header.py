"""The first line: who listens, with what, and what time it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.dashboard.cells import Block, line
from genred.dashboard.colours import FAINT, MUTED, STRONG
from genred.dashboard.words import clock_time
from genred.text import clean

if TYPE_CHECKING:
    from genred.dashboard.cells import Part
    from genred.views import NodeView

ROOMY = 60
"""Cells from which on the model's name stands there too."""


def header(view: NodeView, width: int) -> Block:
    """One line: genred, the node, the model; the time of day at the right."""
    left: list[Part] = [("genred", STRONG), ("  ", None), (clean(view.node), MUTED)]
    if width >= ROOMY:
        left += [("  ·  ", FAINT), (f"model {clean(view.model)}", MUTED)]
    return Block(width, [line(width, left, [(clock_time(view.clock), MUTED)])])
