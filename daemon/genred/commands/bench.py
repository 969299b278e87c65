"""``genred bench``: what listening costs on this machine, and what it costs others."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genred.commands.common import add_config_options, complain, load
from genred.errors import GenredError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genred.bench.report import Row
    from genred.bench.survey import Plan

TRAINING_S: Final = 6.0
"""How long each of the two ways to prepare clips is measured."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure what listening costs: CPU, delay, memory, start, files; and peers",
        description="Measure what listening costs with this model on this machine: CPU for each "
        "second of audio at several rates of decisions, feeds per core before decisions come "
        "late, cold start, memory, files; on one core and on all. Each measurement runs in a "
        "process of its own. Costs are CPU time, so that other work on the machine disturbs them "
        "little; for figures to be kept it should be quiet all the same. About three minutes.",
    )
    parser.add_argument("--json", action="store_true", help="the record as JSON, not as tables")
    parser.add_argument(
        "--quick", action="store_true", help="everything once and short: figures worth nothing"
    )
    parser.add_argument(
        "--against",
        action="store_true",
        help="also what people would use in its place, in alternation (needs genred[train,dev])",
    )
    parser.add_argument(
        "--teacher", type=Path, metavar="PATH", help="with --against: yamnet_frame.tflite"
    )
    parser.add_argument(
        "--training", action="store_true", help="also how fast clips are prepared for training"
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="also count instructions (perf, or valgrind, which takes minutes)",
    )
    parser.add_argument(
        "--batches",
        type=_sizes,
        nargs="?",
        const=(),
        metavar="N,N",
        help="nothing but the model alone, on so many feeds in one step (1 to 100,000), by "
        "--provider and by one core of the CPU",
    )
    parser.add_argument(
        "--provider", choices=["cpu", "cuda"], default="cpu", help="with --batches (cpu)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="add the record to a file, a line of JSON"
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(each) for each in text.split(","))
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError("at least one feed")
    return sizes


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from genred.bench import history

    if args.teacher and not args.against:
        raise UsageError("--teacher goes with --against")
    if args.provider != "cpu" and args.batches is None:
        raise UsageError("--provider goes with --batches")
    path = load(args).settings.model.path
    if args.batches is not None:
        return _batches(path, args)
    record, code = _measure(path, args)
    if args.record is not None:
        history.append(args.record, record)
    if args.json:
        print(json.dumps(record, indent=2))
    else:
        _show(record)
    return code


def _measure(path: Path | None, args: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The survey, and what was asked for beside it; with the worst exit code.

    What goes wrong in a part that may be left out is told and does not cost the others.
    """
    from genred.bench import survey as surveys
    from genred.model.session import FILE_NAME, shipped_model

    plan = surveys.QUICK if args.quick else surveys.Plan()
    folder = path or shipped_model()
    file = folder / FILE_NAME if folder.is_dir() else folder
    record = surveys.survey(file, plan, _say, quick=args.quick)
    code = 0
    parts: list[tuple[str, bool, Callable[[], dict[str, Any]]]] = [
        ("against", args.against, lambda: _against(file, plan, args.teacher)),
        ("training", args.training, lambda: _training(quick=args.quick)),
        ("instructions", args.instructions, lambda: _instructions(file)),
    ]
    for name, wanted, work in parts:
        if not wanted:
            continue
        _say(name)
        try:
            record[name] = work()
        except GenredError as error:
            code = max(code, complain(error, "genred bench"))
    return record, code


def _against(file: Path, plan: Plan, teacher: Path | None) -> dict[str, Any]:
    from genred.bench.duel import fight
    from genred.bench.machine import cores
    from genred.model.session import load_model

    duel = fight(
        file,
        load_model(file).metadata,
        teacher,
        feeds=plan.feeds,
        rounds=plan.rounds,
        seconds=plan.seconds,
        core=cores()[0],
    )
    return asdict(duel)


def _training(*, quick: bool) -> dict[str, Any]:
    from genred.bench.survey import training

    return training(1.0 if quick else TRAINING_S)


def _instructions(file: Path) -> dict[str, Any]:
    from genred.bench.instructions import count

    return asdict(count(str(file.resolve())))


def _batches(path: Path | None, args: argparse.Namespace) -> int:
    from genred.bench import batches, report
    from genred.bench.machine import cores
    from genred.bench.worker import ask_once
    from genred.model.session import load_model, shipped_model

    model = str((path or shipped_model()).resolve())
    # Here, so that a provider that is not there ends the command in its own words.
    load_model(Path(model), provider=args.provider)
    sizes = list(args.batches or batches.SIZES)
    found = ask_once(None, "batches", model=model, provider=args.provider, sizes=sizes)["batches"]
    alone = found
    if args.provider != "cpu":
        alone = ask_once(cores()[0], "batches", model=model, provider="cpu", sizes=sizes)["batches"]
    wins = batches.wins_at(
        [batches.Batch(**each) for each in found], [batches.Batch(**each) for each in alone]
    )
    if args.json:
        print(json.dumps({"batches": found, "cpu": alone, "wins_at": wins}, indent=2))
        return 0
    _table("", report.batches(found))
    if args.provider != "cpu":
        _table("one core of the CPU", report.batches(alone))
        print(f"{args.provider} is faster from {wins:,} feeds on" if wins else "it never wins")
    return 0


def _say(what: str) -> None:
    sys.stderr.write(f"genred bench: {what}\n")
    sys.stderr.flush()


def _show(record: dict[str, Any]) -> None:
    from genred.bench import report

    _table("", report.rows(record))
    if "against" in record:
        _table(
            "CPU for each second of audio, in alternation on one core; median and quartiles",
            report.against(record["against"]),
        )
    print(f"\nmeasured on {report.measured_on(record)}")


def _table(title: str, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    from genred.bench.report import verdict

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    table.add_column("figure", overflow="fold")
    table.add_column("measured", overflow="fold")
    table.add_column("goal")
    table.add_column("")
    for row in rows:
        table.add_row(row.what.replace("`", ""), row.measured, row.goal, verdict(row))
    Console().print(table)
