"""``genred devices``: what sound can be captured from, and what to write in the configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from genred.errors import UnavailableError

if TYPE_CHECKING:
    import argparse

    from genred.sources.portaudio import InputDevice


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "devices",
        help="list the sound devices that can be listened to",
        description="List the input devices: microphones, line-in, monitors of outputs. The last "
        "column is what to write as `source` of a feed, or after `genred run --source`.",
    )
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command.

    Raises :class:`UnavailableError` without PortAudio, or without any input device.
    """
    from genred.sources.portaudio import input_devices

    devices = input_devices()
    if args.json:
        print(json.dumps([{**each._asdict(), "source": each.source} for each in devices], indent=2))
    if not devices:
        raise UnavailableError(
            "no sound device with an input was found",
            "is the sound card plugged in, and may this user (group 'audio') open it?",
        )
    if not args.json:
        _show(devices)
    return 0


def _show(devices: list[InputDevice]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from genred.text import clean

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("index", justify="right")
    table.add_column("name", overflow="fold")
    table.add_column("channels", justify="right")
    table.add_column("rate", justify="right")
    table.add_column("through")
    table.add_column("source", overflow="fold")
    for device in devices:
        table.add_row(
            str(device.index),
            Text(clean(device.name) + (" (default)" if device.default else "")),
            str(device.channels),
            f"{device.rate} Hz",
            Text(clean(device.host_api)),
            Text(clean(device.source), style="cyan"),
        )
    Console(highlight=False).print(table)
