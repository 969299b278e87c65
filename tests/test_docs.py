"""The runbook against the code: log lines, limits, exit codes and commands stand in it, rightly."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OPERATIONS = (DOCS / "operations.md").read_text("utf-8")
LEVELS = {"info", "warning", "error", "exception"}


def log_lines():
    """The text of every log call of the daemon from info on, its arguments as an ellipsis."""
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            of = node.func.value
            if node.func.attr not in LEVELS or not isinstance(of, ast.Name):
                continue
            if of.id in {"log", "logger", "_log"} and isinstance(node.args[0], ast.Constant):
                text = re.sub(r"%[-+.0-9]*[sdrf]", "…", node.args[0].value)
                yield path, text.replace("%%", "%")


def table(heading):
    """The rows of the first table under a heading."""
    text = OPERATIONS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def test_every_log_line_is_explained():
    explained = {row[0].strip("`") for row in table("Log lines")}
    found = [(path, text) for path, text in log_lines() if text != "…"]
    assert len(found) > 15
    missing = [f"{path.name}: {text}" for path, text in found if text not in explained]
    assert missing == []


@pytest.mark.parametrize("row", table("Time limits"), ids=lambda row: row[0])
def test_time_limits_are_those_of_the_code(row):
    module, _, name = row[0].strip("`").rpartition(".")
    assert float(row[1]) == getattr(importlib.import_module(module), name)


def test_exit_codes_are_those_of_the_code():
    from genred import errors

    found = {0}
    classes = [errors.GenredError]
    for each in classes:
        classes += each.__subclasses__()
        if each.__module__ == "genred.errors":
            found.add(each.exit_code)
    rows = table("Exit codes, and what systemd makes of them")
    assert {int(row[0]) for row in rows} == found
    unit = (ROOT / "systemd" / "genred.service").read_text("utf-8")
    stays = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    assert stays
    told = {row[0] for row in rows if row[2] == "stays down"}
    assert told == {"0", *stays[1].split()}


PAGES = [ROOT / "README.md", ROOT / "train" / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """To a file that is there and, within the project's own pages, to one of its headings."""
    for target, heading in re.findall(r"\]\(([^)#:\s]*)#?([^)#:\s]*)\)", page.read_text("utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), target
        if heading:
            assert heading in anchors(there), f"{target}#{heading}"


def anchors(page):
    """Those of a page's headings, as sites that show Markdown make them."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


def test_commands_exist():
    from genred.commands import COMMANDS

    named = set(re.findall(r"\bgenred ([a-z-]+)", OPERATIONS)) - {"that"}
    known = {each.replace("_", "-") for each in COMMANDS}
    assert {each for each in named if f"`genred {each}" in OPERATIONS} <= known


def shell_lines(page):
    """Every line of a shell block that begins with genred."""
    for fence in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in fence.replace("\\\n", " ").splitlines():
            part = re.split(r" #| > |\| ", line.strip())[0]
            if re.match(r"(/opt/genred/bin/)?genred ", part):
                yield part


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_shell_blocks_are_understood(page):
    from genred.commands import build_parser

    for line in shell_lines(page):
        build_parser().parse_args(shlex.split(line)[1:])


def test_there_are_such_lines():
    assert sum(len(list(shell_lines(page))) for page in PAGES) > 20
