"""What the lab's commands share: their parser, what they need, and how they end."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genred.errors import GenredError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What a shell shows for a program that an interrupt has ended.
_INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """argparse, with wrong command lines told as genred tells errors."""

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UsageError`."""
        raise UsageError(message, f"see {self.prog} --help")


def add_lessons(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Options of what is learnt from besides recordings with labels."""
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        action="append",
        required=required,
        help="yamnet.tflite: recipes that train on passages of radio learn from it, too; another "
        "--teacher names the wheel of musicnn (pip download --no-deps musicnn==0.1.0)",
    )
    parser.add_argument(
        "--unlabelled",
        type=Path,
        metavar="DIR",
        help="more music, of no label: the teachers alone speak of it",
    )


def need(modules: Sequence[str], what_needs: str) -> None:
    """Raise :class:`UnavailableError` where one of ``modules`` is not installed.

    ``what_needs`` begins the line: ``training needs``.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"{what_needs} {missing[0]}, which is not installed",
            "pip install 'genred[cpu,train]'",
        )


def answer(name: str, work: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Do the ``work`` of the command ``name``; returns its exit code (:mod:`genred.errors`)."""
    try:
        return work() or 0
    except GenredError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: {stopped}", file=sys.stderr)
        return _INTERRUPTED
