"""The page on archives: its commands are commands, its table tells of what is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from genred.archive import cluster, jobs, processes
from genred.archive.journal import SYNC_S
from genred.archive.results import COLUMNS
from genred.commands import build_parser
from genred.tagging import FileResult

PAGE = (Path(__file__).parents[2] / "docs" / "archives.md").read_text("utf-8")


def test_commands_are_commands():
    (fence,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.split(" #")[0] for line in fence.splitlines()]
    assert len(lines) >= 4
    for line in lines:
        build_parser().parse_args(shlex.split(line)[1:])


def test_the_table_has_all_columns():
    columns = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    row = FileResult("a", 1.0, "rock", 1.0, {}, ()).to_dict()
    assert columns == list(row)
    assert set(COLUMNS) == set(columns) - {"scores"}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("no sign for 5 minutes", processes.SILENT_S == 300),
        ("takes 6 hours", cluster.CALL_S == 6 * 3600),
        ("the last 5 s", SYNC_S == 5),
        ("tried once more", processes.ATTEMPTS == 2),
        ("the exit code is then 66", jobs.InputError.exit_code == 66),
    ],
)
def test_limits_are_those_of_the_code(words, value):
    assert words in " ".join(PAGE.lower().split())
    assert value


def test_workers_were_measured():
    measured = PAGE.split("<!-- workers: measured -->")[1].split("<!-- end -->")[0]
    rows = [line.split(" | ") for line in measured.splitlines() if line.startswith("| ")][1:]
    assert [re.sub(r"\d+ ", "", row[0].strip("| ")) for row in rows] == [
        "one worker",
        "workers, as many as cores",
        "threads of one process",
    ]
    assert all(float(row[1]) > 0 for row in rows)
