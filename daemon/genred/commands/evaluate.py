"""``genred evaluate``: say how good a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.commands.handover import add_lab_parser

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    add_lab_parser(
        subparsers,
        "evaluate",
        "genred_train.evaluate",
        "judge a model on recordings",
        "Say how good a model is on recordings that it has not heard.",
    )
