"""Fills the tables of ``docs/performance.md`` from the newest record: ``make bench``.

The tables are what follows a comment ``<!-- NAME: … -->``; nothing in them is written by hand.
"""

from __future__ import annotations

from pathlib import Path

from genred.bench import history, limits, report
from update_readme import fill

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
RECORDS = ROOT / "docs" / "benchmarks.jsonl"


def tables(records: list[dict]) -> dict[str, str]:
    """Every table of the page by its name, from the newest record and the history of all."""
    newest = records[-1]
    own = next(each for each in newest["rates"] if each["own"])
    cost = own["many"]["cpu_ms"]
    return {
        "measured on": f"| {report.measured_on(newest)} |\n|---|\n",
        "results": report.markdown(report.rows(newest)),
        "against": report.markdown(report.against(newest["against"])),
        "limits": limits.core_table(newest["model"], newest["yardsticks"], cost),
        "roofline": limits.accelerator_table(newest["model"]),
        "history": report.chronicle(records),
    }


def filled(text: str, records: list[dict]) -> str:
    """The page's ``text`` with all its tables as the records have them."""
    for name, table in tables(records).items():
        text = fill(text, name, table)
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(), history.read(RECORDS)))
