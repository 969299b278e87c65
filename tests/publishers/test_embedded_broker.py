"""The embedded broker, heard by mosquitto's own clients."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from genred.errors import UnavailableError
from genred.publishers import broker as module
from genred.publishers.broker import EmbeddedBroker, watch_line
from genred.publishers.mqtt import MqttPublisher
from genred.publishers.purge import purge
from genred.settings.mqtt import MqttSettings
from rigs.messages import FEED, event, health, info, state
from rigs.mosquitto import Listener
from rigs.ports import free_port, listens, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = "genred/studio"


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed")
    broker = EmbeddedBroker()
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def publisher(broker: EmbeddedBroker) -> Iterator[MqttPublisher]:
    publisher = MqttPublisher(MqttSettings(url=broker.url), "studio", environ={})
    publisher.offer(health(1))
    publisher.offer(state(1))
    publisher.start(info(), [FEED])
    listener = Listener(broker.port, f"{ROOT}/fm/health")
    listener.wait_for(f"{ROOT}/fm/health")
    listener.close()
    yield publisher
    publisher.stop()


def test_late_subscribers_see_the_state_and_live_ones_the_events(
    broker: EmbeddedBroker, publisher: MqttPublisher
):
    """Retained messages reach each of several clients, flagged so; events reach all."""
    listeners = [Listener(broker.port, f"{ROOT}/#") for _ in range(3)]
    try:
        for listener in listeners:
            assert listener.wait_for(f"{ROOT}/fm/state").retained
            assert listener.wait_for(f"{ROOT}/status", "online").retained
        publisher.offer(event(1))
        for listener in listeners:
            assert not listener.wait_for(f"{ROOT}/fm/event").retained
        publisher.stop()
        for listener in listeners:
            listener.wait_for(f"{ROOT}/fm/status", "offline")
            listener.wait_for(f"{ROOT}/status", "offline")
    finally:
        for listener in listeners:
            listener.close()


def test_nobody_is_told_what_others_asked_for(broker: EmbeddedBroker, publisher: MqttPublisher):
    """Each client hears its own topics alone, whatever else is retained and subscribed to."""
    everything = Listener(broker.port, "#")
    everything.wait_for(f"{ROOT}/fm/health")
    one = Listener(broker.port, f"{ROOT}/info")
    one.wait_for(f"{ROOT}/info")
    time.sleep(0.2)
    assert {each.topic for each in one.heard} == {f"{ROOT}/info"}
    everything.close()
    one.close()


def test_the_will_of_a_killed_client(broker: EmbeddedBroker):
    """It is published, and retained for whoever comes later."""
    will = ["--will-topic", "w", "--will-payload", "gone", "--will-retain", "--will-qos", "1"]
    here = ["-h", "127.0.0.1", "-p", str(broker.port), "-t", "x"]
    client = subprocess.Popen(["mosquitto_sub", *here, *will])
    live = Listener(broker.port, "w")
    time.sleep(0.3)
    client.kill()
    client.wait()
    assert not live.wait_for("w", "gone").retained
    late = Listener(broker.port, "w")
    assert late.wait_for("w", "gone").retained
    live.close()
    late.close()


def test_a_taken_port_is_no_obstacle(broker: EmbeddedBroker):
    """Another one is taken, and told."""
    other = EmbeddedBroker(broker.port)
    port = other.start()
    try:
        assert port not in {broker.port, 0}
        assert listens(port)
        assert other.url == f"mqtt://127.0.0.1:{port}"
    finally:
        other.stop()
    wished = free_port()
    third = EmbeddedBroker(wished)
    assert third.start() == wished
    third.stop()
    third.stop()
    assert not listens(wished)


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_only_this_machine_is_let_in(broker: EmbeddedBroker, address: str):
    """It listens on 127.0.0.1 alone; a wildcard address would answer on these too."""
    with pytest.raises(OSError, match=r"refused|not available|not supported|unreachable"):
        socket.create_connection((address, broker.port), 2).close()


def test_it_starts_fast_says_nothing_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    """Neither amqtt's logs nor a thread are left behind, whatever clients do to it."""
    caplog.set_level(logging.DEBUG)
    before = set(threading.enumerate())
    began = time.perf_counter()
    broker = EmbeddedBroker()
    port = broker.start()
    assert time.perf_counter() - began < 2  # 0.01 s by itself; this machine may be busy
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.sendall(bytes.fromhex("101000044d5154540402003c00"))
    subprocess.run(
        ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-t", "a", "-m", "b"], check=True
    )
    broker.stop()
    wait_until(lambda: set(threading.enumerate()) <= before)
    assert capfd.readouterr() == ("", "")
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG]


def test_when_it_cannot_listen_the_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    """No traceback: an error with a hint and exit code 69."""

    def full() -> int:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(module, "_free_port", full)
    with pytest.raises(UnavailableError, match="the embedded broker does not start") as caught:
        EmbeddedBroker().start()
    assert "--mqtt" in caught.value.hint


def test_purge_works_here_too(broker: EmbeddedBroker, publisher: MqttPublisher):
    """All that a node has left is removed from it."""
    publisher.stop()
    done = purge(MqttSettings(url=broker.url), "studio", {})
    assert f"{ROOT}/fm/state" in done.topics
    assert not done.running
    assert purge(MqttSettings(url=broker.url), "studio", {}).topics == []


def test_the_line_to_watch_it_with(broker: EmbeddedBroker, publisher: MqttPublisher):
    """What is printed can be pasted into a shell."""
    command = f"{watch_line(broker.port)} -C 2 -W 5"
    heard = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    assert heard.startswith(f"{ROOT}/")
