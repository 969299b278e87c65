"""One line on a feed: its name, the station and title heard, and where the sound comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from genred.dashboard.cells import Block, cut, line
from genred.dashboard.colours import BADGE, FAINT, MUTED, STRONG
from genred.text import clean

if TYPE_CHECKING:
    from genred.dashboard.cells import Part
    from genred.views import FeedView

SYNTHETIC = " synthetic station "
"""Said plainly wherever the sound is the project's own."""


def identity(feed: FeedView, width: int, marker: str = "") -> Block:
    """One line; ``marker`` stands before the name of the feed in focus."""
    name = f"{marker}{clean(feed.id)}"
    left: list[Part] = [(name, STRONG)]
    station = clean(feed.state.station or "")
    title = clean(feed.state.title or "")
    source = clean(feed.source)
    if feed.synthetic and cell_len(f"{name}  {station}  ·  {title} {SYNTHETIC}") > width:
        station = ""  # the badge says as much
    if station:
        left += [("  ", None), (station, None)]
    if title and title != station:
        left += [("  ·  " if station else "  ", FAINT), (title, MUTED)]
    right: list[Part] = []
    if feed.synthetic:
        right = [(SYNTHETIC, BADGE)]
    else:
        said = sum(cell_len(text) for text, _ in left)
        room = width - said - 2
        if source not in (station, title) and room >= min(cell_len(source), width // 4):
            right = [(cut(source, max(room, 0)), FAINT)]
    return Block(width, [line(width, left, right)])
