"""``genred discovery`` and what it removes from a broker."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from genred.commands import main
from genred.errors import AccessError, TemporaryError, UnavailableError
from genred.publishers import purge as module
from genred.publishers.base import FeedInfo
from genred.publishers.discovery import component_form, describe
from genred.publishers.purge import purge
from genred.publishers.topics import Topics
from genred.settings.mqtt import MqttSettings
from rigs.messages import FEED, health, info, state
from rigs.ports import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genred.publishers.mqtt import MqttPublisher
    from rigs.mosquitto import Mosquitto

OTHERS = {
    "genred/studio2/status": "online",
    "genred/studi": "x",
    "homeassistant/device/genred__studio2/config": json.dumps(
        {"origin": {"name": "genred"}, "device": {"identifiers": ["genred/studio2"]}}
    ),
    "homeassistant/sensor/plug/power/config": json.dumps(
        {"origin": {"name": "plug"}, "device": {"identifiers": ["genred/studio"]}}
    ),
    "homeassistant/sensor/broken/config": "{" * 100_000,
    "homeassistant/sensor/odd/config": '[{"origin": "genred"}]',
}
"""What stands on the same broker and is none of this node's."""


def test_purge_leaves_nothing_of_the_node_and_all_of_others(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """Topics, both forms of discovery, and feeds that are configured no more."""
    for topic, payload in OTHERS.items():
        mosquitto.publish(topic, payload, "-r")
    old = describe(Topics("genred", "studio"), info(), [FEED, FeedInfo("gone", "x")], 30)
    for topic, payload in component_form("homeassistant", old).items():
        mosquitto.publish(topic, payload.decode(), "-r")
    mosquitto.publish("genred/studio/gone/state", "{}", "-r")
    publisher = publish(mosquitto.url, health(1), state(1))
    wait_until(lambda: "fm/health'" in mosquitto.log)
    publisher.stop()
    there = mosquitto.retained("#")
    assert len(there) > len(OTHERS) + 10
    done = purge(MqttSettings(url=mosquitto.url), "studio", {})
    assert mosquitto.retained("#") == OTHERS
    assert set(done.topics) == set(there) - set(OTHERS)
    assert not done.running
    assert purge(MqttSettings(url=mosquitto.url), "studio", {}).topics == []


def test_purge_of_a_node_that_runs_says_so(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher], capsys: pytest.CaptureFixture[str]
):
    """It is done all the same, with a word of warning; the running node is not thrown out."""
    publisher = publish(mosquitto.url, health(1), state(1))
    wait_until(lambda: "fm/health'" in mosquitto.log)
    assert main(["discovery", "--purge", "--mqtt", mosquitto.url, "--node", "studio"]) == 0
    shown = capsys.readouterr()
    assert "removed genred/studio/fm/state\n" in shown.out
    assert "removed homeassistant/device/genred__studio__fm/config\n" in shown.out
    assert "stop it first" in shown.err
    assert publisher.status() == f"{mosquitto.url} connected"
    assert main(["discovery", "--purge", "--mqtt", mosquitto.url, "--node", "studio"]) == 0
    assert capsys.readouterr().out == "nothing was there to remove\n"


def test_topics_that_come_back(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher], monkeypatch: pytest.MonkeyPatch
):
    """Whoever writes them again while they are removed is to be stopped first; exit code 75."""
    publisher = publish(mosquitto.url)
    empty = module.Visit.empty
    seqs = iter(range(100))

    def undone(self: module.Visit, topics: dict) -> None:
        empty(self, topics)
        publisher.offer(state(number := next(seqs)))
        wait_until(
            lambda: (
                f'"seq":{number},'
                in mosquitto.retained("genred/#").get("genred/studio/fm/state", "")
            )
        )

    monkeypatch.setattr(module.Visit, "empty", undone)
    with pytest.raises(TemporaryError, match="come back"):
        purge(MqttSettings(url=mosquitto.url), "studio", {})


def test_wrong_password_and_absent_broker(
    make_mosquitto: Callable[..., Mosquitto], capsys: pytest.CaptureFixture[str]
):
    """Exit codes 77 and 69, each with one line that shows no password."""
    broker = make_mosquitto(users={"ann": "right"}).start()
    url = broker.url.replace("mqtt://", "mqtt://ann:wrong@")
    assert main(["discovery", "--purge", "--mqtt", url]) == 77
    assert capsys.readouterr().err == (
        f"genred: {broker.url} refuses: not authorized "
        "(check mqtt.username and the password, see mqtt.password_file)\n"
    )
    gone = f"mqtt://127.0.0.1:{free_port()}"
    assert main(["discovery", "--purge", "--mqtt", gone]) == 69
    assert capsys.readouterr().err == (
        f"genred: {gone}: connection refused (is the broker running?)\n"
    )
    assert main(["discovery", "--purge"]) == 78
    assert "no broker is configured" in capsys.readouterr().err


def test_a_user_who_may_not_read(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path):
    """Without the right to see the topics nothing can be said to be removed."""
    rights = tmp_path / "acl"
    rights.write_text("topic write genred/#\n")
    rights.chmod(0o600)
    broker = make_mosquitto(f"acl_file {rights}").start()
    broker.publish("genred/studio/status", "online", "-r")
    with pytest.raises(AccessError, match="not allowed to read genred/studio/#"):
        purge(MqttSettings(url=broker.url), "studio", {})


def test_a_broker_that_says_nothing(monkeypatch: pytest.MonkeyPatch):
    """The wait for an answer is bounded."""
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = MqttSettings(url=f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UnavailableError, match="no answer within"):
            purge(settings, "studio", {})


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "genred.toml"
    path.write_text(
        '[node]\nname = "attic"\n[[feeds]]\nid = "fm"\nsource = "http://ann:hush@radio/x"\n'
    )
    return path


@pytest.mark.parametrize(("form", "count"), [("device", 2), ("component", 11)])
def test_what_is_announced_is_shown(
    capsys: pytest.CaptureFixture[str], configuration: Path, form: str, count: int
):
    """One JSON object, payload by topic, for the configured feeds; no broker is needed."""
    assert main(["discovery", "--config", str(configuration), "--form", form]) == 0
    shown = capsys.readouterr()
    announced = json.loads(shown.out)
    assert len(announced) == count
    assert all(topic.startswith("homeassistant/") for topic in announced)
    assert "hush" not in shown.out + shown.err


def test_discovery_that_is_off_is_said_to_be(
    capsys: pytest.CaptureFixture[str], configuration: Path
):
    """Nothing is announced, and that is no error."""
    configuration.write_text(configuration.read_text() + '[mqtt]\ndiscovery = "off"\n')
    assert main(["discovery", "--config", str(configuration)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "discovery is off" in shown.err
