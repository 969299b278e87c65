"""The likeliest labels as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from genred.dashboard.cells import Block, blank, fit, line
from genred.dashboard.colours import FAINT, MUTED, STRONG, label_style
from genred.dashboard.words import share
from genred.text import clean

if TYPE_CHECKING:
    from genred.dashboard.cells import Line, Part
    from genred.views import FeedView

NAME_CELLS = 12
"""Room for a label's name at most; ``electronic`` and two spaces."""


def scores(feed: FeedView, width: int, height: int) -> Block:
    """``height`` lines, the likeliest label first.

    Equal ones stand in the order of the alphabet, so that the many that are near nothing stay
    where they are.
    """
    ranked = sorted(feed.state.scores.items(), key=lambda one: (-round(one[1], 2), one[0]))
    names = {label: clean(label) for label, _ in ranked}
    column = min(
        max((cell_len(name) for name in names.values()), default=0) + 2, NAME_CELLS, width // 2
    )
    lines: list[Line] = []
    for label, probability in ranked[:height]:
        said = label == feed.state.label
        parts: list[Part] = [
            (fit(names[label], column - 1) + " ", STRONG if said else MUTED),
            *bar(probability, width - column - 5, label),
            (" " + share(probability), None if said else MUTED),
        ]
        lines.append(line(width, parts))
    if not lines and height:
        lines.append(line(width, [("no scores yet: a whole window must be heard first", FAINT)]))
    lines += [blank(width)] * (height - len(lines))
    return Block(width, lines[:height])


def bar(probability: float, width: int, label: str) -> list[Part]:
    """A bar ``width`` cells long on its track, in half cells."""
    if width <= 0:
        return []
    halves = min(max(round(2 * width * probability), 0), 2 * width)
    full, half = divmod(halves, 2)
    return [
        ("━" * full + "╸" * half, label_style(label)),
        ("─" * (width - full - half), FAINT),
    ]
