"""``python -m genred_train.gather``: fetches free music for a teacher to speak of."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import av

from genred.errors import InputError, OutputError, TemporaryError, UnavailableError
from genred_train.data import catalogue
from genred_train.entry import Parser, answer, need

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

_DESCRIPTION = """\
Fetch music of free games from Debian's packages, which anybody may hear, copy and change, and cut
excerpts from it: five hours of music without labels, of many kinds, for
`genred train --teacher FILE --unlabelled DIR`. Nothing is installed. Needs apt-get, as Debian has
it; packages that are there already are not fetched again."""

_NEEDED = ("rich",)

LIST = "free_music.csv"
SECONDS = 25.0
_DATASET = "debian-games"
_LICENSE = "free software, by Debian's guidelines; see the package's copyright file"

# Opus knows no other rate that keeps all that can be heard; at this bit rate music is transparent
# to whoever listens to it below 8 kHz.
_RATE, _BIT_RATE = 48_000, 64_000

_ARCHIVES = (".pk3", ".zip")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """``SECONDS`` of a ``file`` in a package (through an archive in it, if need be)."""

    package: str
    version: str
    file: str
    start: float

    @property
    def name(self) -> str:
        """Its path in the folder of what is gathered."""
        plain = Path(self.file).with_suffix("").as_posix().replace("/", "-")
        return f"{self.package}/{plain}-{self.start:.0f}.ogg"


def excerpts() -> list[Excerpt]:
    """All that are on the list."""
    text = (files("genred_train.data") / LIST).read_text(encoding="utf-8")
    return [
        Excerpt(row["package"], row["version"], row["file"], float(start))
        for row in csv.DictReader(text.splitlines())
        for start in row["starts"].split()
    ]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(prog="python -m genred_train.gather", description=_DESCRIPTION)
    made.add_argument("out", type=Path, metavar="DIR", help="where the excerpts go")
    made.add_argument(
        "--only", metavar="PACKAGE", action="append", help="of these packages (default: all)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("genred_train.gather", lambda: _gather(parser().parse_args(arguments)))


def _gather(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "gathering needs")
    from genred_train.console import Console

    console = Console()
    wanted = excerpts()
    packages = sorted({each.package for each in wanted})
    if chosen.only:
        strange = sorted(set(chosen.only) - set(packages))
        if strange:
            raise InputError(
                f"there is no package {strange[0]!r} on the list",
                f"there are: {', '.join(packages)}",
            )
        packages = sorted(set(chosen.only))
    for package in packages:
        missing = [
            each
            for each in wanted
            if each.package == package and not (chosen.out / each.name).exists()
        ]
        if missing:
            console.note(f"{package}: {len(missing)} excerpts")
            with tempfile.TemporaryDirectory(prefix="genred-gather-") as scratch:
                inside, version = unpacked(package, Path(scratch))
                if version != missing[0].version:
                    console.note(f"  version {version}; the list is of {missing[0].version}")
                _cut_all(inside, missing, chosen.out, console)
    listed = write_manifest(wanted, chosen.out)
    print(f"{chosen.out}: {listed} excerpts of {SECONDS:g} s")


def unpacked(package: str, folder: Path) -> tuple[Path, str]:
    """Fetch a Debian package and unpack it into ``folder``; returns where, and its version.

    Raises :class:`UnavailableError` where there is no apt-get, and :class:`TemporaryError` where
    it cannot fetch or unpack the package.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise UnavailableError(
                f"fetching music needs {tool}, which is not here",
                "gather it on Debian and copy the folder, or train without --unlabelled",
            )
    _done(["apt-get", "download", "--quiet", package], package, folder)
    (archive,) = folder.glob("*.deb")
    inside = folder / "unpacked"
    _done(["dpkg-deb", "--extract", archive.name, inside.name], package, folder)
    version = unquote(archive.name.split("_")[1])
    archive.unlink()
    return inside, version


def _done(command: list[str], package: str, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
        raise TemporaryError(
            f"cannot fetch {package}: {lines[-1]}",
            "update apt's lists (apt-get update), look at the network, and gather again: what is "
            "there stays",
        )


def _cut_all(inside: Path, wanted: Sequence[Excerpt], out: Path, console: Any) -> None:
    with console.progress("Cutting") as progress:
        for number, each in enumerate(wanted, start=1):
            path = found(inside, each.file)
            if path is None:
                console.note(f"  not in this version of {each.package}: {each.file}")
                continue
            target = out / each.name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                cut(path, each.start, target)
            except (av.FFmpegError, IndexError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "no audio in it"
                console.note(f"  {each.file}: {reason}")
            except OSError as error:
                raise OutputError(f"cannot write {target}: {error.strerror}", "make room") from None
            progress(number, len(wanted))


def found(inside: Path, file: str) -> Path | None:
    """Where ``file`` of a package lies; an archive on the way to it is unpacked beside itself."""
    place = inside
    for part in Path(file).parts:
        place = place / part
        if place.suffix in _ARCHIVES and place.is_file():
            opened = place.with_name(place.name + ".unpacked")
            if not opened.exists():
                with zipfile.ZipFile(place) as archive:
                    archive.extractall(opened)
            place = opened
    return place if place.is_file() else None


def cut(path: Path, start: float, target: Path) -> None:
    """Write :data:`SECONDS` of ``path`` from ``start`` s on into ``target``, mono, as Opus."""
    beside = target.with_suffix(".new.ogg")
    with av.open(str(path), metadata_errors="replace") as source:
        stream = source.streams.audio[0]
        source.seek(max(0, round((start - 1.0) * av.time_base)))
        with av.open(str(beside), "w") as written:
            coded = written.add_stream("libopus", rate=_RATE, layout="mono", bit_rate=_BIT_RATE)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE)
            for frame in chain(_between(source, stream, start), [None]):
                for part in resampler.resample(frame):
                    part.pts = None
                    written.mux(coded.encode(part))
            written.mux(coded.encode(None))
    beside.replace(target)


def _between(source: Any, stream: Any, start: float) -> Iterator[Any]:
    for frame in source.decode(stream):
        time = frame.time or 0.0
        if time >= start + SECONDS:
            return
        if time >= start:
            yield frame


def write_manifest(wanted: Sequence[Excerpt], out: Path) -> int:
    """Say of each excerpt that is there where it is from; returns how many are.

    Raises :class:`OutputError` if that cannot be written.
    """
    there = [each for each in wanted if (out / each.name).exists()]
    try:
        with (out / catalogue.MANIFEST).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "label", "group", "split", "dataset", "license"])
            for each in there:
                group = f"{each.package}: {each.file}"
                writer.writerow([each.name, "unlabelled", group, "", _DATASET, _LICENSE])
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror}", "make room") from None
    return len(there)


if __name__ == "__main__":
    sys.exit(main())
