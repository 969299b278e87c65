"""`make model` asks each command for what that command knows."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lines():
    """What `make model` would run of this project's own, in words without the interpreter."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # Any file will do for a teacher: nothing is run.
    wanted = ["model", "GENRED_DATA=recordings", f"GENRED_TEACHER={ROOT / 'Makefile'}"]
    shown = subprocess.run(
        ["make", "-n", "-C", str(ROOT), *wanted], capture_output=True, text=True, check=True
    )
    commands = (shlex.split(line) for line in shown.stdout.replace("\\\n", " ").splitlines())
    own = []
    for words in commands:
        if "-m" in words and words[words.index("-m") + 1].startswith("genred_train"):
            own.append(words[words.index("-m") + 1 :])
        elif words and Path(words[0]).name == "genred":
            own.append([f"genred_train.{words[1]}", *words[2:]])
    return own


def parsed(words):
    name = "genred_train.__main__" if words[0] == "genred_train" else words[0]
    return import_module(name).parser().parse_args(words[1:])


def test_every_step_is_asked_for_what_it_knows(lines):
    names = [words[0].removeprefix("genred_train.") for words in lines]
    assert names == [
        *("gather", "yardstick", "genred_train", "yardstick", "ablation", "tune", "evaluate")
    ]
    for words in lines:
        parsed(words)


def test_what_one_step_writes_is_what_the_next_one_reads(lines):
    gather, folds, training, into_card, ablation, tune, judged = map(parsed, lines)
    for each in (folds, training, into_card, ablation):
        assert each.unlabelled == gather.out
        assert each.recipe == folds.recipe
        assert each.teacher == folds.teacher
    assert folds.out == training.folds == into_card.out == tune.folds
    assert training.out == into_card.card == ablation.card
    assert tune.model == judged.model == training.out
    recordings = {each.data for each in (folds, training, into_card, ablation, tune, judged)}
    assert recordings == {Path("recordings")}
