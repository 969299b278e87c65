"""``genred evaluate``: hands over to the training lab, which is a package and a process apart."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from genred.errors import UnavailableError

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="judge a model on recordings (needs genred[train])",
        description="Say how good a model is on recordings that it has not heard.",
        add_help=False,
        prefix_chars="\0",
    )
    parser.add_argument("arguments", nargs="*")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become ``python -m genred_train.evaluate``: the daemon never imports torch."""
    if find_spec("genred_train") is None:
        raise UnavailableError("the training lab is not installed", "pip install 'genred[train]'")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "genred_train.evaluate", *args.arguments])  # noqa: S606
