"""The dashboard as an SVG picture that needs nothing from elsewhere: no fonts, no addresses."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from genred.dashboard.cells import Block, Ink

if TYPE_CHECKING:
    from genred.dashboard.cells import Line
    from genred.dashboard.layout import Frame

CELL_WIDTH = 12.2
CELL_HEIGHT = 24.4
"""A cell as Rich's exporter lays it out, in the picture's units."""
OFFSET = 1.5
"""What Rich's exporter puts above the ground of the first line."""

_THEME = TerminalTheme(
    (21, 22, 28),
    (216, 219, 226),
    [(21, 22, 28)] + [(216, 219, 226)] * 7,
)
_FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; white-space: pre; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 17px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g shape-rendering="crispEdges">
SHAPES
</g>
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""

_SHAPES = {
    "▀": (0.0, 0.0, 1.0, 0.5),
    "▄": (0.0, 0.5, 1.0, 1.0),
    "█": (0.0, 0.0, 1.0, 1.0),
    "━": (0.0, 0.4, 1.0, 0.6),
    "╸": (0.0, 0.4, 0.5, 0.6),
    "─": (0.0, 0.46, 1.0, 0.54),
    "┃": (0.38, 0.14, 0.62, 0.86),
}
"""Left, top, right and bottom of what is drawn as a shape, in parts of a cell: fonts draw these
with seams, and not every font has them."""


def svg(frame: Frame, title: str) -> str:
    """``frame`` in colour as an SVG document, in a window called ``title``."""
    lines = frame.lines(Ink.COLOUR)
    shapes = "\n".join(rect for row, line in enumerate(lines) for rect in _shapes(line, row))
    console = Console(
        record=True,
        file=io.StringIO(),
        width=frame.width,
        height=frame.height,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(Block(frame.width, [_without_shapes(line) for line in lines]), end="")
    return console.export_svg(
        title=title,
        theme=_THEME,
        code_format=_FORMAT.replace("SHAPES", shapes),
        unique_id="genred",
    )


def _shapes(line: Line, row: int) -> list[str]:
    """A rectangle for each run of cells of ``line`` that is drawn as a shape."""
    out: list[str] = []
    column = 0
    for text, style, _ in line:
        start = 0
        while start < len(text):
            end = start + 1
            shape = _SHAPES.get(text[start])
            if shape is not None:
                while shape[0] == 0 and shape[2] == 1 and text[end : end + 1] == text[start]:
                    end += 1
                out.append(_rect(shape, row, column, end - start, _ink(style)))
            column += cell_len(text[start:end])
            start = end
    return out


def _rect(
    shape: tuple[float, float, float, float], row: int, column: int, cells: int, fill: str
) -> str:
    left, top, right, bottom = shape
    x = (column + left) * CELL_WIDTH
    y = (row + top) * CELL_HEIGHT + OFFSET
    width = (cells - 1 + right - left) * CELL_WIDTH
    height = (bottom - top) * CELL_HEIGHT
    return (
        f'<rect x="{x:.1f}" y="{y:.2f}" width="{width:.1f}" height="{height:.2f}" fill="{fill}"/>'
    )


def _ink(style: Style | None) -> str:
    if style is None or style.color is None or style.color.is_default:
        return _THEME.foreground_color.hex
    return style.color.get_truecolor(_THEME).hex


def _without_shapes(line: Line) -> Line:
    """``line`` with spaces where shapes are, so that only the ground of those cells is drawn.

    Spaces around words become segments of their own: readers of SVG drop them at the start of a
    text, which would shift it.
    """
    out: Line = []
    for text, style, _ in line:
        spaced = "".join(" " if char in _SHAPES else char for char in text)
        ground = Style(bgcolor=style.bgcolor) if style else None
        words = spaced.strip(" ")
        lead = len(spaced) - len(spaced.lstrip(" ")) if words else 0
        trail = len(spaced) - lead - len(words)
        pieces = ((" " * lead, ground), (words, style), (" " * trail, ground))
        out += [Segment(piece, look) for piece, look in pieces if piece]
    return out
