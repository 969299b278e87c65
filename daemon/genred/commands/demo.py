"""``genred demo``: the synthesised station through the whole pipeline, nothing needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.commands.run import add_run_options, run

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "demo",
        help="show what genred does, on a synthesised station",
        description="Play a synthesised radio station, whose boundaries are known, through the "
        "whole pipeline: no microphone, broker or configuration needed. Publishes to an embedded "
        "broker on a loopback port unless one is configured.",
    )
    add_run_options(parser)
    parser.add_argument("--seed", type=int, help="another programme: styles, keys and order")
    parser.set_defaults(run=run, demo=True)
