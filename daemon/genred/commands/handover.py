"""How a command hands over to the training lab, which is a package and a process apart."""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from genred.errors import UnavailableError

if TYPE_CHECKING:
    import argparse


def add_lab_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    module: str,
    about: str,
    description: str,
) -> None:
    """Describe a command that is ``python -m MODULE`` with all that follows its name."""
    parser = subparsers.add_parser(
        name,
        help=f"{about} (needs genred[train])",
        description=description,
        add_help=False,
        prefix_chars="\0",  # the lab reads the options, --help among them
    )
    parser.add_argument("arguments", nargs="*")
    parser.set_defaults(run=partial(_hand_over, module))


def _hand_over(module: str, args: argparse.Namespace) -> int:
    """Become the lab's process: the daemon never imports torch."""
    if find_spec("genred_train") is None:
        raise UnavailableError("the training lab is not installed", "pip install 'genred[train]'")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *args.arguments])  # noqa: S606
