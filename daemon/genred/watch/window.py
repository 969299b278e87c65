"""The dashboard on what is watched: one node at a time, and keys to go from one to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from genred.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.views import NodeView
    from genred.watch.sight import Sight


class Window:
    """Looks at one node of ``sight``: what the dashboard asks for its view, notice and keys."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._node = ""

    def view(self) -> NodeView:
        """The node that is looked at; the first one until a key says otherwise."""
        nodes, at = self._place()
        view = self._sight.view(nodes[at])
        if len(nodes) > 1:
            place = f"node {at + 1} of {len(nodes)}: n, p"
            view = replace(view, publishers=(place, *view.publishers))
        return view

    def notice(self) -> str:
        """What stands in the way of seeing it."""
        nodes, at = self._place()
        return clean(self._sight.notice(nodes[at]))

    def turn(self, steps: int) -> None:
        """Look at another node."""
        nodes, at = self._place()
        self._node = nodes[(at + steps) % len(nodes)]

    def _place(self) -> tuple[Sequence[str], int]:
        """The nodes there are, and which of them is looked at."""
        nodes = self._sight.nodes()
        if self._node in nodes:
            return nodes, nodes.index(self._node)
        return nodes, 0
