"""``genred check-config``: is the configuration right, what is in force, what looks doubtful."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """The command's options."""
    parser = subparsers.add_parser(
        "check-config",
        help="check the configuration, and show what is in force",
        description="Checks the configuration that `genred run` would take, environment "
        "included, and prints what is in force and where each value comes from, as TOML, with "
        "passwords masked. What is allowed but looks doubtful is told on standard error.",
        epilog="Exit codes: 0 valid, 66 no such file, 77 may not be read, 78 not valid.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="without it: $GENRED_CONFIG, $XDG_CONFIG_HOME/genred/genred.toml, "
        "/etc/genred/genred.toml",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the same as FILE")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--print-example", action="store_true", help="print a file with every key documented"
    )
    instead.add_argument("--schema", action="store_true", help="print the JSON schema, for editors")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check and show; raises what :func:`genred.settings.load.load` raises."""
    from genred.errors import UsageError
    from genred.settings import document

    if args.print_example or args.schema:
        sys.stdout.write(document.schema() if args.schema else document.example())
        return 0
    if args.file and args.config:
        raise UsageError("FILE and --config both name a file", "give one of them")

    from genred.settings.doubts import doubts
    from genred.settings.load import load

    loaded = load(args.file or args.config, os.environ)
    sys.stdout.write(document.in_force(loaded))
    sys.stdout.flush()
    for doubt in doubts(loaded, os.environ):
        sys.stderr.write(f"warning: {doubt}\n")
    return 0
