"""``genred discovery``: what Home Assistant is told, and how all of it is taken away again."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from genred.commands.common import add_config_options, load

if TYPE_CHECKING:
    import argparse

    from genred.settings import Settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "discovery",
        help="show what Home Assistant is told, or remove it",
        description="Show what genred announces to Home Assistant for the configured feeds: one "
        "JSON object, payload by topic. With --purge, remove from the broker all that this node "
        "has left there: discovery in both forms, and every retained topic.",
    )
    add_config_options(parser)
    parser.add_argument(
        "--form",
        choices=["device", "component"],
        help="device-based or single-component discovery; as configured if not given",
    )
    parser.add_argument(
        "--purge", action="store_true", help="remove all of this node from the broker"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    settings = load(args).settings
    if args.purge:
        return _purge(settings)
    form = args.form or settings.mqtt.discovery
    if form == "off":
        sys.stderr.write("discovery is off: nothing is announced (see --form)\n")
        return 0
    print(json.dumps(announced(settings, form), ensure_ascii=False, indent=2))
    return 0


def announced(settings: Settings, form: str) -> dict[str, Any]:
    """What is announced for the configured feeds in ``form``: payload by topic.

    Raises :class:`genred.errors.GenredError` if the model, whose labels it holds, cannot be read.
    """
    from genred import __version__
    from genred.masking import mask
    from genred.messages import NodeInfo
    from genred.model.session import load_model
    from genred.publishers.base import FeedInfo
    from genred.publishers.discovery import FORMS, describe
    from genred.publishers.topics import Topics

    metadata = load_model(settings.model.path).metadata
    node = NodeInfo(
        feed="",
        ts=0.0,
        seq=0,
        version=__version__,
        model=metadata.summary(),
        labels=list(metadata.label_names),
        provider="",
        started_at=0.0,
    )
    devices = describe(
        Topics(settings.mqtt.base_topic, settings.node.name),
        node,
        [FeedInfo(feed.id, mask(feed.source)) for feed in settings.feeds],
        settings.mqtt.heartbeat_s,
    )
    payloads = FORMS[form](settings.mqtt.discovery_prefix, devices)
    return {topic: json.loads(payload) for topic, payload in payloads.items()}


def _purge(settings: Settings) -> int:
    from genred.publishers.purge import purge

    done = purge(settings.mqtt, settings.node.name)
    for topic in done.topics:
        print(f"removed {topic}")
    print(f"{len(done.topics)} topics removed" if done.topics else "nothing was there to remove")
    if done.running:
        sys.stderr.write(
            "genred is running on this node and tells all again when it next connects: "
            "stop it first\n"
        )
    return 0
