"""``genred bench``: what listening costs on this machine, and what it costs others."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genred.commands.common import add_config_options, load
from genred.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.bench.report import Row

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
    record = _survey(path, args)
    if args.record is not None:
        history.append(args.record, record)
    if args.json:
        print(json.dumps(record, indent=2))
        return 0
    _show(record)
    return 0


def _survey(path: Path | None, args: argparse.Namespace) -> dict[str, Any]:
    from genred.bench import survey as surveys
    from genred.bench.machine import cores
    from genred.model.session import FILE_NAME, load_model, shipped_model

    plan = surveys.QUICK if args.quick else surveys.Plan()
    record = surveys.survey(path, plan, _say, quick=args.quick)
    folder = path or shipped_model()
    file = folder / FILE_NAME if folder.is_dir() else folder
    if args.against:
        from genred.bench.duel import fight

        _say("peers")
        record["against"] = asdict(
            fight(
                file,
                load_model(file).metadata,
                args.teacher,
                feeds=plan.feeds,
                rounds=plan.rounds,
                seconds=plan.seconds,
                core=cores()[0],
            )
        )
    if args.training:
        _say("training")
        record["training"] = surveys.training(1.0 if args.quick else TRAINING_S)
    if args.instructions:
        from genred.bench.instructions import count

        _say("instructions")
        record["instructions"] = asdict(count(str(file.resolve())))
    return record


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
