"""The ICY protocol of SHOUTcast and Icecast: titles woven into the bytes of the audio.

After every ``icy-metaint`` bytes of audio comes one byte, the length of a block of metadata in
units of 16 bytes, and that block: ``StreamTitle='Artist - Song';StreamUrl='…';`` padded with
zeros. FFmpeg reads it too, but PyAV shows only what was there when the stream was opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from genred.sources.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_INTERVAL = 16_000_000
"""Audio bytes between two blocks; servers send 8 to 64 KiB, and more than this is nonsense."""

# A title may hold quotes and even "';": it ends where another key or the block's end follows.
_TITLE = re.compile(rb"StreamTitle='(.*?)(?:';(?=\w+=')|'?;?$)", re.DOTALL)


class Readable(Protocol):
    """Bytes as they come."""

    def read1(self, n: int = ..., /) -> bytes:
        """At most ``n`` bytes as soon as there are any, none at the end."""
        ...


def interval(value: str | None) -> int | None:
    """The header ``icy-metaint`` as a number; None where there is no metadata to expect."""
    if value is None or not value.strip().isdecimal() or len(value) > 12:
        return None
    number = int(value)
    return number if 0 < number <= LONGEST_INTERVAL else None


def text_of(raw: bytes) -> str:
    """Bytes as text: UTF-8 where it is that, else Latin-1, as old encoders send."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def title_of(block: bytes) -> str | None:
    """The title in one block of metadata; None where it names none."""
    found = _TITLE.search(block.rstrip(b"\0 "))
    return clean(text_of(found.group(1))) if found else None


class IcyReader:
    """Takes the metadata out of a stream: :meth:`read1` gives audio alone.

    ``on_title`` is called, while reading, with each title as it comes (None when it is empty).
    """

    def __init__(
        self, stream: Readable, every: int, on_title: Callable[[str | None], None]
    ) -> None:
        self._stream = stream
        self._every = every
        self._audio_left = every
        self._on_title = on_title

    def read1(self, size: int) -> bytes:
        """At most ``size`` bytes of audio, as soon as there are any; empty at the end."""
        if self._audio_left == 0:
            if not self._metadata():
                return b""
            self._audio_left = self._every
        data = self._stream.read1(min(size, self._audio_left))
        self._audio_left -= len(data)
        return data

    def _metadata(self) -> bool:
        """Read one block; False at the end of the stream."""
        length = self._exactly(1)
        if not length:
            return False
        if length[0]:
            block = self._exactly(16 * length[0])
            if block is None:
                return False
            self._on_title(title_of(block))
        return True

    def _exactly(self, size: int) -> bytes | None:
        parts = b""
        while len(parts) < size:
            data = self._stream.read1(size - len(parts))
            if not data:
                return None
            parts += data
        return parts
