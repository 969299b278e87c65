"""The small playlists that stations offer for download: M3U and PLS."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

LONGEST_BYTES = 65536
"""A station's playlist has a few lines; more of it is not read."""

_TYPES = {"audio/x-mpegurl", "audio/mpegurl", "application/x-mpegurl", "audio/x-scpls",
          "application/pls+xml", "application/vnd.apple.mpegurl"}  # fmt: skip
_PLS_ENTRY = re.compile(r"(?im)^\s*File\d+\s*=\s*(\S.*?)\s*$")


def is_playlist(content_type: str, path: str, head: bytes) -> bool:
    """Is an answer a playlist, by its type, its name or how it begins."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return (
        content_type in _TYPES
        or start.startswith((b"#extm3u", b"[playlist]"))
        or (path.lower().endswith((".m3u", ".m3u8", ".pls")) and content_type.startswith("text/"))
    )


def is_hls(text: str) -> bool:
    """Is this M3U a list of segments or variants (RFC 8216), which FFmpeg follows itself."""
    return "#EXT-X-" in text


def first_stream(text: str, base: str) -> str | None:
    """The first http or https address in an M3U or PLS; None where there is none."""
    entries: list[str] = _PLS_ENTRY.findall(text) or [
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")
    ]
    for entry in entries:
        try:
            target = urlsplit(urljoin(base, entry))
        except ValueError:
            continue  # no address at all
        if target.scheme.lower() in {"http", "https"}:
            return target.geturl()
    return None
