"""What a run tells people while it works: notes, skipped files and progress bars."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genred.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from genred_train.data.cache import Unusable

# So many skipped files are listed one by one on the screen; metrics.json has them all.
LISTED = 20


class Console:
    """Prints to standard error, so that standard output stays free for results."""

    def __init__(self, console: rich.console.Console | None = None) -> None:
        self._console = console or rich.console.Console(stderr=True, highlight=False)
        self._noted: list[str] = []
        self._log: TextIO | None = None

    def note(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, soft_wrap=True)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self._noted.append(f"{now}  {text}\n")
        if self._log is not None:
            self._write_log()

    @contextmanager
    def logged(self, path: Path) -> Iterator[None]:
        """Add all notes, those before included, with their times to a file, line by line.

        Raises :class:`OutputError` if it cannot be written.
        """
        try:
            self._log = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None
        with self._log:
            self._write_log()
            try:
                yield
            finally:
                self._log = None

    def _write_log(self) -> None:
        assert self._log is not None
        try:
            self._log.writelines(self._noted)
            self._log.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write {self._log.name}: {error.strerror}", "make room there"
            ) from None
        self._noted.clear()

    def unusable(self, items: Sequence[Unusable], folder: Path) -> None:
        """List the files that were skipped."""
        if not items:
            return
        self.note(f"skipped {len(items)} file{'s' if len(items) > 1 else ''}:")
        for item in items[:LISTED]:
            inside = item.path.is_relative_to(folder)
            path = item.path.relative_to(folder) if inside else item.path
            self.note(f"  {path}: {item.reason}")
        if len(items) > LISTED:
            self.note(f"  and {len(items) - LISTED} more")

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """A progress bar; call what is yielded with how much is done, and of how much."""
        bar = Progress(
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=not self._console.is_terminal,
        )
        with bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
