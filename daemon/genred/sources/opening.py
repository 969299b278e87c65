"""From the words in the configuration to a source."""

from __future__ import annotations

import re
import stat
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from genred.errors import InputError, UsageError
from genred.masking import mask

if TYPE_CHECKING:
    from genred.clock import Clock
    from genred.settings.feeds import FeedSettings
    from genred.sources.base import Source

UNDERSTOOD = (
    "device:NAME, default, a file, a folder, an http, https or rtsp URL, - for standard input,"
    " station or station:SEED"
)
"""All forms of a source, for error messages."""

DEFAULT_SEED = 7
"""The station's programme where no seed is given."""

_STATION = re.compile(r"station(?::(?P<seed>.*))?", re.DOTALL)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


def open_source(feed: FeedSettings, clock: Clock, stdin: TextIO | None = None) -> Source:
    """The source that ``feed.source`` names; nothing is opened yet.

    ``stdin`` is standard input where ``-`` is meant (``sys.stdin`` if not given). The module of a
    source is imported only here, so that nobody waits for what he does not use. Raises
    :class:`UsageError` for words that name no kind of source, or a terminal as standard input, and
    :class:`InputError` for a path that is not there.
    """
    source = feed.source
    if source == "-":
        return _standard_input(feed, clock, sys.stdin if stdin is None else stdin)
    if station := _STATION.fullmatch(source):
        return _station(station["seed"], clock)
    if source.startswith("device:") or source == "default":
        from genred.sources.device import DeviceSource  # noqa: PLC0415

        device = source.removeprefix("device:").strip()
        if not device:
            raise UsageError("device: needs a name", "device:default, or see genred devices")
        return DeviceSource(
            device, clock, channel=feed.channel, rate=feed.rate, channels=feed.channels
        )
    if _SCHEME.match(source):
        from genred.sources.stream import SCHEMES, StreamSource  # noqa: PLC0415

        if source.lower().split("://", 1)[0] not in SCHEMES:
            raise UsageError(
                f"{mask(source)}: this kind of URL is not listened to",
                f"{', '.join(SCHEMES)} are",
            )
        return StreamSource(source, clock, channel=feed.channel)
    try:
        path = Path(source).expanduser()
    except (RuntimeError, ValueError):  # the latter for a name with a zero byte
        raise InputError(f"{source}: whose home is that?", "write the path in full") from None
    return _path(feed, path, clock)


def open_configured(feed: FeedSettings, clock: Clock) -> Source:
    """As :func:`open_source`, but a path that is not there is looked for until it is."""
    try:
        return open_source(feed, clock)
    except InputError:
        from genred.sources.absent import AbsentSource  # noqa: PLC0415

        return AbsentSource(feed.source, partial(open_source, feed, clock))


def _standard_input(feed: FeedSettings, clock: Clock, stdin: TextIO) -> Source:
    from genred.sources.stdin import PcmSource  # noqa: PLC0415

    try:
        fd = stdin.fileno()
    except (OSError, ValueError, AttributeError):
        raise UsageError("there is no standard input to read from") from None
    return PcmSource(
        fd,
        clock,
        sample_format=feed.format,
        rate=feed.rate,
        channels=feed.channels,
        channel=feed.channel,
    )


def _station(seed: str | None, clock: Clock) -> Source:
    from genred.sources.station import StationSource  # noqa: PLC0415

    if seed is not None and not (seed.isascii() and seed.isdecimal()):
        raise UsageError(f"station:{seed}: the seed is a whole number", "station:7, or station")
    return StationSource(clock, seed=DEFAULT_SEED if seed is None else int(seed))


def _path(feed: FeedSettings, path: Path, clock: Clock) -> Source:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError(
            f"{feed.source}: no such file or folder", f"a source is {UNDERSTOOD}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{feed.source}: {reason}") from None
    if stat.S_ISFIFO(status.st_mode):
        from genred.sources.stdin import FifoSource  # noqa: PLC0415

        return FifoSource(
            path,
            clock,
            sample_format=feed.format,
            rate=feed.rate,
            channels=feed.channels,
            channel=feed.channel,
        )
    from genred.sources.files import FileSource  # noqa: PLC0415

    return FileSource(path, clock, channel=feed.channel, fast=feed.fast, loop=feed.loop)
