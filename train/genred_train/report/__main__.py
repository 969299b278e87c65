"""``genred report`` and ``python -m genred_train.report``: lays runs side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genred.errors import OutputError
from genred_train.entry import Parser, answer, need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred_train.report.comparison import Run

_DESCRIPTION = """\
Lay runs side by side: figures of the test split with their intervals, parameters, multiply-adds,
milliseconds a window on one core (measured now, on this machine), training time, and what was
published for such systems on other data. RUN is a folder that genred train has written."""

_EPILOG = """\
example:  genred report runs/* --html runs.html"""

_NEEDED = ("jinja2", "onnxruntime")


def parser() -> argparse.ArgumentParser:
    """The command line of ``genred report``."""
    made = Parser(
        prog="genred report",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run")
    made.add_argument("--html", type=Path, metavar="FILE", help="write a page, whole in itself")
    made.add_argument("--markdown", action="store_true", help="print Markdown instead of a table")
    made.add_argument(
        "--update",
        type=Path,
        metavar="FILE",
        help="put the Markdown table between the markers '<!-- lab table -->' and "
        "'<!-- end of lab table -->' of a file",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("genred report", lambda: _report(parser().parse_args(arguments)))


def _report(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "reports need")
    # Imported here: what is above must work without them.
    from genred_train.report import comparison, page

    runs = [comparison.read(folder) for folder in chosen.runs]
    if chosen.update:
        comparison.put_into(chosen.update, comparison.markdown(runs))
    if chosen.html:
        text = page.of_comparison(comparison.HEADERS, comparison.rows(runs), comparison.notes(runs))
        try:
            chosen.html.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"cannot write {chosen.html}: {error.strerror}", "choose another --html"
            ) from None
    if chosen.markdown:
        print(comparison.markdown(runs), end="")
    else:
        _show(runs)


def _show(runs: Sequence[Run]) -> None:
    import rich.console
    from rich.table import Table
    from rich.text import Text

    from genred_train.report import comparison

    # Runs stand in columns: rows of ten cells would not fit a terminal.
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(comparison.HEADERS[0])
    columns = comparison.rows(runs)
    for cells in columns:
        table.add_column(Text(cells[0]), justify="right")
    for number, header in enumerate(comparison.HEADERS[1:], start=1):
        table.add_row(header, *(Text(cells[number]) for cells in columns))
    screen = rich.console.Console(highlight=False)
    if not screen.is_terminal:
        # A file or a pipe has no width; figures must not break for it.
        screen.width = max(screen.width, 32 + 26 * len(runs))
    screen.print(table)
    for note in comparison.notes(runs):
        screen.print(Text(note, style="dim"))


if __name__ == "__main__":
    sys.exit(main())
