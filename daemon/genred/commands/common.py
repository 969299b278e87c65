"""What several commands share: options of configuration, and how an error is shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from genred.errors import GenredError
    from genred.settings.load import Loaded


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Options that say which configuration holds, and override parts of it."""
    group = parser.add_argument_group("configuration")
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a configuration; without it: $GENRED_CONFIG, "
        "$XDG_CONFIG_HOME/genred/genred.toml, /etc/genred/genred.toml",
    )
    group.add_argument("--model", metavar="PATH", help="a model.onnx, or its folder")
    group.add_argument("--mqtt", metavar="URL", help="the broker: mqtt://[user@]host[:port]")
    group.add_argument("--node", metavar="NAME", help="this node's name in topics")
    group.add_argument(
        "--shard", metavar="I/N", help="only part I, counted from 0, of N of the feeds"
    )


def load(args: argparse.Namespace) -> Loaded:
    """The settings by all that was said: flags over environment over file over defaults.

    Raises :class:`genred.errors.ConfigError` and :class:`genred.errors.InputError`.
    """
    from genred.settings.load import load as load_settings

    overrides: dict[str, dict[str, Any]] = {}
    for option, section, key in (
        ("model", "model", "path"),
        ("provider", "model", "provider"),
        ("mqtt", "mqtt", "url"),
        ("node", "node", "name"),
        ("topic_prefix", "mqtt", "base_topic"),
        ("shard", "node", "shard"),
        ("plain", "dashboard", "plain"),
        ("log_level", "logging", "level"),
    ):
        value = getattr(args, option, None)
        if value is not None:
            overrides.setdefault(section, {})[key] = value
    return load_settings(getattr(args, "config", None), os.environ, overrides)


def complain(error: GenredError, prog: str = "genred") -> int:
    """Show an error as one line on standard error; returns its exit code."""
    sys.stderr.write(f"{prog}: {error}\n")
    return error.exit_code
