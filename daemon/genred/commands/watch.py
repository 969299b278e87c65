"""``genred watch``: the dashboard of a daemon that runs elsewhere."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genred.commands.common import add_config_options, load
from genred.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    import argparse

    from genred.settings import Settings
    from genred.watch.sight import Sight


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "watch",
        help="show the dashboard of a daemon that runs elsewhere",
        description="Show the dashboard of daemons that run elsewhere: of a service on this "
        "machine through its socket, or of any nodes through their broker. Tab and the arrow "
        "keys go from feed to feed, n and p from node to node, q leaves. It reconnects by itself "
        "and never disturbs a daemon. Without --socket or --broker: a service on this machine if "
        "there is one, else the broker that is configured.",
    )
    parser.add_argument(
        "--socket",
        type=Path,
        action="append",
        metavar="PATH",
        help="a daemon's socket; may be given several times",
    )
    parser.add_argument(
        "--broker", metavar="URL", help="watch through a broker: mqtt[s]://[user@]host[:port]"
    )
    parser.add_argument(
        "--topic-prefix", metavar="TOPIC", help="the first part of all topics; genred by default"
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command.

    Raises :class:`UsageError` without a terminal, and what the first look raises.
    """
    if args.socket and (args.broker or args.mqtt):
        raise UsageError("--socket and --broker do not go together")
    if not sys.stdout.isatty():
        raise UsageError("watching needs a terminal", "programs subscribe to the broker themselves")
    args.mqtt = args.broker or args.mqtt
    settings = load(args).settings
    sight = _sight(args, settings)
    sight.start()
    try:
        _show(sight, settings)
    finally:
        sight.stop()
    return 0


def _sight(args: argparse.Namespace, settings: Settings) -> Sight:
    from genred.watch.local import LocalSight
    from genred.watch.place import sockets

    if args.socket:
        return LocalSight(args.socket)
    remote = args.mqtt is not None or args.topic_prefix is not None or args.node is not None
    paths = [] if remote else sockets(settings.dashboard, os.environ)
    if paths:
        return LocalSight(paths)
    if settings.mqtt.url is None:
        raise UnavailableError(
            "no daemon is found on this machine, and no broker is configured",
            "give --broker URL, or --socket PATH",
        )
    from genred.watch.remote import RemoteSight

    return RemoteSight(settings.mqtt, args.node)


def _show(sight: Sight, settings: Settings) -> None:
    from genred.dashboard.live import Dashboard
    from genred.watch.window import Window

    ended = []
    # A handler does nothing but this: it may interrupt anything.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.append(True))
    window = Window(sight)
    Dashboard(
        window.view, settings.dashboard, notice=window.notice, turn=window.turn, listening=False
    ).run(lambda: bool(ended))
