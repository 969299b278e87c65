"""``[[feeds]]``: what is listened to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from genred.settings.judgement import JudgementOverrides
from genred.settings.section import Section

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class FeedSettings(Section):
    """One thing to listen to."""

    id: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$", examples=["radio"])
    """The feed's name in topics: letters, digits, ``_`` and ``-``."""

    source: str = Field(min_length=1, examples=["device:default"])
    """What to listen to: ``device:NAME`` (or an index, or ``device:default``), a file, a folder,
    a URL (http, https, rtsp; Icecast, SHOUTcast, HLS), ``-`` for raw PCM on standard input,
    ``station`` or ``station:SEED`` for the synthesised station."""

    channel: Literal["mix", "left", "right"] = "mix"
    """Which channel of a stereo source."""

    rate: int | None = Field(default=None, ge=1000, le=768_000, examples=[48000])
    """Samples a second: of raw PCM (48000 if not given); of a device its own if not given."""

    channels: int | None = Field(default=None, ge=1, le=64, examples=[2])
    """Channels: of raw PCM (1 if not given); of a device at most two of its own if not given."""

    format: Literal["s16le", "f32le"] = "s16le"
    """Sample format of raw PCM."""

    fast: bool = False
    """Files: as fast as it goes instead of in real time."""

    loop: bool = False
    """Files: begin again at the end."""

    buffer_s: float = Field(default=10.0, ge=1, le=600)
    """Seconds of audio the ring holds between capture and analysis."""

    judgement: JudgementOverrides = Field(default_factory=JudgementOverrides)
    """Judgement for this feed alone: any keys of ``[judgement]``, which gives the others."""


def source_path(source: str) -> Path | None:
    """The file or folder that ``source`` names; None where it names anything else."""
    named = source in {"-", "default", "station"} or source.startswith(("device:", "station:"))
    return None if named or _URL.match(source) else Path(source)
