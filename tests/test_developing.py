"""The worked examples of docs/developing.md: put into a copy of the house and run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "developing.md").read_text("utf-8")
FILE = re.compile(r"```python\n# (\S+)\n(.*?)```", re.DOTALL)
DIFF = re.compile(r"```diff\n(.*?)```", re.DOTALL)
NOT_COPIED = shutil.ignore_patterns("__pycache__")


def files():
    return dict(FILE.findall(PAGE))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The project with all examples built on."""
    house = tmp_path_factory.mktemp("house")
    for name in ("daemon", "train", "tests"):
        shutil.copytree(ROOT / name, house / name, ignore=NOT_COPIED)
    for name in ("models", "configs"):
        (house / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "pyproject.toml", house)
    for path, content in files().items():
        assert not (house / path).exists(), f"{path} is there already: no example any more"
        (house / path).write_text(content)
    for change in DIFF.findall(PAGE):
        command = ["git", "apply", "--recount", "--unidiff-zero", "-"]
        done = subprocess.run(
            command, input=change, cwd=house, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{change}"
    return house


def run(house, *command):
    environ = os.environ | {"PYTHONPATH": f"{house}/daemon:{house}/train", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=house,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-5000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_there_are_three_examples_each_with_a_test():
    tests = {path for path in files() if path.startswith("tests/")}
    assert len(tests) == 3
    assert len(files()) == 7
    assert len(DIFF.findall(PAGE)) == 3


@pytest.mark.slow
@pytest.mark.timeout(400)  # nine seconds of one core, all in one call; that may be a busy one
def test_the_examples_work(house):
    """Their own tests, in the copy: a sender, the command, an export."""
    tests = [path for path in files() if path.startswith("tests/")]
    told = run(house, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests)
    assert "5 passed" in told
    assert run(house, "genred", "check-config", "--print-example").count("[notes]") == 1


def test_the_examples_keep_the_rules_of_the_house(house):
    """They are formatted and linted as the house is."""
    changed = [*files(), "daemon/genred/sources/opening.py", "daemon/genred/settings/root.py"]
    run(house, "ruff", "check", "--no-cache", *changed)
    run(house, "ruff", "format", "--check", "--no-cache", *changed)
