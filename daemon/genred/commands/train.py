"""``genred train``: train a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.commands.handover import add_lab_parser

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    add_lab_parser(
        subparsers,
        "train",
        "genred_train",
        "train a network from a folder of audio",
        "Train a network as a recipe says, judge it and export it.",
    )
