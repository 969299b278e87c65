"""The whole dashboard: from a view and a size to a renderable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.dashboard.cells import Block, Ink, beside, blank, inset, line, padded, to_ascii
from genred.dashboard.colours import FAINT
from genred.dashboard.footer import footer, notice_line
from genred.dashboard.happenings import happenings
from genred.dashboard.header import header
from genred.dashboard.panel import panel
from genred.dashboard.roster import roster

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from genred.dashboard.cells import Line
    from genred.views import FeedView, NodeView

STRIP_MINUTES = 5.0
PANEL_WIDTH = 76
"""Cells that a panel wants where several stand side by side."""
PANEL_HEIGHT = 11
"""Lines below which a panel says too little: feeds then become lines of a list."""
MARGIN_FROM = 50
"""Cells from which on one is left empty at both sides."""
AIRY_FROM = 20
"""Lines from which on an empty one stands below the header and above the footer."""
ROSTER_EVENTS = 4
"""Events below a list of feeds that has room for no panel."""


class Frame:
    """One picture of the dashboard: exactly ``height`` lines of ``width`` cells, for any ink."""

    def __init__(
        self,
        view: NodeView,
        width: int,
        height: int,
        focus: int = 0,
        notice: str = "",
        strip_minutes: float = STRIP_MINUTES,
    ) -> None:
        self.view = view
        self.width = max(width, 1)
        self.height = max(height, 1)
        self.focus = min(max(focus, 0), max(len(view.feeds) - 1, 0))
        self.notice = notice
        self.seconds = strip_minutes * 60

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw in the ink that ``console`` has."""
        yield Block(self.width, self.lines(Ink.of(console)))

    def lines(self, ink: Ink) -> list[Line]:
        """The lines, drawn in ``ink``."""
        margin = 1 if self.width >= MARGIN_FROM else 0
        width = self.width - 2 * margin
        top, bottom = self._edges(width)
        body = self._body(width, max(self.height - len(top) - len(bottom), 0), ink)
        lines = (top + padded(body, self.height - len(top) - len(bottom)) + bottom)[: self.height]
        if margin:
            lines = inset(Block(width, lines), margin).lines
        return to_ascii(lines) if ink is Ink.ASCII else lines

    def _edges(self, width: int) -> tuple[list[Line], list[Line]]:
        """What stands above and below the feeds."""
        airy = self.height >= AIRY_FROM
        top = header(self.view, width).lines + ([blank(width)] if airy else [])
        last = footer(self.view, width).lines
        if not self.notice:
            return top, ([blank(width)] if airy else []) + last
        told = notice_line(self.notice, width).lines
        return top, told + last if airy else told

    def _body(self, width: int, height: int, ink: Ink) -> Block:
        feeds = self.view.feeds
        if not feeds:
            return Block(width, [line(width, [("no feeds", FAINT)])])
        if len(feeds) == 1:
            return panel(feeds[0], width, height, self.seconds, ink)
        columns = min(max(width // PANEL_WIDTH, 1), len(feeds))
        rows = -(-len(feeds) // columns)
        if (height + 1) // rows - 1 >= PANEL_HEIGHT:
            return self._grid(feeds, width, height, columns, ink)
        return self._list(feeds, width, height, ink)

    def _grid(
        self, feeds: tuple[FeedView, ...], width: int, height: int, columns: int, ink: Ink
    ) -> Block:
        """A panel for each feed, an empty line or three empty cells between them."""
        gap = 3
        each = (width - gap * (columns - 1)) // columns
        rows = -(-len(feeds) // columns)
        heights = [(height - (rows - 1)) // rows] * rows
        heights[0] += height - (rows - 1) - sum(heights)
        lines: list[Line] = []
        for row, tall in enumerate(heights):
            if row:
                lines.append(blank(width))
            block: Block | None = None
            for at in range(row * columns, min((row + 1) * columns, len(feeds))):
                one = panel(feeds[at], each, tall, self.seconds, ink, self._marker(at))
                block = beside(block, one, gap) if block else one
            assert block is not None
            lines += _widened(block, width)
        return Block(width, lines)

    def _list(self, feeds: tuple[FeedView, ...], width: int, height: int, ink: Ink) -> Block:
        """A line a feed, and a panel for the one in focus where there is room."""
        room = height - PANEL_HEIGHT - 1
        if room >= min(len(feeds), 3):
            listed = min(len(feeds), room)
            above = roster(feeds, width, listed, self.focus, self.seconds, ink).lines
            one = panel(feeds[self.focus], width, height - listed - 1, self.seconds, ink)
            return Block(width, [*above, blank(width), *one.lines])
        listed = min(len(feeds), height)
        lines = roster(feeds, width, listed, self.focus, self.seconds, ink).lines
        events = min(height - listed - 1, ROSTER_EVENTS)
        if events > 0:
            merged = sorted(
                (event for feed in feeds for event in feed.events), key=lambda event: event.ts
            )
            lines = [*lines, blank(width), *happenings(merged, width, events, True).lines]
        return Block(width, lines)

    def _marker(self, at: int) -> str:
        return "▸ " if at == self.focus else "  "


def _widened(block: Block, width: int) -> list[Line]:
    missing = width - block.width
    return beside(block, Block(missing, []), 0).lines if missing else block.lines


def render(
    view: NodeView,
    width: int,
    height: int,
    focus: int = 0,
    *,
    notice: str = "",
    strip_minutes: float = STRIP_MINUTES,
) -> Frame:
    """The dashboard at ``width`` by ``height`` cells: a pure function of what it is given.

    ``focus`` is the index of the feed shown in full where not all can be; ``notice`` is the last
    warning (may be empty). At 80 by 24 one feed has everything; down to 40 by 12 sections go
    smaller and then away; above, picture, events and scores grow, and several feeds get a panel
    each.
    """
    return Frame(view, width, height, focus, notice, strip_minutes)
