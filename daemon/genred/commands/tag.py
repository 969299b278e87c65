"""``genred tag``: files through the same pipeline, as fast as it goes."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genred.commands.common import add_config_options, complain, load
from genred.errors import GenredError, InputError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from genred.model.session import Model
    from genred.settings.judgement import JudgementSettings
    from genred.tagging import FileResult

SEGMENTS_SHOWN: Final = 6
"""Segments a row of the table shows; all of them are in the other formats."""


MOST_WORKERS: Final = 10_000
"""More is a slip of the finger."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "tag",
        help="tell what is in files, as fast as it goes",
        description="Judge files through the same pipeline as live feeds. Folders are searched "
        "for audio files, which are heard in parallel; a run that was stopped goes on where it "
        "was. A file that cannot be read is told of and does not stop the others; the exit code "
        "is then 66.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file or a folder")
    parser.add_argument(
        "--format",
        choices=["table", "jsonl", "csv", "parquet"],
        help="jsonl: one JSON line a file with path, duration, label, confidence, scores, "
        "segments. Without it: as --out ends, else a table",
    )
    parser.add_argument(
        "--decisions",
        action="store_true",
        help="with jsonl: also one line a decision with path, t, raw and smoothed scores, label",
    )
    _add_collection_options(parser)
    add_config_options(parser)
    parser.add_argument(
        "--provider", choices=["auto", "cpu", "cuda"], help="what the model runs on"
    )
    parser.set_defaults(run=run)


def _add_collection_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("collections")
    group.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the results to FILE: .csv, .jsonl or .parquet. What is done stands in "
        "FILE.journal, so that a later run hears only what is new",
    )
    group.add_argument(
        "--workers", type=_count, metavar="N", help="files heard at once (one for each core)"
    )
    group.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="ray: on the cluster at $RAY_ADDRESS, or on this machine without it (local)",
    )
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw the labels' shares as PNG")
    group.add_argument(
        "--write-tags",
        action="store_true",
        help="write the genre into MP3, FLAC, Ogg, Opus and M4A files; asks first",
    )
    group.add_argument(
        "--keep-genre", action="store_true", help="with --write-tags: only where there is none"
    )
    group.add_argument("--yes", action="store_true", help="with --write-tags: do not ask")


def _count(text: str) -> int:
    from argparse import ArgumentTypeError

    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST_WORKERS):
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_WORKERS}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from genred import frugal

    frugal.begin()
    frugal.for_files()
    from genred import logs
    from genred.archive.results import csv_into
    from genred.model.session import load_model

    wants = args.out or args.plot or args.write_tags or args.workers or args.engine != "local"
    if wants or (not args.decisions and any(path.is_dir() for path in args.files)):
        from genred.commands.tag_collection import tag_collection

        return tag_collection(args)
    if args.format == "parquet":
        raise UsageError("parquet is no text", "say where it goes with --out FILE.parquet")
    if args.decisions and args.format != "jsonl":
        raise UsageError("--decisions needs --format jsonl")
    settings = load(args).settings
    logs.setup(settings.logging.level)
    model = load_model(
        settings.model.path, provider=settings.model.provider, threads=settings.model.threads
    )
    worst = [0]
    results = _results(args, model, settings.judgement, worst)
    if args.format == "jsonl":
        _jsonl(results)
    elif args.format == "csv":
        csv_into(sys.stdout, (each.to_dict() for each in results))
    else:
        show_table(
            (each.path, each.duration, each.label, each.confidence, _spans(each))
            for each in results
        )
    return worst[0]


def _results(
    args: argparse.Namespace, model: Model, by: JudgementSettings, worst: list[int]
) -> Iterator[FileResult]:
    """One result a file; complains of those that have none and keeps the worst exit code."""
    from genred.tagging import tag_file

    for path in _files(args.files):
        try:
            yield tag_file(model, path, by, decisions=args.decisions)
        except GenredError as error:
            worst[0] = max(worst[0], complain(error, "genred tag"))


def _files(paths: list[Path]) -> Iterator[Path]:
    from genred.sources.files import audio_files

    for path in paths:
        if path.is_dir():
            found = audio_files(path)
            if not found:
                complain(InputError(f"no audio files in {path}"), "genred tag")
            yield from found
        else:
            yield path


def _jsonl(results: Iterator[FileResult]) -> None:
    for result in results:
        for decision in result.decisions:
            print(json.dumps(asdict(decision)))
        print(json.dumps(result.to_dict()), flush=True)


def _spans(result: FileResult) -> list[tuple[float, str]]:
    return [(each.start, each.label) for each in result.segments]


def show_table(rows: Iterable[tuple[str, float, str, float, list[tuple[float, str]]]]) -> None:
    """Print path, length, label, confidence and segments of each file."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("length", justify="right")
    table.add_column("label")
    table.add_column("sure", justify="right")
    table.add_column("segments")
    for path, duration, label, confidence, segments in rows:
        shown = [f"{_clock(start)} {what}" for start, what in segments[:SEGMENTS_SHOWN]]
        more = len(segments) - SEGMENTS_SHOWN
        shown += [f"and {more} more"] if more > 0 else []
        table.add_row(
            Text(printable(path)), _clock(duration), label, f"{confidence:.2f}", ", ".join(shown)
        )
    if table.row_count:
        Console().print(table)


def printable(text: str) -> str:
    """Text from outside with what would steer a terminal written as an escape."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"
