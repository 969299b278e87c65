"""Blocks of float samples out of anything FFmpeg can demux and decode."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, NoReturn

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError

from genred.errors import InputError, UnavailableError
from genred.sources.text import song

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

logger = logging.getLogger("genred.sources")

MOST_CHANNELS = 64
"""More channels are no recording but a damaged header."""
HIGHEST_RATE = 768_000
"""The highest rate any sound card runs at; more is a damaged header."""
MOST_BAD_PACKETS = 200
"""So many undecodable packets on end (some seconds of audio) are no damage any more: the data is
not what the header said."""
LONGEST_TAG = 1000
"""Characters of a tag that are kept: more than is shown of any; a tag may be of 256 MB."""
MOST_BAD_READS = 20
"""So many failed reads on end mean that nothing more comes out of the container."""

_TAGS: tuple[Literal["strings_metadata"], Literal["metadata_update"]] = (
    "strings_metadata",
    "metadata_update",
)
_FULL_SCALE = {"u1": 128.0, "i2": 32768.0, "i4": 2147483648.0}


def samples_of(frame: av.AudioFrame) -> Samples:
    """A decoded frame as float32 ``[n, channels]``, full scale 1.0."""
    raw = frame.to_ndarray()
    channels = frame.layout.nb_channels
    block = raw.T if frame.format.is_planar else raw.reshape(-1, channels)
    scale = _FULL_SCALE.get(block.dtype.str[1:])
    if scale is None:
        return block.astype(np.float32)
    floats = block.astype(np.float32)
    if block.dtype == np.uint8:
        floats -= np.float32(scale)
    floats *= np.float32(1.0 / scale)
    return floats


class Decoder:
    """The best audio stream of an open container; ``name`` is what error messages call it.

    Raises :class:`InputError` when there is no audio in it, or none that can be decoded.
    """

    def __init__(self, container: InputContainer, name: str) -> None:
        self.container = container
        self.name = name
        self.bad_packets = 0
        self.tags: dict[str, str] = {}
        if not container.streams.audio:
            raise InputError(f"{name}: there is no audio in it")
        best = container.streams.best("audio")
        self.stream: AudioStream = (
            best if isinstance(best, av.AudioStream) else container.streams.audio[0]
        )
        context = self.stream.codec_context
        if context is None:
            raise InputError(f"{name}: no decoder for its audio")
        if not 0 < context.channels <= MOST_CHANNELS or not 0 < context.rate <= HIGHEST_RATE:
            raise InputError(
                f"{name}: {context.channels} channels at {context.rate} Hz are no audio",
                "the file or stream is damaged",
            )
        self.tags = _short({**container.metadata, **self.stream.metadata})

    @property
    def title(self) -> str | None:
        """``Artist - Title`` as of the last block, where the tags tell."""
        return song(self.tags)

    def blocks(self) -> Iterator[tuple[Samples, int]]:
        """Float32 ``[n, channels]`` and its rate, block by block.

        Damaged packets are skipped (one warning). Raises :class:`InputError` when nothing but
        damage comes, and lets :class:`av.error.FFmpegError` through when reading itself fails.
        """
        in_a_row = 0
        for packet in self._packets():
            self._update_tags(packet)
            try:
                frames = packet.decode()
            except FFmpegError as error:
                self._damaged(error)
                in_a_row += 1
                if in_a_row > MOST_BAD_PACKETS:
                    raise InputError(
                        f"{self.name}: its audio cannot be decoded", "is it damaged or encrypted?"
                    ) from None
                continue
            for frame in frames:
                if not isinstance(frame, av.AudioFrame) or frame.samples == 0:
                    continue
                if not 0 < frame.layout.nb_channels <= MOST_CHANNELS:
                    raise InputError(
                        f"{self.name}: {frame.layout.nb_channels} channels in midstream"
                    )
                in_a_row = 0
                yield samples_of(frame), frame.sample_rate

    def _packets(self) -> Iterator[av.Packet[AudioStream]]:
        failures = 0
        while True:
            try:
                for packet in self.container.demux(self.stream):
                    failures = 0
                    yield packet
            except InvalidDataError as error:
                failures += 1
                self._damaged(error)
                if failures > MOST_BAD_READS:
                    return
            else:
                return

    def _damaged(self, error: FFmpegError) -> None:
        self.bad_packets += 1
        if self.bad_packets == 1:
            logger.warning("%s: damaged audio is skipped (%s)", self.name, error.strerror)

    def _update_tags(self, packet: av.Packet[AudioStream]) -> None:
        """Take over tags that change in midstream: those of a chained Ogg stream are all new."""
        for kind in _TAGS:
            if packet.has_sidedata(kind):
                parts = bytes(packet.get_sidedata(kind)).decode("utf-8", "replace").split("\0")
                self.tags = _short(dict(zip(parts[::2], parts[1::2], strict=False)))


def _short(tags: dict[str, str]) -> dict[str, str]:
    return {key: value[:LONGEST_TAG] for key, value in tags.items()}


def refuse(name: str, error: FFmpegError, *, remote: bool) -> NoReturn:
    """Say in one line why FFmpeg could not open or read ``name``."""
    kind = UnavailableError if remote else InputError
    if isinstance(error, (InvalidDataError, EOFError)):
        raise InputError(f"{name}: this is not audio that can be decoded") from None
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        raise UnavailableError(f"{name}: no answer in time") from None
    raise kind(f"{name}: {error.strerror or type(error).__name__}") from None
