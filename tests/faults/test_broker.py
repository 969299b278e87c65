"""Brokers that are slow, mute or away for long. What else a broker may do: tests/publishers."""

from __future__ import annotations

import json
import time
from contextlib import closing

import pytest

from genred.publishers.mqtt import MqttPublisher
from genred.settings.mqtt import MqttSettings
from rigs.messages import FEED, event, health, info, state
from rigs.ports import wait_until
from rigs.proxy import Proxy

ROOT = "genred/studio"
QUEUE = 100
OFFER_S = 0.02
"""A hand-over takes microseconds; a machine with all cores busy may interrupt one for so long."""


@pytest.fixture
def line(mosquitto):
    """A broker, a line to it, and a publisher at the other end of that."""
    with closing(Proxy(mosquitto.port)) as proxy:
        settings = MqttSettings(url=f"mqtt://127.0.0.1:{proxy.port}", queue=QUEUE, keepalive_s=5)
        publisher = MqttPublisher(settings, "studio", environ={}, birth_delay=lambda: 0.0)
        publisher.offer(health(1))
        publisher.offer(state(1, "jazz"))
        yield mosquitto, proxy, publisher
        publisher.stop()


def offer(publisher, numbers):
    """Hand over an event and a state for each number; the longest that one of them took."""
    longest = 0.0
    for number in numbers:
        began = time.perf_counter()
        publisher.offer(event(number))
        publisher.offer(state(number, "rock", title=f"Song {number}"))
        longest = max(longest, time.perf_counter() - began)
    return longest


def check_what_is_retained(broker, number):
    """State and statuses are the newest, and both devices are announced."""
    after = broker.retained("#")
    assert after[f"{ROOT}/status"] == after[f"{ROOT}/fm/status"] == "online"
    assert json.loads(after[f"{ROOT}/fm/state"])["seq"] == number
    assert sum(topic.startswith("homeassistant/") for topic in after) == 2


def seqs(listener):
    return [each.json["seq"] for each in listener.on(f"{ROOT}/fm/event")]


def test_a_slow_broker(line, record_fault):
    """2 kB/s, far too little: events wait in order, states give way to newer ones."""
    broker, proxy, publisher = line
    publisher.start(info(), (FEED,))
    assert publisher.wait_first(10) is None
    listener = broker.listen(f"{ROOT}/fm/#")
    proxy.bytes_per_s = 2000
    longest = offer(publisher, range(1, 201))
    assert longest < OFFER_S
    time.sleep(2.0)
    behind = 200 - max(seqs(listener), default=0)
    assert behind > 50, "the line was not slow"
    proxy.bytes_per_s = None
    began = time.monotonic()
    listener.wait(lambda _: 200 in seqs(listener), 20)
    recovered = time.monotonic() - began
    heard = seqs(listener)
    assert heard == sorted(set(heard))
    assert 200 - len(heard) == publisher.dropped
    check_what_is_retained(broker, 200)
    record_fault(
        "broker behind a line of 2 kB/s",
        f"`… waiting`, then `… dropped` in the publisher's status; a hand-over took"
        f" {longest * 1e3:.2f} ms at most",
        recovered,
        f"the oldest events beyond `mqtt.queue` ({QUEUE}) and those under way, counted:"
        f" {publisher.dropped} of 200 here; states in between",
    )


def test_a_broker_that_accepts_and_never_answers(line, record_fault):
    """Told of in one line and tried again; once it answers, all is said."""
    broker, proxy, publisher = line
    proxy.held = True
    publisher.start(info(), (FEED,))
    failure = publisher.wait_first(20)
    assert failure is not None
    assert "no MQTT broker answers there" in failure.message
    assert offer(publisher, range(1, 51)) < OFFER_S
    listener = broker.listen(f"{ROOT}/fm/event")
    proxy.hang_up()
    proxy.held = False
    began = time.monotonic()
    listener.wait(lambda _: seqs(listener)[-1:] == [50], 40)
    recovered = time.monotonic() - began
    assert seqs(listener) == list(range(1, 51))
    assert publisher.dropped == 0
    check_what_is_retained(broker, 50)
    record_fault(
        "broker that accepts and never answers",
        "`no MQTT broker answers there`, once",
        recovered,
        "nothing that fits `mqtt.queue`",
    )


def test_a_full_queue(line, record_fault):
    """Away for longer than the queue holds: the newest events arrive, the others are counted."""
    broker, _, publisher = line
    publisher.start(info(), (FEED,))
    assert publisher.wait_first(10) is None
    wait_until(lambda: "fm/state'" in broker.log)
    broker.kill()
    wait_until(lambda: not publisher.status().endswith(" connected"))
    assert offer(publisher, range(1, 3 * QUEUE + 1)) < OFFER_S
    # What paho had taken before it noticed is on its way as well, and older.
    assert publisher.dropped >= QUEUE
    broker.start()
    began = time.monotonic()
    listener = broker.listen(f"{ROOT}/fm/event")
    listener.wait(lambda _: seqs(listener)[-1:] == [3 * QUEUE], 40)
    recovered = time.monotonic() - began
    heard = seqs(listener)
    assert heard == sorted(set(heard))
    assert heard[-QUEUE:] == list(range(2 * QUEUE + 1, 3 * QUEUE + 1))
    assert len(heard) + publisher.dropped == 3 * QUEUE
    assert f"{publisher.dropped} dropped" in publisher.status()
    check_what_is_retained(broker, 3 * QUEUE)
    record_fault(
        f"broker away (its retained messages lost) while {3 * QUEUE} events happen",
        "connection refused, once; `… dropped` in the publisher's status",
        recovered,
        f"events beyond `mqtt.queue` ({QUEUE}), oldest first: {publisher.dropped}, counted",
    )
