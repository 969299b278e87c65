"""Lines of cells: what every part of the dashboard is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.style import Style

Line: TypeAlias = list[Segment]
Part: TypeAlias = tuple[str, "Style | None"]


class Ink(Enum):
    """What a terminal can show."""

    COLOUR = "colour"
    FEW = "few"
    """Sixteen colours: enough for words and the strip; pictures are drawn in shades."""
    MONO = "mono"
    """All characters, no colour: pictures are drawn in shades."""
    ASCII = "ascii"
    """Neither colour nor anything beyond ASCII."""

    @classmethod
    def of(cls, console: Console) -> Ink:
        """What ``console`` can show."""
        if not console.encoding.startswith("utf"):
            return cls.ASCII
        if console.color_system is None or console.no_color:
            return cls.MONO
        return cls.COLOUR if console.color_system in ("truecolor", "256") else cls.FEW


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of text, a renderable: every line is exactly ``width`` cells wide."""

    width: int
    lines: list[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give Rich the segments, a newline after each line."""
        newline = Segment.line()
        for line in self.lines:
            yield from line
            yield newline

    @property
    def height(self) -> int:
        """How many lines."""
        return len(self.lines)


def fit(text: str, width: int) -> str:
    """``text`` (one clean line) in exactly ``width`` cells: padded, or cut with ``…``."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip() + "…"
    return set_cell_size(text, width)


def cut(text: str, width: int) -> str:
    """``text`` (one clean line) in at most ``width`` cells."""
    return fit(text, width) if cell_len(text) > width else text


def blank(width: int) -> Line:
    """One empty line."""
    return [Segment(" " * width)]


def line(width: int, left: Iterable[Part], right: Iterable[Part] = ()) -> Line:
    """One line of ``width`` cells: ``left`` at its left, ``right`` at its right edge.

    ``right`` is whole where it fits, ``left`` is cut; a ``right`` wider than the line is cut too.
    """
    tail, used = _take(right, width)
    head, filled = _take(left, width - used - 1 if used else width)
    gap = width - used - filled
    if gap > 0:
        head.append(Segment(" " * gap))
    return head + tail


def _take(parts: Iterable[Part], room: int) -> tuple[Line, int]:
    out: Line = []
    used = 0
    for text, style in parts:
        size = cell_len(text)
        if used + size > room:
            if room - used > 0:
                out.append(Segment(fit(text, room - used), style))
            return out, max(room, 0)
        out.append(Segment(text, style))
        used += size
    return out, used


def beside(left: Block, right: Block, gap: int) -> Block:
    """``left`` and ``right`` next to each other with ``gap`` cells between them."""
    between = Segment(" " * gap)
    height = max(left.height, right.height)
    return Block(
        left.width + gap + right.width,
        [
            [*one, between, *other]
            for one, other in zip(padded(left, height), padded(right, height), strict=True)
        ],
    )


def padded(block: Block, height: int) -> list[Line]:
    """The block's lines, cut or filled with empty ones to ``height``."""
    missing = height - block.height
    if missing <= 0:
        return block.lines[:height]
    return block.lines + [blank(block.width)] * missing


def inset(block: Block, margin: int = 1) -> Block:
    """``block`` with ``margin`` empty cells at its left and right."""
    edge = Segment(" " * margin)
    return Block(block.width + 2 * margin, [[edge, *each, edge] for each in block.lines])


_PLAIN = str.maketrans(
    {
        "━": "=",
        "╸": "-",
        "─": "-",
        "│": "|",
        "┃": "|",
        "●": "*",
        "▸": ">",
        "→": ">",
        "✓": "=",
        "✗": "!",
        "·": "-",
        "…": ".",
        "█": "#",
        "▀": '"',
        "▄": "_",
        "■": "#",
    }
)


def to_ascii(lines: list[Line]) -> list[Line]:
    """``lines`` with nothing beyond ASCII, each character as wide as it was."""
    out: list[Line] = []
    for each in lines:
        plain: Line = []
        for text, style, _ in each:
            if not text.isascii():
                swapped = text.translate(_PLAIN)
                text = "".join(  # noqa: PLW2901 - the segment's text in its new spelling
                    char if char.isascii() else "?" * cell_len(char) for char in swapped
                )
            plain.append(Segment(text, style))
        out.append(plain)
    return out
