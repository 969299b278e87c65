"""``genred tag``: files through the same pipeline, as fast as it goes."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genred.commands.common import add_config_options, complain, load
from genred.errors import GenredError, InputError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from genred.model.session import Model
    from genred.settings.judgement import JudgementSettings
    from genred.tagging import FileResult

SEGMENTS_SHOWN: Final = 6
"""Segments a row of the table shows; all of them are in the other formats."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "tag",
        help="tell what is in files, as fast as it goes",
        description="Judge files through the same pipeline as live feeds. Folders are searched "
        "for audio files. A file that cannot be read is told of and does not stop the others; "
        "the exit code is then 66.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file or a folder")
    parser.add_argument(
        "--format",
        choices=["table", "jsonl", "csv"],
        default="table",
        help="jsonl: one JSON line a file with path, duration, label, confidence, scores, segments",
    )
    parser.add_argument(
        "--decisions",
        action="store_true",
        help="with jsonl: also one line a decision with path, t, raw and smoothed scores, label",
    )
    add_config_options(parser)
    parser.add_argument(
        "--provider", choices=["auto", "cpu", "cuda"], help="what the model runs on"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from genred import logs
    from genred.model.session import load_model

    if args.decisions and args.format != "jsonl":
        raise UsageError("--decisions needs --format jsonl")
    settings = load(args).settings
    logs.setup(settings.logging.level)
    model = load_model(
        settings.model.path, provider=settings.model.provider, threads=settings.model.threads
    )
    worst = [0]
    results = _results(args, model, settings.judgement, worst)
    {"table": _table, "jsonl": _jsonl, "csv": _csv}[args.format](results)
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


def _csv(results: Iterator[FileResult]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(("path", "duration", "label", "confidence", "segments"))
    for result in results:
        row = result.to_dict()
        segments = ";".join(f"{s['start']}-{s['end']}:{s['label']}" for s in row["segments"])
        writer.writerow((row["path"], row["duration"], row["label"], row["confidence"], segments))
        sys.stdout.flush()


def _table(results: Iterator[FileResult]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("length", justify="right")
    table.add_column("label")
    table.add_column("sure", justify="right")
    table.add_column("segments")
    for result in results:
        shown = [f"{_clock(each.start)} {each.label}" for each in result.segments[:SEGMENTS_SHOWN]]
        more = len(result.segments) - SEGMENTS_SHOWN
        shown += [f"and {more} more"] if more > 0 else []
        table.add_row(
            Text(result.path),
            _clock(result.duration),
            result.label,
            f"{result.confidence:.2f}",
            ", ".join(shown),
        )
    if table.row_count:
        Console().print(table)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"
