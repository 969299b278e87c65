"""How far a collection is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from genred.text import clean

if TYPE_CHECKING:
    from genred.archive.collection import Collection
    from genred.archive.jobs import Outcome

LINE_S: Final = 60.0
"""Without a terminal there is a line this often: a log shows that it goes on, and no more."""

SPEED_S: Final = 120.0
"""The remaining time is reckoned from the pace of so long: files differ."""


class Watcher:
    """Shows how far it is on ``stream``, weighed by the files' bytes.

    ``bar`` False shows nothing in a terminal: what is printed there would tear it.
    """

    def __init__(self, collection: Collection, stream: TextIO, *, bar: bool = True) -> None:
        done = len(collection.jobs) - len(collection.todo)
        total = sum(job.size for job in collection.jobs)
        rest = sum(job.size for job in collection.todo)
        self._files, self._count = done, len(collection.jobs)
        self._bad = 0
        self._bytes, self._rest = 0, rest
        self._audio = 0.0
        self._start = self._told = time.monotonic()
        self._stream = stream
        console = Console(file=stream)
        self._progress: Progress | None = None
        self._lines = not console.is_terminal
        if console.is_terminal and bar:
            self._progress = Progress(
                TextColumn("{task.fields[files]}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=console,
                speed_estimate_period=SPEED_S,
                # Standard output may be a file or another program's.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._progress.add_task(
                "", total=total, completed=total - rest, files=self._counted(), speed=""
            )

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def saw(self, outcome: Outcome) -> None:
        """One more file is done."""
        self._files += 1
        self._bad += outcome.fault is not None
        self._bytes += outcome.job.size
        if outcome.result is not None:
            self._audio += outcome.result["duration"]
        for line in outcome.warnings:
            self._say(line)
        if self._progress is not None:
            self._progress.update(
                self._task, advance=outcome.job.size, files=self._counted(), speed=self._speed()
            )
        elif self._lines and time.monotonic() - self._told > LINE_S:
            self._told = time.monotonic()
            self._say(f"{self._counted()}, {self._speed()}, {self._left()} left")

    def _say(self, line: str) -> None:
        text = f"genred tag: {clean(line)}"
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(f"{text}\n")

    def _counted(self) -> str:
        bad = f", {self._bad} unusable" if self._bad else ""
        return f"{self._files:,} of {self._count:,} files{bad}"

    def _speed(self) -> str:
        spent = time.monotonic() - self._start
        return f"{self._audio / spent:.0f}x real time" if spent > 0 else ""

    def _left(self) -> str:
        spent = time.monotonic() - self._start
        if not self._bytes:
            return "some time"
        minutes = spent * (self._rest - self._bytes) / self._bytes / 60
        return (
            f"{minutes // 60:.0f}:{minutes % 60:02.0f} h" if minutes >= 60 else f"{minutes:.0f} min"
        )
