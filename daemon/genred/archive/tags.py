"""Genres into the tags of files: MP3, FLAC, Ogg Vorbis, Opus and M4A.

A file is never written to: its copy gets the genre, is compared with it packet by packet, and
takes its place in one step, with its modes, times and extended attributes. Whoever is killed
leaves the file as it was, and at most a hidden ``.genred-*.part`` beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mutagen
from mutagen import id3 as _id3
from mutagen.flac import FLAC
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from genred.errors import AccessError, GenredError, InputError, OutputError
from genred.labels import SILENCE, UNKNOWN
from genred.sources.files import open_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genred.archive.jobs import Job

NO_GENRE: Final = frozenset({SILENCE, UNKNOWN, "noise"})
"""What is heard, but is no genre to write into a file."""

SPELLED: Final = {"hiphop": "Hip-Hop", "rnb": "R&B"}
"""Genres that a capital letter does not make; as players spell them."""

id3: Any = _id3
"""Without types of its own."""

_VORBIS: Final = (FLAC, OggVorbis, OggOpus)

_MP4_GENRE: Final = "\xa9gen"


@dataclass(frozen=True, slots=True)
class Change:
    """A genre that is to be written, and what stands there now."""

    job: Job
    genre: str
    former: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What writing would do."""

    changes: tuple[Change, ...]
    same: int
    """Files that have this genre already, or keep theirs."""
    unfit: int
    """Files of formats that are not written, and what is no genre."""

    def question(self) -> str:
        """What is asked before anything is written."""
        count = len(self.changes)
        replaced = sum(bool(each.former) for each in self.changes)
        text = f"write the genre into {count} file{'s' if count != 1 else ''}"
        if replaced:
            text += f" ({replaced} of them have another one, which is replaced)"
        return text


def genre_of(label: str) -> str | None:
    """A label as genre tags spell it; None where it is no genre."""
    if label in NO_GENRE:
        return None
    return SPELLED.get(label) or label.replace("_", " ").title()


def plan(heard: Iterable[tuple[Job, str]], *, keep: bool = False) -> Plan:
    """What to write for files and the labels they were given; with ``keep`` only where none is."""
    changes: list[Change] = []
    same = unfit = 0
    for job, label in heard:
        genre = genre_of(label)
        try:
            former = genres(Path(job.path)) if genre is not None else ()
        except GenredError:
            genre = None
        if genre is None:
            unfit += 1
        elif former == (genre,) or (keep and former):
            same += 1
        else:
            changes.append(Change(job, genre, former))
    return Plan(tuple(changes), same, unfit)


def genres(path: Path) -> tuple[str, ...]:
    """The genres that a file names. Raises :class:`InputError` for other formats."""
    file = _load(path)
    tags: Any = file.tags
    if tags is None:
        return ()
    if isinstance(file, MP3):
        frame = tags.get("TCON")
        return tuple(frame.genres) if frame is not None else ()
    return tuple(tags.get(_MP4_GENRE if isinstance(file, MP4) else "genre", ()))


def write(change: Change) -> os.stat_result:
    """Write one genre; what the file is now.

    Raises :class:`AccessError` where it may not be written, :class:`InputError` where it is
    another file than was heard, :class:`OutputError` where writing fails.
    """
    job = change.job
    # A link stays a link: what it leads to is replaced.
    path = Path(job.path).resolve()
    try:
        return _replace(path, change)
    except mutagen.MutagenError as error:
        raise OutputError(f"{job.shown}: its tags cannot be written: {error}") from None
    except PermissionError as error:
        raise AccessError(f"{job.shown}: {error.strerror}") from None
    except OSError as error:
        raise OutputError(f"{job.shown}: cannot be written: {error.strerror}") from None


def _replace(path: Path, change: Change) -> os.stat_result:
    job = change.job
    before = path.stat()
    if (before.st_size, before.st_mtime_ns) != (job.size, job.mtime_ns):
        raise InputError(f"{job.shown}: has changed since it was heard", "run the same again")
    if not os.access(path, os.W_OK):
        raise AccessError(f"{job.shown}: may not be written")
    with _copy(path, before) as copy:
        _set(copy, type(_load(path)), change.genre)
        if _audio(copy) != _audio(path):
            raise OutputError(f"{job.shown}: its audio would change; it is left as it was")
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        # Modes, times and extended attributes; last, so that a read-only mode is not in the way.
        shutil.copystat(path, copy)
        now = path.stat()
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise InputError(f"{job.shown}: changes while it is written", "run the same again")
        copy.replace(path)
    return path.stat()


@contextlib.contextmanager
def _copy(path: Path, status: os.stat_result) -> Iterator[Path]:
    """A copy of the content beside ``path``, its owner's; gone at the end if nobody moved it."""
    # Not an ending of audio: what a killed run leaves is no part of the collection.
    handle, name = tempfile.mkstemp(prefix=".genred-", suffix=".part", dir=path.parent)
    os.close(handle)
    copy = Path(name)
    try:
        shutil.copyfile(path, copy)
        made = copy.stat()
        if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
            os.chown(copy, status.st_uid, status.st_gid)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _load(path: Path) -> Any:
    try:
        file = mutagen.File(path)
    except mutagen.MutagenError as error:
        raise InputError(f"{path}: its tags cannot be read: {error}") from None
    if not isinstance(file, (MP3, MP4, *_VORBIS)):
        raise InputError(f"{path}: genres are written to MP3, FLAC, Ogg, Opus and M4A only")
    return file


def _set(path: Path, kind: type[Any], genre: str) -> None:
    if kind is MP3:
        _set_id3(path, genre)
        return
    file = kind(path)
    if file.tags is None:
        file.add_tags()
    file.tags[_MP4_GENRE if kind is MP4 else "genre"] = [genre]
    file.save()


def _set_id3(path: Path, genre: str) -> None:
    """In the version of ID3 that the file has: a newer one would turn other frames into its own."""
    try:
        tags: Any = id3.ID3(path, translate=False)
        version = 4 if tags.version >= (2, 4, 0) else 3
    except id3.ID3NoHeaderError:
        tags, version = id3.ID3(), 3
    wide = id3.Encoding.UTF8 if version == 4 else id3.Encoding.UTF16
    tags.setall(
        "TCON", [id3.TCON(encoding=id3.Encoding.LATIN1 if _is_latin(genre) else wide, text=genre)]
    )
    tags.save(path, v2_version=version)


def _is_latin(text: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return bool(text.encode("latin-1"))
    return False


def _audio(path: Path) -> bytes:
    """A digest of the audio's packets as they lie in the file, undecoded."""
    digest = hashlib.sha256()
    decoder = open_file(path)
    with decoder.container:
        for packet in decoder.container.demux(decoder.stream):
            digest.update(bytes(packet))
    return digest.digest()
