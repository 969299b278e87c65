"""``genred doctor``: what would keep the daemon from hearing and telling, and what to mend."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from genred.commands.common import add_config_options, load

if TYPE_CHECKING:
    import argparse

    from genred.doctor.findings import Finding

COLOURS: Final = {"ok": "green", "doubt": "yellow", "fault": "bold red"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="look for what is wrong, and say what to mend",
        description="Look at everything that the daemon needs: configuration, clock, limits, "
        "sound, model, provider, broker; and listen to every feed for a moment. Each finding is "
        "one line, with what to do about it.",
        epilog="Exit codes: 0 when there is no fault, else the highest of the faults' codes "
        "(see genred --help). Doubts are not faults.",
    )
    add_config_options(parser)
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.add_argument(
        "--no-listen", action="store_true", help="do not open the feeds: the daemon may have them"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from genred.clock import SystemClock
    from genred.doctor.examination import examine

    # What sources say while they are tried is told as findings.
    logging.getLogger("genred").addHandler(logging.NullHandler())
    findings = []
    for finding in examine(
        lambda: load(args), os.environ, SystemClock(), listen=not args.no_listen
    ):
        findings.append(finding)
        if not args.json:
            _show(finding)
    if args.json:
        print(json.dumps([each.to_dict() for each in findings], indent=2, ensure_ascii=False))
    return max((each.exit_code for each in findings), default=0)


def _show(finding: Finding) -> None:
    from rich.console import Console
    from rich.text import Text

    from genred.text import clean

    line = Text()
    line.append(f"{finding.verdict.value:<6}", COLOURS[finding.verdict.value])
    line.append(f"{finding.about}: ", "bold")
    line.append(clean(finding.found))
    if finding.mend:
        line.append(f"\n      -> {clean(finding.mend)}", "cyan")
    Console(file=sys.stdout, highlight=False, soft_wrap=True).print(line)
