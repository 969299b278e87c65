"""``genred tag`` for collections: parallel, resumed, into files, into tags, as a picture."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from genred.commands.common import complain, load
from genred.commands.tag import printable, show_table
from genred.errors import GenredError, OutputError, UsageError

if TYPE_CHECKING:
    import argparse

    from genred.archive.collection import Collection, Engine
    from genred.archive.jobs import Recipe
    from genred.archive.results import Format

PROG = "genred tag"


def tag_collection(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code is the highest of the files' faults."""
    from genred import logs
    from genred.archive.collection import Collection, open_journal
    from genred.archive.jobs import Recipe, listing
    from genred.model.session import load_model

    kind = _checked(args)
    settings = load(args).settings
    logs.setup(settings.logging.level)
    recipe = Recipe.of(
        settings.model.path,
        settings.model.provider,
        settings.model.threads,
        settings.judgement,
    )
    # Whatever is wrong with the model is told once, here, and not by every worker.
    load_model(Path(recipe.model), provider=recipe.provider, threads=recipe.threads)
    jobs, faults = listing(args.files)
    engine = _engine(args, recipe)
    with open_journal(args.out, args.files, recipe.fingerprint(), os.environ) as journal:
        collection = Collection(jobs, faults, journal)
        _hear(collection, engine, live=kind if args.out is None else None)
        _tell(args, collection, kind)
        worst = max((each.exit_code for each in collection.faults), default=0)
        if args.write_tags:
            worst = max(worst, _write_tags(collection, keep=args.keep_genre, ask=not args.yes))
        if args.out is None:
            # Whoever reads standard output has it all: nothing is left to go on with.
            journal.discard()
    return worst


def _checked(args: argparse.Namespace) -> Format | None:
    """The format of the results, None for a table; what cannot be is told before any work."""
    from genred.archive import plot, results

    if args.decisions:
        raise UsageError("--decisions goes to standard output, file by file", "leave out the rest")
    if (args.yes or args.keep_genre) and not args.write_tags:
        raise UsageError("--yes and --keep-genre go with --write-tags")
    if args.write_tags and not args.yes and not sys.stdin.isatty():
        raise UsageError("--write-tags asks first, and nobody is here to answer", "add --yes")
    if args.plot is not None:
        plot.available()
        results.ready(args.plot, "jsonl")
    if args.out is None:
        if args.format == "parquet":
            raise UsageError("parquet is no text", "say where it goes with --out FILE.parquet")
        return None if args.format in (None, "table") else args.format
    if args.format == "table":
        raise UsageError("a table is for people, not for a file", "leave out --format")
    kind: Format = args.format or results.format_of(args.out)
    results.ready(args.out, kind)
    return kind


def _engine(args: argparse.Namespace, recipe: Recipe) -> Engine:
    if args.engine == "ray":
        from genred.archive.cluster import Cluster, available

        available()
        return Cluster(recipe, args.workers)
    from genred.archive.processes import Processes

    return Processes(recipe, args.workers or len(os.sched_getaffinity(0)))


def _hear(collection: Collection, engine: Engine, *, live: Format | None) -> None:
    """Hear what is left; with ``live`` rows go to standard output as soon as it is their turn."""
    import csv
    import json

    from genred.archive.progress import Watcher
    from genred.archive.results import COLUMNS, csv_rows

    writer = csv.writer(sys.stdout)
    if live == "csv":
        writer.writerow(COLUMNS)

    def print_ready() -> None:
        if live == "csv":
            writer.writerows(csv_rows(collection.ready()))
        elif live == "jsonl":
            for row in collection.ready():
                print(json.dumps(row))
        sys.stdout.flush()

    print_ready()
    done = len(collection.jobs) - len(collection.todo)
    if done and collection.todo:
        _say(f"goes on: {done:,} of {len(collection.jobs):,} files are done already")
    try:
        bar = live is None or not sys.stdout.isatty()
        with Interrupts() as interrupts, Watcher(collection, sys.stderr, bar=bar) as watcher:
            for outcome in collection.hear(engine):
                interrupts.check()
                watcher.saw(outcome)
                print_ready()
    except KeyboardInterrupt:
        done = len(collection.heard())
        _say(f"stopped after {done:,} of {len(collection.jobs):,} files; the same again goes on")
        raise
    print_ready()


class Interrupts:
    """Ctrl-C, and remembered: an exception that is raised in a finaliser is lost there."""

    def __init__(self) -> None:
        self._noted = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        self._noted = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if there was one."""
        if self._noted:
            raise KeyboardInterrupt


def _tell(args: argparse.Namespace, collection: Collection, kind: Format | None) -> None:
    """Results, picture, and what had to be left out."""
    from genred.archive import plot, results

    if args.out is not None and kind is not None:
        results.write(args.out, kind, collection.rows())
    elif kind is None:
        show_table(
            (
                row["path"],
                row["duration"],
                row["label"],
                row["confidence"],
                [(each["start"], each["label"]) for each in row["segments"]],
            )
            for row in collection.rows()
        )
    if args.out is not None or args.plot is not None:
        distribution = plot.Distribution()
        for row in collection.rows():
            distribution.add(row)
        if args.plot is not None:
            title = ", ".join(str(each) for each in args.files[:3])
            plot.draw(distribution, title, args.plot)
        if args.out is not None:
            _say(f"{distribution.summary()} in {args.out}")
    if collection.faults and len(collection.jobs) > 1:
        _say(f"{len(collection.faults):,} of {len(collection.jobs):,} could not be heard:")
    for fault in sorted(collection.faults, key=lambda each: each.shown):
        _say(fault.message)


def _write_tags(collection: Collection, *, keep: bool, ask: bool) -> int:
    """Write genres into the files; the exit code."""
    from genred.archive import tags

    plan = tags.plan(((job, collection.row(job)["label"]) for job in collection.heard()), keep=keep)
    if plan.same or plan.unfit:
        _say(f"{plan.same:,} files keep the genre they have, {plan.unfit:,} take none")
    if not plan.changes:
        _say("there is no genre to write")
        return 0
    if ask:
        sys.stderr.write(f"{PROG}: {plan.question()}? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            _say("nothing was written")
            return 0
    worst = written = 0
    for change in plan.changes:
        try:
            status = tags.write(change)
        except GenredError as error:
            worst = max(worst, complain(error, PROG))
            continue
        written += 1
        try:
            collection.changed(change.job, status.st_size, status.st_mtime_ns)
        except OutputError as error:
            worst = max(worst, complain(error, PROG))
    _say(f"wrote the genre into {written:,} files")
    return worst


def _say(line: str) -> None:
    # Names of files may hold anything.
    sys.stderr.write(f"{PROG}: {printable(line)}\n")
