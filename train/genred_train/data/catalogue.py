"""What recordings there are: a manifest or a folder of genre folders, read into clips."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast, get_args

from genred.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MANIFEST = "manifest.csv"
REQUIRED = ("path", "label", "group", "split")

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

# What is taken for audio in a folder of genre folders; a manifest may name anything.
AUDIO_SUFFIXES = frozenset(
    [
        ".aac",
        ".aif",
        ".aiff",
        ".au",
        ".flac",
        ".m4a",
        ".mka",
        ".mp2",
        ".mp3",
        ".mp4",
        ".oga",
        ".ogg",
        ".opus",
        ".snd",
        ".wav",
        ".webm",
        ".wma",
    ]
)


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording.

    ``name`` is its path as the data writes it; ``group`` is what must stay together (artist,
    speaker, recording); ``split`` is the manifest's, ``None`` where it names none of ours.
    """

    path: Path
    name: str
    label: str
    group: str
    split: SplitName | None = None
    dataset: str = ""
    license: str = ""


def read(folder: Path) -> list[Clip]:
    """List the clips of ``folder``: of its ``manifest.csv`` or else of its sub-folders.

    Raises :class:`InputError` if there is no such folder, nothing in it, or the manifest is not
    one.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "--data wants a folder of genre folders")
    manifest = folder / MANIFEST
    clips = _from_manifest(manifest) if manifest.is_file() else _from_folders(folder)
    if not clips:
        raise InputError(
            f"there is no audio in {folder}",
            f"--data wants a folder with one sub-folder a genre, or with a {MANIFEST}",
        )
    return clips


def unlabelled(folder: Path) -> list[Clip]:
    """List all audio beneath ``folder``, whatever it is called, without labels.

    A manifest says what belongs together and where it is from; else a sub-folder of ``folder`` is
    taken for an artist, and ``folder`` for the data set. Raises what :func:`read` raises.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "--unlabelled wants a folder of music")
    manifest = folder / MANIFEST
    if manifest.is_file():
        clips = [replace(clip, label="", split=None) for clip in _from_manifest(manifest)]
    else:
        name = folder.resolve().name
        clips = [
            Clip(path, path.relative_to(folder).as_posix(), "", group, dataset=name)
            for path, group in _grouped(folder)
        ]
    if not clips:
        raise InputError(f"there is no audio in {folder}", "--unlabelled wants a folder of music")
    return clips


def _from_manifest(manifest: Path) -> list[Clip]:
    folder = manifest.parent
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{manifest} has no column {missing[0]!r}",
                    f"its first line must name {','.join(REQUIRED)}",
                )
            rows = list(enumerate(reader, start=2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {manifest}: {error}", "it must be UTF-8 CSV") from None
    clips = []
    for line, row in rows:
        if not (row["path"] and row["label"]):
            raise InputError(f"{manifest}, line {line}: path and label must not be empty", "")
        split = cast("SplitName", row["split"]) if row["split"] in SPLITS else None
        clips.append(
            Clip(
                path=_resolve(folder, row["path"]),
                name=row["path"],
                label=row["label"],
                group=row["group"] or row["path"],
                split=split,
                dataset=row.get("dataset") or "",
                license=row.get("license") or "",
            )
        )
    return clips


def _resolve(folder: Path, name: str) -> Path:
    """Find a manifest's path beside the manifest or in the folder ``audio`` beside it."""
    beside = folder / name
    if not beside.exists() and (folder / "audio" / name).exists():
        return folder / "audio" / name
    return beside


def _from_folders(folder: Path) -> list[Clip]:
    return [
        Clip(path=path, name=path.relative_to(folder).as_posix(), label=genre.name, group=group)
        for genre in _folders(folder)
        for path, group in _grouped(genre)
    ]


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _grouped(genre: Path) -> Iterable[tuple[Path, str]]:
    """Each file of a genre with its group: its sub-folder's name, or else itself.

    A sub-folder is taken for an artist or album; one of the same name under another genre is
    the same, so that an artist of two genres is not on both sides of a split.
    """
    for path in sorted(genre.rglob("*")):
        if path.suffix.lower() not in AUDIO_SUFFIXES or path.name.startswith("."):
            continue
        inner = path.relative_to(genre)
        yield path, inner.parts[0] if len(inner.parts) > 1 else f"{genre.name}/{inner.name}"
