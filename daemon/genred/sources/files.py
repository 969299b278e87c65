"""Files and folders of files, in any format that FFmpeg decodes."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av
from av.error import ExitError, FFmpegError

from genred.errors import InputError
from genred.resample import Channel, Resampler
from genred.sources.base import StreamInfo
from genred.sources.decoder import Decoder, refuse
from genred.sources.pace import Pacer
from genred.sources.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from genred.clock import Clock
    from genred.sources.base import Intake

logger = logging.getLogger("genred.sources")

EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "au", "caf", "eac3", "flac"),
        *("m4a", "m4b", "mka", "mp2", "mp3", "mp4", "mpc", "oga", "ogg", "opus", "ra", "snd"),
        *("spx", "tta", "w64", "wav", "webm", "wma", "wv"),
    )
)
"""What counts as audio when a folder is searched; a file named outright may be called anything."""
READ_TIMEOUT_S = 30.0
"""Longest wait for one read: a network drive that is away must not hold a feed for ever."""
OPEN_TIMEOUT_S = 10.0
"""Longest search for the beginning of audio: FFmpeg would look through all of a damaged 10 GB."""
PROBE_BYTES = 1_000_000
"""How far FFmpeg looks for a format it knows."""
GATHER_S = 0.25
"""What is decoded of a file is resampled in pieces of this length."""
ZERO_BYTES = 65_536
"""A file that begins with so many zeros (a sparse file, a download that never came) holds no format
there is."""


def audio_files(folder: Path) -> list[Path]:
    """Files under ``folder`` with an audio extension, sorted by path; links are not followed.

    Raises :class:`InputError` when there are none or the folder cannot be read.
    """
    found: list[Path] = []

    def failed(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise InputError(f"{folder}: {error.strerror}") from None

    for where, folders, names in os.walk(folder, onerror=failed):
        folders.sort()
        found += [Path(where, name) for name in names if Path(name).suffix.lower() in EXTENSIONS]
    if not found:
        raise InputError(
            f"{folder}: no audio files in this folder",
            "looked for " + " ".join(sorted(EXTENSIONS)),
        )
    return sorted(found)


def open_file(path: Path) -> Decoder:
    """Open one file; the caller closes ``.container``.

    Raises :class:`InputError` for whatever is not a readable, decodable audio file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: this is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            f"{path}: this is not a regular file", f"raw samples: genred run --source - < {path}"
        )
    if status.st_size == 0:
        raise InputError(f"{path}: the file is empty")
    _refuse_zeros(path)
    try:
        # "file:" keeps a colon in a name from being read as a protocol, and the allow-list keeps
        # a playlist that poses as audio from reaching the network.
        container = av.open(
            f"file:{path}",
            container_options={"protocol_whitelist": "file", "probesize": str(PROBE_BYTES)},
            metadata_errors="replace",
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
        )
    except ExitError:
        raise InputError(f"{path}: no audio found in {OPEN_TIMEOUT_S:.0f} s of looking") from None
    except FFmpegError as error:
        refuse(str(path), error, remote=False)
    except UnicodeEncodeError:
        raise InputError(
            f"{str(path)!r}: the name cannot be given to FFmpeg", "rename it"
        ) from None
    try:
        return Decoder(container, str(path))
    except BaseException:
        container.close()
        raise


def _refuse_zeros(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(ZERO_BYTES)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not any(start):
        raise InputError(
            f"{path}: this is not audio, it begins with {len(start)} zeros", "copy the file anew"
        )


def decode_upload(file: BinaryIO, name: str, rate: int) -> Iterator[NDArray[np.float32]]:
    """The whole of an open file of a stranger's as mono float32 blocks ``[n]`` at ``rate`` Hz.

    Nothing else is opened: a playlist that poses as audio reaches neither files nor the network.
    ``name`` is what error messages call it. Raises :class:`InputError` like :func:`decode`.
    """
    try:
        container = av.open(
            file,
            mode="r",
            container_options={"protocol_whitelist": "none", "probesize": str(PROBE_BYTES)},
            metadata_errors="replace",
        )
    except FFmpegError as error:
        refuse(name, error, remote=False)
    with container:
        yield from _mono(Decoder(container, name), Resampler(rate, "mix", GATHER_S))


def decode(path: Path | str, rate: int, channel: Channel = "mix") -> Iterator[NDArray[np.float32]]:
    """The whole of one file as mono float32 blocks ``[n]`` at ``rate`` Hz, block by block.

    Raises :class:`InputError`, at the first block, for what is not a readable audio file or holds
    no audio at all. Damage in the middle is skipped with one warning.
    """
    decoder = open_file(Path(path))
    with decoder.container:
        yield from _mono(decoder, Resampler(rate, channel, GATHER_S))


def _mono(decoder: Decoder, resampler: Resampler) -> Iterator[NDArray[np.float32]]:
    heard = 0
    try:
        for block, rate in decoder.blocks():
            mono = resampler.push(block, rate)
            heard += len(block)
            if len(mono):
                yield mono
    except FFmpegError as error:
        if heard == 0:
            refuse(decoder.name, error, remote=False)
        logger.warning("%s: breaks off (%s)", decoder.name, error.strerror)
    if heard == 0:
        raise InputError(f"{decoder.name}: there is no audio in it")
    rest = resampler.flush()
    if len(rest):
        yield rest


class FileSource:
    """A file, or the files of a folder one after the other, in real time or ``fast``.

    Several files follow each other without a gap, as on a radio. One that cannot be played is
    skipped with a warning where there are others.
    """

    live = False
    synthetic = False

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        channel: Channel = "mix",
        fast: bool = False,
        loop: bool = False,
    ) -> None:
        self.path = path
        self.description = f"folder {path}" if path.is_dir() else f"file {path}"
        self._clock = clock
        self._channel: Channel = channel
        self._fast = fast
        self._loop = loop

    def run(self, intake: Intake) -> None:
        """Play to the end, or for ever with ``loop``.

        Raises :class:`InputError` when there is nothing that can be played.
        """
        pacer = Pacer(intake, self._clock)
        while True:
            files = audio_files(self.path) if self.path.is_dir() else [self.path]
            if not self._play_all(files, intake, pacer):
                return
            if not self._loop:
                if not self._fast:
                    pacer.finish()
                return

    def _play_all(self, files: list[Path], intake: Intake, pacer: Pacer) -> bool:
        """Play each file once; False when told to stop."""
        played = 0
        for path in files:
            try:
                if not self._play(path, intake, pacer):
                    return False
            except InputError as error:
                if len(files) == 1:
                    raise
                logger.warning("%s", error)
            else:
                played += 1
        if not played:
            raise InputError(f"{self.path}: none of its {len(files)} files can be played")
        return True

    def _play(self, path: Path, intake: Intake, pacer: Pacer) -> bool:
        decoder = open_file(path)
        with decoder.container:
            station = self.path.name if path != self.path else None
            intake.info(StreamInfo(station=station, title=decoder.title or clean(path.name)))
            intake.listening()
            for block in _mono(decoder, Resampler(intake.rate, self._channel, GATHER_S)):
                if not (intake.write_all(block) if self._fast else pacer.put(block)):
                    return False
        return True
