"""``genred history``: what played when, how air time was shared, changes an hour, dead air."""

from __future__ import annotations

import csv
import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genred.commands.common import add_config_options, load
from genred.errors import InputError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from genred.history.reader import Reader
    from genred.history.report import FeedReport

DAY_S: Final = 86400.0

PARTS: Final = ("played", "shares", "changes", "dead-air", "events")
"""What can be asked for by name: as :data:`genred.history.rows.PARTS`, which reads much."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "history",
        help="tell what played when",
        description="Tell from the daemon's history what played when, each label's share of the "
        "air time, changes an hour and dead air. Times are local; in CSV and JSON they are UTC. "
        "The daemon may run meanwhile. It keeps a history when it runs as a service, or where "
        "[history] says so.",
    )
    parser.add_argument("--file", type=Path, metavar="FILE", help="a history; else the daemon's")
    parser.add_argument(
        "--feed", action="append", metavar="ID", help="this feed alone; may be given several times"
    )
    parser.add_argument(
        "--since", metavar="WHEN", help="2026-01-31, 2026-01-31T18:00, today, 90m, 24h, 7d …"
    )
    parser.add_argument("--until", default="now", metavar="WHEN", help="the same; now if not given")
    parser.add_argument(
        "--format", choices=["table", "csv", "json"], default="table", help="how to write it"
    )
    parser.add_argument(
        "--what",
        choices=PARTS,
        help="one part of it; all if not given (CSV: what played, the others by name)",
    )
    parser.add_argument(
        "--plot",
        choices=["day", "week", "share"],
        help="draw it: a day as a strip, a week hour by hour, the shares as bars",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="with --plot: a PNG picture")
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command.

    Raises :class:`UsageError` for options that do not go together, and what
    :class:`genred.history.reader.Reader` raises.
    """
    from genred.clock import SystemClock
    from genred.history.reader import Reader
    from genred.history.report import report

    if args.out is not None and args.plot is None:
        raise UsageError("--out needs --plot", "--plot day, week or share")
    if args.plot is not None and (args.format != "table" or args.what):
        raise UsageError("--plot draws: it goes with neither --format nor --what")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without all characters
    since, until = _span(args, SystemClock().now())
    reader = Reader(_file(args))
    feeds = _feeds(reader, args.feed)
    reports = [report(reader, feed, since, until) for feed in feeds]
    if args.plot is not None:
        _plot(args, reports)
    elif args.format == "json":
        print(json.dumps([_as_json(each, args.what) for each in reports], ensure_ascii=False))
    elif args.format == "csv":
        _csv(reports, args.what or "played")
    else:
        _tables(reports, args.what)
    return 0


def _span(args: argparse.Namespace, now: float) -> tuple[float, float]:
    from genred.history.drawn import days_until
    from genred.history.report import day_of, moment

    until = moment(args.until, now)
    if args.plot == "week":
        if args.since is not None:
            raise UsageError("--plot week shows the seven days up to --until", "leave --since away")
        days = days_until(until)
        return days[0][0], days[-1][1]
    if args.since is None and args.plot == "day":
        return day_of(until - 1)
    since = until - DAY_S if args.since is None else moment(args.since, now)
    if args.plot == "day" and args.until == "now" and since == day_of(since)[0]:
        until = day_of(since)[1]  # a day that was named is meant as a whole
    if until <= since:
        raise UsageError("--until is not after --since")
    return since, until


def _file(args: argparse.Namespace) -> Path:
    """The history to read. Raises :class:`InputError` where there is none."""
    from genred.history.place import looked_for

    if args.file is not None:
        path: Path = args.file
        return path
    places = looked_for(load(args).settings.history, os.environ)
    for place in places:
        try:
            if place.exists():
                return place
        except OSError:
            return place  # reading it will say what stands in the way
    raise InputError(
        f"no history in {', '.join(map(str, places))}",
        "name one with --file; the daemon keeps one as a service, or with [history] enabled",
    )


def _feeds(reader: Reader, wanted: Sequence[str] | None) -> Sequence[str]:
    known = reader.feeds()
    for feed in wanted or ():
        if feed not in known:
            there = ", ".join(known) or "none at all"
            raise UsageError(f"nothing is kept of feed {feed!r}", f"there is {there}")
    if not known:
        raise InputError(f"{reader.path}: nothing was heard yet")
    return wanted or known


def _plot(args: argparse.Namespace, reports: list[FeedReport]) -> None:
    if args.out is not None:
        from genred.history import plots

        {"day": plots.day, "week": plots.week, "share": plots.share}[args.plot](reports, args.out)
        return
    from rich.console import Console

    from genred.history import drawn

    console = Console(highlight=False)
    for index, each in enumerate(reports):
        if index:
            console.print()
        if args.plot == "day":
            console.print(drawn.day(each, console.width))
        else:
            console.print(drawn.week(each) if args.plot == "week" else drawn.share(each))


def _csv(reports: Sequence[FeedReport], what: str) -> None:
    from genred.history.rows import PARTS

    part = PARTS[what]
    writer = csv.DictWriter(sys.stdout, part.columns, lineterminator="\n")
    writer.writeheader()
    for report in reports:
        writer.writerows(part.rows(report))


def _as_json(report: FeedReport, what: str | None) -> dict[str, Any]:
    from genred.clock import iso
    from genred.history.rows import PARTS

    out: dict[str, Any] = {
        "feed": report.feed,
        "since": iso(report.since),
        "until": iso(report.until),
        "heard_seconds": round(report.heard_seconds, 3),
        "dead_air_seconds": round(report.dead_air_seconds, 3),
        "changes_an_hour": round(report.changes_an_hour, 3),
    }
    for name in [what] if what else PARTS:
        rows = list(PARTS[name].rows(report))
        for row in rows:
            del row["feed"]
        out[name.replace("-", "_")] = rows
    return out


def _tables(reports: Sequence[FeedReport], what: str | None) -> None:
    from rich.console import Console

    from genred.history.tables import tables

    console = Console(highlight=False)
    for index, report in enumerate(reports):
        if index:
            console.print()
        console.print(tables(report, what))
