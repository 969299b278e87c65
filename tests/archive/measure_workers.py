"""How much faster several workers are, and processes than threads: fills in docs/archives.md.

    python tests/archive/measure_workers.py DIR [--files 60] [--update docs/archives.md]

Each row hears the same files of DIR; the fastest of some rounds counts, which alternate.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

from genred.archive.jobs import Hearer, Job, Recipe, listing
from genred.archive.processes import Processes
from genred.settings.judgement import JudgementSettings

BEGIN, END = "<!-- workers: measured -->\n", "<!-- end -->"
ROUNDS = 2


def processes(recipe: Recipe, jobs: list[Job], count: int) -> tuple[float, float]:
    """Seconds from the first outcome on, and seconds of audio heard in them."""
    start, audio = None, 0.0
    for outcome in Processes(recipe, count).run(jobs):
        if start is None:
            # Workers load their model before: a collection is large enough not to notice.
            start = time.perf_counter()
        elif outcome.result is not None:
            audio += outcome.result["duration"]
        end = time.perf_counter()
    return end - start, audio


def threads(recipe: Recipe, jobs: list[Job], count: int) -> tuple[float, float]:
    """The same in one process."""
    mine = local()

    def hear(job: Job) -> float:
        outcome = mine.hearer.hear(job)
        return outcome.result["duration"] if outcome.result is not None else 0.0

    def load() -> None:
        mine.hearer = Hearer(recipe)

    with ThreadPoolExecutor(count, initializer=load) as pool:
        list(pool.map(hear, jobs[:count]))
        start = time.perf_counter()
        audio = sum(pool.map(hear, jobs[count:]))
        return time.perf_counter() - start, audio


def main() -> None:
    """Measure, print and, where asked, write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--update", type=Path, metavar="FILE")
    args = parser.parse_args()
    found, _ = listing([args.folder])
    jobs = found[:: max(1, len(found) // args.files)][: args.files]
    recipe = Recipe.of(None, "cpu", 1, JudgementSettings())
    cores = len(os.sched_getaffinity(0))
    rows = {
        "one worker": (processes, 1),
        f"{cores} workers, as many as cores": (processes, cores),
        f"{cores} threads of one process": (threads, cores),
    }
    best = dict.fromkeys(rows, 0.0)
    for _ in range(ROUNDS):
        for name, (run, count) in rows.items():
            seconds, audio = run(recipe, jobs, count)
            best[name] = max(best[name], audio / seconds)
    first = next(iter(best.values()))
    lines = ["| heard by | times real time | against one worker |", "|---|---|---|"]
    lines += [f"| {name} | {speed:.0f} | {speed / first:.2f} |" for name, speed in best.items()]
    machine = f"{platform.machine()}, {cores} cores, {time.strftime('%Y-%m-%d')}"
    lines += ["", f"{len(jobs)} Ogg Opus files, decoding included; {machine}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.update is not None:
        page = args.update.read_text("utf-8")
        head, _, rest = page.partition(BEGIN)
        args.update.write_text(head + BEGIN + text + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
