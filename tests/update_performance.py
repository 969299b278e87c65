"""Fills the tables of ``docs/performance.md`` and ``docs/scale.md``: ``make bench``.

From the newest record of the benchmark and the report of the simulated day. The tables are what
follows a comment ``<!-- NAME: … -->``; nothing in them is written by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "scale"))

import tables as scale

from genred.bench import history, limits, report
from update_readme import fill

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDS = DOCS / "benchmarks.jsonl"
DAY = DOCS / "scale.json"


def performance(records: list[dict]) -> dict[str, str]:
    """Every table of performance.md by its name, from the newest record and the history of all."""
    newest = newest_of(records)
    own = next(each for each in newest["rates"] if each["own"])
    return {
        "measured on": f"| {report.measured_on(newest)} |\n|---|\n",
        "results": report.markdown(report.rows(newest)),
        "against": report.markdown(report.against(newest["against"])),
        "limits": limits.core_table(
            newest["model"], newest["yardsticks"], own["many"]["cpu_ms"], newest.get("parts")
        ),
        "roofline": limits.accelerator_table(newest["model"]),
        "history": report.chronicle(records),
    }


def newest_of(records: list[dict]) -> dict:
    """The newest that has everything, and is more than a try."""
    return next(each for each in reversed(records) if "against" in each and not each["quick"])


def stations(day: dict, records: list[dict]) -> dict[str, str]:
    """Every table of scale.md by its name."""
    return {
        "day": scale.day(day),
        "sizes": scale.sizes(day),
        "loads": scale.loads(day),
        "announcement": scale.announcement(day),
        "boxes": scale.boxes(newest_of(records)),
    }


def filled(text: str, tables: dict[str, str]) -> str:
    """A page's ``text`` with its tables as given."""
    for name, table in tables.items():
        text = fill(text, name, table)
    return text


def pages() -> dict[Path, dict[str, str]]:
    """The pages, and the tables of each."""
    records, day = history.read(RECORDS), json.loads(DAY.read_text())
    return {
        DOCS / "performance.md": performance(records),
        DOCS / "scale.md": stations(day, records),
    }


if __name__ == "__main__":
    for page, tables in pages().items():
        page.write_text(filled(page.read_text(), tables))
