"""The README holds what the commands print, and speaks of all there is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from genred import errors
from genred.commands import build_parser
from genred.commands.measure import Figures, describe
from genred.messages import MESSAGES
from update_readme import README, ROOT, block

TEXT = README.read_text()


def shape(text: str) -> str:
    """A text without what differs from run to run: numbers, and the blanks they move."""
    return re.sub(r"[\s\d.:─-]+", " ", text).strip()


def test_the_picture_as_text_is_what_the_command_draws(genred):
    result = genred("picture", "--text")
    assert shape(block(TEXT, "picture")) == shape(result.stdout)


def test_the_picture_is_there():
    assert "docs/dashboard.svg" in TEXT
    assert (ROOT / "docs/dashboard.svg").read_text().startswith("<svg")


def test_the_subscriber_saw_messages_as_they_are():
    topics = {message.topic: message for message in MESSAGES}
    seen = set()
    for line in block(TEXT, "subscriber").splitlines():
        topic, _, payload = line.partition(" ")
        name = topic.rsplit("/", 1)[-1]
        seen.add(name)
        if name == "status":
            assert payload in ("online", "offline")
            continue
        keys = set(re.findall(r'[{,]"(\w+)":', payload))
        known = topics[name]
        if payload.endswith("}"):
            known.from_dict(json.loads(payload))
        else:  # cut, as it says
            assert payload.endswith("...")
            assert {"schema_version", "feed", "ts", "seq"} <= keys
    assert seen == {"status", "info", "state", "event", "health"}


def test_every_topic_and_exit_code_is_in_its_table():
    for message in MESSAGES:
        assert f"/{message.topic}` |" in TEXT
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.GenredError)
    }
    for code in codes:
        assert f"| {code} |" in TEXT


def test_the_figures_are_those_the_command_prints():
    figures = Figures("", "", *([1.0] * (len(Figures.__slots__) - 2)))
    rows = [line.split("|")[1].strip() for line in block(TEXT, "figures").splitlines()[2:]]
    assert rows == list(describe(figures))


def commands():
    """Every line of a shell block that calls genred."""
    for fence in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL):
        for line in fence.splitlines():
            part = line.split(" #")[0].strip().rpartition("| ")[2]
            if part.startswith("genred "):
                yield part
    yield from ("genred " + each for each in re.findall(r"`genred ([a-z][^`]*)`", TEXT))


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_in_it_is_one(line):
    words = [re.sub(r"^(FILE|DIR)$", "x", word) for word in shlex.split(line)[1:]]
    build_parser().parse_args(words)


def test_make_targets_in_it_exist():
    makefile = Path(ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
