"""The reference holds all there is, as the code says it."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from genred.publishers.mqtt import MqttPublisher
from genred.settings.mqtt import MqttSettings
from rigs.messages import FEED, event, health, info, scores, state
from rigs.ports import wait_until

if TYPE_CHECKING:
    from rigs.mosquitto import Mosquitto

pytest.importorskip("fastapi", reason="paths and metrics are read off the web's own code")

from update_reference import (
    BLOCK,
    OTHER_VARIABLES,
    REFERENCE,
    ROOT,
    TABLES,
    VARIABLES,
    filled,
    metrics,
)

TEXT = REFERENCE.read_text("utf-8")


@cache
def blocks(text):
    return {match[1]: match[3] for match in BLOCK.finditer(text)}


def test_every_table_is_in_it():
    assert blocks(TEXT).keys() == TABLES.keys()


@pytest.fixture(scope="module")
def made():
    return blocks(filled(TEXT))


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_as_the_code_has_it(name, made):
    """Where this fails: `make reference`."""
    assert blocks(TEXT)[name] == made[name], "run: make reference"


def variables():
    """Names of variables that the code reads, as far as constants tell."""
    for folder in ("daemon", "train"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                value = node.value if isinstance(node, ast.Constant) else None
                # With two underscores it is a key's.
                if isinstance(value, str) and re.fullmatch(r"GENRED(_[A-Z]+)+", value):
                    yield value


def test_variables_are_those_that_are_read():
    assert set(variables()) == set(VARIABLES)
    source = "".join(path.read_text("utf-8") for path in (ROOT / "daemon").rglob("*.py"))
    for name in OTHER_VARIABLES:
        assert re.search(rf"\b{name}\b", source), name


def test_metrics_are_those_of_the_page_on_monitoring():
    page = (ROOT / "docs" / "monitoring" / "README.md").read_text("utf-8")
    assert set(re.findall(r"`(genred_\w+)` \|", page)) == set(
        re.findall(r"`(genred_\w+)` \|", metrics())
    )


def test_topics_are_retained_and_sent_as_the_table_says(mosquitto: Mosquitto):
    """Every topic of the table, heard on a real broker, and no other."""
    listener = mosquitto.listen("genred/#")
    publisher = MqttPublisher(
        MqttSettings(url=mosquitto.url, scores=True, discovery="off"), "studio", environ={}
    )
    publisher.start(info(), [FEED])
    try:
        wait_until(lambda: "connected" in publisher.status())
        for message in (state(), health(), event(), scores()):
            publisher.offer(message)
        listener.wait_for("genred/studio/fm/scores")
        listener.wait_for("genred/studio/fm/health")
        listener.wait_for("genred/studio/fm/status", "online")
    finally:
        publisher.stop()
    retained = mosquitto.retained("genred/#")
    seen = {
        each.topic: ("yes" if each.topic in retained else "no", "01"[min(1, each.qos)])
        for each in listener.heard
    }
    rows = re.findall(
        r"^\| `(<base>\S+)` \| (\w+) \| (\d) \|", blocks(TEXT)["topics"], re.MULTILINE
    )
    names = {"<base>": "genred", "<node>": "studio", "<feed>": "fm"}
    told = {
        re.sub("<[a-z]+>", lambda match: names[match[0]], topic): (kept, qos)
        for topic, kept, qos in rows
    }
    assert told == seen
