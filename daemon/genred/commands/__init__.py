"""The commands: one file for each, with ``add_parser(subparsers)`` and ``run(args) -> int``.

Modules of commands import what is heavy inside ``run``, so that ``genred --help`` is instant and
no command waits for what another one needs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

from genred import __version__
from genred.commands.common import complain
from genred.errors import GenredError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = (
    "run",
    "demo",
    "tag",
    "watch",
    "history",
    "devices",
    "check_config",
    "doctor",
    "model",
    "discovery",
    "train",
    "evaluate",
    "report",
    "picture",
    "measure",
    "bench",
)
"""The modules, in the order ``--help`` shows them."""


class Parser(argparse.ArgumentParser):
    """argparse, with the exit code of ``sysexits.h`` for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and how to see what would be right."""
        sys.stderr.write(f"{self.prog}: {message} (see '{self.prog} --help')\n")
        raise SystemExit(UsageError.exit_code)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="genred",
        description="A radio ear: listens to audio and tells programs and people what is playing.",
        epilog="Exit codes: 0 fine, 64 usage, 66 input missing or unusable, 69 a device, stream "
        "or broker is not there, 70 internal, 74 cannot write, 75 try again, 77 permission or "
        "credentials, 78 configuration or model refused.",
    )
    parser.add_argument("--version", action="version", version=f"genred {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"genred.commands.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        args = build_parser().parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
    except GenredError as error:
        return complain(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not complain while closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        _let_go_of_stderr()
    return code


def _let_go_of_stderr() -> None:
    """Where standard error cannot be written to (a full disk), what is left of it goes nowhere.

    Python, which flushes it at its end, would make 120 of the exit code.
    """
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
