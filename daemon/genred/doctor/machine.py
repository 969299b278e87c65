"""What the machine itself must have right: clock, sound, limits."""

from __future__ import annotations

import ctypes
import grp
import os
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genred.doctor.findings import Finding
from genred.errors import AccessError, GenredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genred.clock import Clock
    from genred.settings.feeds import FeedSettings

SOUND: Final = Path("/dev/snd")

EARLIEST: Final = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""No clock that is right shows less: this program is younger."""

TIMEX_BYTES: Final = 256
"""More than ``struct timex`` has on any architecture of Linux (208 bytes on 64-bit ones)."""

TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""

FILES_AT_REST: Final = 40
"""Descriptors of a daemon without feeds, generously."""

FILES_A_FEED: Final = 8
"""A stream has a socket, a decoder and a resolver's; a device fewer."""


def clock(clock: Clock) -> Finding:
    """Times in messages are worth what the system clock is."""
    now = clock.now()
    if now < EARLIEST:
        shown = datetime.fromtimestamp(now, UTC).date()
        return Finding.fault(
            "clock", TemporaryError(f"it shows {shown}", "set it, and let it be kept: NTP")
        )
    if (synchronised := _synchronised()) is None:
        return Finding.ok("clock", "set; whether something keeps it is not known here")
    if not synchronised:
        return Finding.doubt(
            "clock",
            "set, but nothing keeps it right: times in messages will drift",
            "timedatectl set-ntp true, or install chrony",
        )
    return Finding.ok("clock", "set, and kept right")


def _synchronised() -> bool | None:
    """What the kernel knows, by adjtimex(2) asking for nothing; None where it cannot be asked."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != TIME_ERROR


def sound(feeds: Sequence[FeedSettings]) -> Iterator[Finding]:
    """PortAudio and the devices, as far as a feed needs any."""
    from genred.sources import portaudio  # noqa: PLC0415 - costs 0.1 s

    needed = any(feed.source.startswith("device:") or feed.source == "default" for feed in feeds)
    try:
        devices = portaudio.input_devices()
    except GenredError as error:
        if needed:
            yield Finding.fault("sound", error)
        else:
            yield Finding.ok("sound", "no PortAudio, and no feed that needs it")
        return
    if needed and (forbidden := _forbidden()) is not None:
        yield Finding.fault("sound", forbidden)
    names = ", ".join(repr(device.name) for device in devices) or "none"
    yield Finding.ok("sound", f"input devices: {names}")


def _forbidden() -> AccessError | None:
    """Why this user may not open the sound card; None if it may, or there is none."""
    try:
        closed = [each for each in SOUND.glob("pcm*c") if not os.access(each, os.R_OK | os.W_OK)]
        owner = grp.getgrgid(closed[0].stat().st_gid).gr_name if closed else ""
    except (OSError, KeyError):
        return None
    if not closed:
        return None
    return AccessError(
        f"{closed[0]} may not be opened by this user", f"usermod -aG {owner} USER, then log in anew"
    )


def limits(feeds: int) -> Finding:
    """Are there enough file descriptors for so many feeds?"""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_AT_REST + FILES_A_FEED * feeds
    if soft != resource.RLIM_INFINITY and soft < needed:
        return Finding.doubt(
            "limits",
            f"{soft} file descriptors may be open; {feeds} feeds may need {needed}",
            "raise LimitNOFILE= in a drop-in, or ulimit -n",
        )
    return Finding.ok("limits", f"{soft} file descriptors, {needed} needed at most")
