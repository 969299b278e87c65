"""What the publisher survives: a broker that is away, restarts, forgets, freezes or is too slow."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from genred.errors import UnavailableError
from genred.publishers import mqtt, reporter
from genred.publishers.client import unreachable
from genred.publishers.mqtt import CLOSE_S, STOP_S, UNACKNOWLEDGED_MAX, MqttPublisher
from genred.settings.mqtt import BrokerAddress
from rigs.messages import event, health, state
from rigs.ports import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from rigs.mosquitto import Listener, Mosquitto

ROOT = "genred/studio"


def seqs(listener: Listener, topic: str = f"{ROOT}/fm/event") -> list[int]:
    return [each.json["seq"] for each in listener.on(topic)]


def test_a_broker_that_is_away_at_the_start_is_found_later(
    make_mosquitto: Callable[..., Mosquitto], publish: Callable[..., MqttPublisher]
):
    """Nothing is lost that fits: once the broker is there it hears state, and events in order."""
    broker = make_mosquitto()
    publisher = publish(broker.url, connected=False)
    failure = publisher.wait_first(10)
    assert isinstance(failure, UnavailableError)
    assert failure.exit_code == 69
    publisher.offer(health(1))
    for number in range(50):
        publisher.offer(event(number))
        publisher.offer(state(number))
    broker.start()
    listener = broker.listen(f"{ROOT}/#")
    listener.wait(lambda _: seqs(listener)[-1:] == [49])
    assert seqs(listener) == list(range(50))
    assert seqs(listener, f"{ROOT}/fm/state") == [49]
    assert publisher.first_failure is None
    assert publisher.dropped == 0


@pytest.mark.parametrize("persistent", [True, False], ids=["kept", "lost"])
def test_a_broker_that_restarts(
    make_mosquitto: Callable[..., Mosquitto],
    publish: Callable[..., MqttPublisher],
    persistent: bool,
):
    """With its retained messages or without: afterwards all that should be retained is, newest."""
    broker = make_mosquitto(persistent=persistent).start()
    publisher = publish(broker.url, health(1), state(1, "jazz"))
    wait_until(lambda: "fm/health'" in broker.log)
    before = broker.retained("#")
    broker.stop()
    wait_until(lambda: "connection lost" in publisher.status() or "refused" in publisher.status())
    publisher.offer(event(1))
    publisher.offer(state(2, "rock"))
    began = time.monotonic()
    broker.start()
    listener = broker.listen(f"{ROOT}/fm/event")
    wait_until(lambda: publisher.status().endswith(" connected"))
    assert time.monotonic() - began < 10
    listener.wait_for(f"{ROOT}/fm/event")
    after = broker.retained("#")
    assert set(after) == set(before)
    assert '"rock"' in after[f"{ROOT}/fm/state"]
    assert after[f"{ROOT}/status"] == after[f"{ROOT}/fm/status"] == "online"


def test_events_under_way_when_the_broker_dies_arrive(
    make_mosquitto: Callable[..., Mosquitto], publish: Callable[..., MqttPublisher]
):
    """What was sent and not acknowledged is sent again, before what came later."""
    broker = make_mosquitto().start()
    publisher = publish(broker.url, health(1), state(1))
    wait_until(lambda: "fm/health'" in broker.log)
    broker.freeze()
    for number in range(UNACKNOWLEDGED_MAX + 20):
        publisher.offer(event(number))
        publisher.offer(state(number))
    time.sleep(0.2)
    broker.kill()
    broker.start()
    listener = broker.listen(f"{ROOT}/#")
    listener.wait(lambda _: seqs(listener)[-1:] == [UNACKNOWLEDGED_MAX + 19])
    assert seqs(listener) == list(range(UNACKNOWLEDGED_MAX + 20))
    # Of the states that were under way none may come after the newest.
    assert seqs(listener, f"{ROOT}/fm/state")[-1] == UNACKNOWLEDGED_MAX + 19
    assert seqs(listener, f"{ROOT}/fm/state") == sorted(seqs(listener, f"{ROOT}/fm/state"))


def test_what_does_not_fit_is_dropped_oldest_first_and_counted(
    make_mosquitto: Callable[..., Mosquitto],
    publish: Callable[..., MqttPublisher],
    caplog: pytest.LogCaptureFixture,
):
    """The queue holds what is configured; how many were lost is told on all ways."""
    broker = make_mosquitto()
    publisher = publish(broker.url, connected=False, queue=10)
    publisher.wait_first(10)
    for number in range(25):
        publisher.offer(event(number))
    assert publisher.dropped == 15
    assert publisher.status().endswith("15 dropped)")
    broker.start()
    listener = broker.listen(f"{ROOT}/fm/event")
    listener.wait(lambda heard: len(heard) >= 10)
    assert seqs(listener) == list(range(15, 25))
    assert "15 dropped" in publisher.status()
    assert json.loads(broker.retained(f"{ROOT}/info")[f"{ROOT}/info"])["lost_messages"] == 15
    told = [each.getMessage() for each in caplog.records if "were lost" in each.getMessage()]
    assert told == [
        f"mqtt://127.0.0.1:{broker.port}: 15 messages were lost since the last connection"
    ]

    # And with the next heartbeat, where the connection stands and the broker is merely slow.
    late = broker.listen(f"{ROOT}/info")
    broker.freeze()
    for number in range(25, 25 + UNACKNOWLEDGED_MAX + 30):
        publisher.offer(event(number))
    wait_until(lambda: publisher.dropped > 15)
    broker.thaw()
    publisher.offer(health(99))
    late.wait(lambda heard: heard and heard[-1].json["lost_messages"] == publisher.dropped)
    numbers = [each.json["seq"] for each in late.heard]
    assert numbers == sorted(set(numbers))


def test_a_frozen_broker_fills_no_memory(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """A broker that accepts and never answers: paho holds a bounded number, the lanes the rest."""
    publisher = publish(mosquitto.url, queue=50, scores=True)
    mosquitto.freeze()
    time.sleep(0.1)
    for number in range(1000):
        publisher.offer(event(number))
    wait_until(lambda: publisher.dropped > 0)
    time.sleep(0.2)
    assert len(publisher._client._out_messages) <= UNACKNOWLEDGED_MAX
    assert 1000 - publisher.dropped <= UNACKNOWLEDGED_MAX + 50
    began = time.monotonic()
    publisher.stop()
    assert time.monotonic() - began < STOP_S + CLOSE_S + 0.5
    mosquitto.thaw()
    listener = mosquitto.listen(f"{ROOT}/status")
    listener.wait_for(f"{ROOT}/status", "offline")


def test_a_server_that_accepts_and_says_nothing_is_complained_of(
    publish: Callable[..., MqttPublisher],
):
    """Whatever listens there is no broker: said in one line, and tried again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        publisher = publish(f"mqtt://127.0.0.1:{port}", connected=False, keepalive_s=5)
        failure = publisher.wait_first(15)
        assert isinstance(failure, UnavailableError)
        assert "no MQTT broker answers there" in failure.message
        assert "trying again" in publisher.status()


def test_a_server_of_another_kind(publish: Callable[..., MqttPublisher]):
    """A web server's answer is no reason to fall over."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)

        thread = threading.Thread(target=answer)
        thread.start()
        publisher = publish(f"mqtt://127.0.0.1:{server.getsockname()[1]}", connected=False)
        assert isinstance(publisher.wait_first(15), UnavailableError)
        thread.join()


# paho leaves the pipe of the thread that has ended to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_paho_thread_that_ends_is_started_again(
    make_mosquitto: Callable[..., Mosquitto],
    publish: Callable[..., MqttPublisher],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """A fault within paho ends its thread for good; a daemon of months must notice."""
    monkeypatch.setattr(mqtt, "WATCH_S", 0.2)
    broker = make_mosquitto().start()
    publisher = publish(broker.url, health(1))

    def fault(*_: object) -> None:
        del publisher._client._handle_publish
        raise RuntimeError("a fault within the library")

    publisher._client._handle_publish = fault
    broker.publish("homeassistant/status", "hello")
    wait_until(lambda: "was started again" in caplog.text)
    listener = broker.listen(f"{ROOT}/fm/event")
    publisher.offer(event(5))
    listener.wait_for(f"{ROOT}/fm/event")


def test_a_broker_that_stays_away_is_spoken_of_once(
    publish: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
):
    """Attempts go on, lines do not."""
    publisher = publish(f"mqtt://127.0.0.1:{free_port()}", connected=False)
    attempts = []
    reconnect = publisher._client.reconnect
    publisher._client.reconnect = lambda: (attempts.append(1), reconnect())[1]
    wait_until(lambda: len(attempts) >= 1, 15)
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "connection refused" in warnings[0].message
    assert "listening goes on" in warnings[0].message


def test_two_of_the_same_client_id_do_not_flood_the_log(
    mosquitto: Mosquitto,
    publish: Callable[..., MqttPublisher],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """Each throws the other out for ever: some lines, a guess at the reason, silence, a summary."""
    monkeypatch.setattr(reporter, "LINES_MAX", 4)
    monkeypatch.setattr(mqtt, "WATCH_S", 0.5)
    caplog.set_level(logging.INFO, "genred.mqtt")
    both = [publish(mosquitto.url, connected=False, client_id="same") for _ in range(2)]
    wait_until(lambda: caplog.text.count("is another client of the same id about?") == 2, 60)
    before = len(caplog.records)
    time.sleep(3)
    assert len(caplog.records) == before
    both[1].stop()
    wait_until(lambda: both[0].status().endswith("connected"))
    monkeypatch.setattr(reporter, "REMIND_S", 1.0)
    wait_until(lambda: "lines held back" in caplog.text)
    assert re.search(r"connected \(\d+ lines held back\)", caplog.text)


def test_a_broker_that_comes_back_in_the_last_moment_hears_no_online(
    make_mosquitto: Callable[..., Mosquitto], publish: Callable[..., MqttPublisher]
):
    """Stopping while the connection is being made leaves the node offline, whoever is faster."""
    broker = make_mosquitto(persistent=True).start()
    for wait in (0.0, 0.001, 0.003, 0.01, 0.03):
        publisher = publish(broker.url, connected=False)
        time.sleep(wait)
        publisher.stop()
        assert broker.retained(f"{ROOT}/status").get(f"{ROOT}/status", "offline") == "offline"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (TimeoutError("timed out"), "no answer within 5 s"),
        (socket.gaierror(-2, "Name or service not known"), "the name is not known"),
        (OSError(113, "No route to host"), "no route to host"),
        (UnicodeError("label too long"), "cannot connect"),
    ],
)
def test_each_way_of_being_away_is_told_in_words(error: Exception, words: str):
    """One line with the address and what is wrong, exit code 69."""
    failure = unreachable(BrokerAddress("broker.example", 1883, tls=False), error)
    assert failure.message == f"mqtt://broker.example:1883: {words}"
    assert failure.exit_code == 69
