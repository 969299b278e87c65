"""``genred report``: compare runs of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.commands.handover import add_lab_parser

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    add_lab_parser(
        subparsers,
        "report",
        "genred_train.report",
        "lay runs of training side by side",
        "Compare runs: figures, parameters, multiply-adds, milliseconds.",
    )
