"""A path that is not there yet, or not any more: looked for until it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from genred.sources.base import Intake, Source


class AbsentSource:
    """Opens the source it stands for each time it is run, and is that source once it is there.

    For feeds of a configuration: a folder on a disk that is not mounted yet must keep neither the
    daemon from starting nor the other feeds from being heard. ``open_it`` raises
    :class:`genred.errors.InputError` as long as there is nothing to open.
    """

    def __init__(self, description: str, open_it: Callable[[], Source]) -> None:
        self.description = description
        self.synthetic = False
        self.live = True
        """It is tried again until it is found; after that as the source itself is."""
        self._open = open_it
        self._source: Source | None = None

    def run(self, intake: Intake) -> None:
        """Look for it; deliver its audio where it is found."""
        if self._source is None:
            self._source = self._open()
            self.description, self.live = self._source.description, self._source.live
        self._source.run(intake)
