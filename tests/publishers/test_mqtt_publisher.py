"""The publisher against a real mosquitto, with mosquitto_sub as the one who listens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from genred.errors import ConfigError, UnavailableError
from genred.messages import FeedEvent, FeedHealth, FeedState, NodeInfo
from genred.publishers.base import FeedInfo, Publisher
from genred.publishers.fake import FakePublisher
from genred.publishers.mqtt import STOP_S, MqttPublisher, encode
from genred.settings.mqtt import MqttSettings
from rigs.messages import FEED, event, health, info, scores, state
from rigs.ports import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from rigs.mosquitto import Heard, Mosquitto

ROOT = "genred/studio"


def tell_all(publisher: Publisher) -> None:
    publisher.offer(health(1))
    publisher.offer(state(1))


def without_emptied(heard: list[Heard]) -> list[Heard]:
    """The other form of discovery is emptied on the first connection."""
    return [each for each in heard if each.payload]


def test_both_publishers_keep_the_seam():
    """The fake and the real one can stand in for each other."""
    publishers: list[Publisher] = [
        FakePublisher(),
        MqttPublisher(MqttSettings(url="mqtt://127.0.0.1:1"), "studio", environ={}),
    ]
    assert all(isinstance(publisher.status(), str) for publisher in publishers)
    fake = publishers[0]
    fake.start(info(), [FEED])
    tell_all(fake)
    fake.stop()
    assert fake.messages == [health(1), state(1)]
    assert (fake.node, fake.feeds, fake.started, fake.stopped) == (info(), (FEED,), True, True)


def test_order_on_connect(mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]):
    """Node online, info, discovery, then per feed status, state and health; retained, qos 1."""
    everything = mosquitto.listen("#")
    publish(mosquitto.url, health(1), state(1))
    everything.wait_for(f"{ROOT}/fm/health")
    heard = without_emptied(everything.heard)
    assert [each.topic for each in heard] == [
        f"{ROOT}/status",
        f"{ROOT}/info",
        "homeassistant/device/genred__studio/config",
        "homeassistant/device/genred__studio__fm/config",
        f"{ROOT}/fm/status",
        f"{ROOT}/fm/state",
        f"{ROOT}/fm/health",
    ]
    assert all(each.qos == 1 for each in heard)
    assert heard[0].payload == heard[4].payload == "online"
    assert set(mosquitto.retained("#")) == {each.topic for each in heard}


def test_what_is_sent_reads_back(mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]):
    """Every message arrives as it was offered: schema version, capture time, sequence number."""
    listener = mosquitto.listen(f"{ROOT}/#")
    publisher = publish(mosquitto.url)
    told = [health(7), state(8, title='Grüße, "Ω" 🎷'), event(9)]
    for each in told:
        publisher.offer(each)
    for each in told:
        heard = listener.wait_for(f"{ROOT}/fm/{each.topic}")
        assert type(each).from_dict(heard.json) == each
        assert heard.json["schema_version"] == 1
        assert heard.json["ts"] == "2001-09-09T01:46:40.250Z"
    assert NodeInfo.from_dict(listener.wait_for(f"{ROOT}/info").json) == info()


def test_a_late_subscriber_sees_the_state_but_no_event(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """State, health and statuses are retained; events and scores are not."""
    live = mosquitto.listen(f"{ROOT}/fm/scores", options=("-q", "0"))
    publisher = publish(mosquitto.url, scores=True)
    tell_all(publisher)
    publisher.offer(event(1))

    def heard_scores(heard: list) -> bool:
        publisher.offer(scores(1))
        return bool(heard)

    wait_until(lambda: heard_scores(live.heard))
    assert live.heard[0].qos == 0
    assert set(mosquitto.retained(f"{ROOT}/#")) == {
        f"{ROOT}/status",
        f"{ROOT}/info",
        f"{ROOT}/fm/status",
        f"{ROOT}/fm/state",
        f"{ROOT}/fm/health",
    }


def test_scores_are_opt_in(mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]):
    """Without the setting nothing of four messages a second goes out."""
    listener = mosquitto.listen(f"{ROOT}/fm/#")
    publisher = publish(mosquitto.url)
    publisher.offer(scores(1))
    publisher.offer(event(1))
    listener.wait_for(f"{ROOT}/fm/event")
    assert not listener.on(f"{ROOT}/fm/scores")


def test_feed_status_follows_the_health(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """``online`` only while audio arrives, told once for each change."""
    listener = mosquitto.listen(f"{ROOT}/fm/status")
    publisher = publish(mosquitto.url)
    listener.wait_for(f"{ROOT}/fm/status", "offline")
    for number, status in enumerate(("listening", "listening", "reconnecting", "failed")):
        publisher.offer(health(number, status))
        time.sleep(0.1)
    publisher.offer(health(9, "listening"))
    listener.wait(lambda heard: len(heard) >= 4)
    assert [each.payload for each in listener.heard] == ["offline", "online", "offline", "online"]


def test_stop_says_goodbye_in_order(mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]):
    """What waits is sent, then each feed is offline, then the node; no thread is left."""
    before = set(threading.enumerate())
    listener = mosquitto.listen(f"{ROOT}/#")
    publisher = publish(mosquitto.url, feeds=(FEED, FeedInfo("am", "another")))
    publisher.offer(health(1))
    publisher.offer(event(1, "ended"))
    publisher.stop()
    assert set(threading.enumerate()) - {listener._thread} == before
    listener.wait_for(f"{ROOT}/status", "offline")
    last = [(each.topic, each.payload) for each in listener.heard[-4:]]
    assert last[0][0] == f"{ROOT}/fm/event"
    assert last[1:] == [
        (f"{ROOT}/fm/status", "offline"),
        (f"{ROOT}/am/status", "offline"),
        (f"{ROOT}/status", "offline"),
    ]
    wait_until(lambda: "Client genred-studio disconnected." in mosquitto.log)
    publisher.stop()
    publisher.offer(event(2))


CHILD = """
import sys, time
from rigs.messages import FEED, health, info, state
from genred.publishers.mqtt import MqttPublisher
from genred.settings.mqtt import MqttSettings
publisher = MqttPublisher(MqttSettings(url=sys.argv[1]), "studio")
publisher.start(info(), [FEED])
publisher.offer(health(1))
publisher.offer(state(1))
time.sleep(60)
"""


def test_the_will_speaks_for_a_killed_process(mosquitto: Mosquitto, pytestconfig: pytest.Config):
    """SIGKILL leaves ``offline`` on the node's status, retained, and the last state readable."""
    listener = mosquitto.listen(f"{ROOT}/#")
    path = str(pytestconfig.rootpath / "tests")
    child = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {path!r})\n{CHILD}", mosquitto.url]
    )
    try:
        listener.wait_for(f"{ROOT}/status", "online")
        listener.wait_for(f"{ROOT}/fm/state")
    finally:
        child.kill()
        child.wait()
    listener.wait_for(f"{ROOT}/status", "offline", seconds=5)
    kept = mosquitto.retained(f"{ROOT}/#")
    assert kept[f"{ROOT}/status"] == "offline"
    assert json.loads(kept[f"{ROOT}/fm/state"])["label"] == "jazz"


def test_birth_of_home_assistant_has_all_told_again(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """On ``online`` the status, discovery and states are sent again, once, after the delay."""
    publish(mosquitto.url, health(1), state(1), birth=0.3)
    wait_until(lambda: "fm/health'" in mosquitto.log)
    listener = mosquitto.listen("#", options=("-R",))
    started = time.monotonic()
    for _ in range(3):
        mosquitto.publish("homeassistant/status", "online")
    last = listener.wait_for(f"{ROOT}/fm/health")
    assert last.at - started > 0.3
    time.sleep(0.6)
    assert [each.topic for each in listener.heard if each.topic != "homeassistant/status"] == [
        f"{ROOT}/status",
        f"{ROOT}/info",
        "homeassistant/device/genred__studio/config",
        "homeassistant/device/genred__studio__fm/config",
        f"{ROOT}/fm/status",
        f"{ROOT}/fm/state",
        f"{ROOT}/fm/health",
    ]


def test_a_prefix_of_ones_own(mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]):
    """Discovery goes there; a birth is heard both there and where it is by default."""
    publish(mosquitto.url, health(1), discovery_prefix="ha/test")
    wait_until(lambda: "fm/health'" in mosquitto.log)
    for number, prefix in enumerate(("ha/test", "homeassistant"), 1):
        listener = mosquitto.listen("ha/test/device/#", options=("-R",))
        mosquitto.publish(f"{prefix}/status", "online")
        listener.wait(lambda heard: len(heard) == 2)
        assert mosquitto.log.count("genred__studio__fm/config', ") >= number + 1


def test_other_words_of_home_assistant_change_nothing(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """Neither its farewell, nor a retained birth, nor megabytes or nonsense have an effect."""
    mosquitto.publish("homeassistant/status", "online", "-r")
    publisher = publish(mosquitto.url, health(1), state(1))
    wait_until(lambda: "fm/health'" in mosquitto.log)
    listener = mosquitto.listen(f"{ROOT}/#", options=("-R",))
    for words in ("offline", "ONLINE", " online", "x" * 100_000, "{}"):
        mosquitto.publish("homeassistant/status", words)
    mosquitto.publish("homeassistant/status", "", "-r")
    publisher.offer(event(1))
    listener.wait_for(f"{ROOT}/fm/event")
    time.sleep(0.3)
    assert [each.topic for each in listener.heard] == [f"{ROOT}/fm/event"]


def test_nothing_is_said_on_topics_of_the_other_form(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """Versions that do not know a form warn of an empty message, too."""
    listener = mosquitto.listen("homeassistant/#")
    feeds = tuple(FeedInfo(f"f{number}", "a receiver") for number in range(10))
    publish(mosquitto.url, discovery="component", feeds=feeds)
    listener.wait_for("homeassistant/sensor/genred__studio__f9/lag/config")
    publish(mosquitto.url, discovery="device", client_id="another", feeds=feeds)
    listener.wait_for("homeassistant/device/genred__studio__f9/config")
    # What stood there is taken away, before what takes its place is told.
    topics = [each.topic for each in listener.heard]
    emptied = [each.topic for each in listener.heard if not each.payload]
    assert len(emptied) == 2 + 10 * 9
    assert all("/device/" not in each for each in emptied)
    # Asked for in requests that every broker takes.
    requests = re.findall(r"Received SUBSCRIBE from another\n((?:\d+: \t.*\n)+)", mosquitto.log)
    assert 0 < max(each.count("\n") for each in requests) <= 8
    assert len(topics) - topics[::-1].index(emptied[-1]) - 1 < topics.index(
        "homeassistant/device/genred__studio/config"
    )


@pytest.mark.parametrize("form", ["component", "off"])
def test_other_forms_of_discovery(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher], form: str
):
    """``component`` announces each entity by itself and takes the device form away; ``off`` is
    silent."""
    mosquitto.publish("homeassistant/device/genred__studio__fm/config", '{"old": 1}', "-r")
    publisher = publish(mosquitto.url, discovery=form)
    publisher.offer(event(1))
    mosquitto.listen(f"{ROOT}/#")
    publisher.stop()
    announced = set(mosquitto.retained("homeassistant/#"))
    if form == "off":
        assert announced == {"homeassistant/device/genred__studio__fm/config"}
    else:
        assert announced == {
            "homeassistant/sensor/genred__studio/provider/config",
            "homeassistant/sensor/genred__studio/lost/config",
            *(
                f"homeassistant/{platform}/genred__studio__fm/{key}/config"
                for key, platform in {
                    "genre": "sensor",
                    "confidence": "sensor",
                    "kind": "sensor",
                    "dead_air": "binary_sensor",
                    "change": "event",
                    "level": "sensor",
                    "dropped": "sensor",
                    "lag": "sensor",
                    "source": "sensor",
                }.items()
            ),
        }


def test_another_model_is_announced_at_once(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """New labels reach info and discovery without a new connection."""
    listener = mosquitto.listen(f"{ROOT}/info", "homeassistant/device/genred__studio__fm/config")
    publisher = publish(mosquitto.url)
    publisher.offer(info(seq=2, labels=["polka"]))
    listener.wait(lambda heard: sum("polka" in each.payload for each in heard) >= 2)


def test_names_of_nodes_and_feeds_are_made_fit(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """A node called ``a/b #1`` has a topic of its own level."""
    publisher = MqttPublisher(
        MqttSettings(url=mosquitto.url, base_topic="home/radio"), "a/b #1", environ={}
    )
    publisher.start(info(), [FEED])
    assert publisher.wait_first(10) is None
    publisher.stop()
    kept = mosquitto.retained("home/#")
    assert set(kept) == {f"home/radio/a_b__1/{each}" for each in ("status", "info", "fm/status")}


def test_offering_costs_the_engine_microseconds(
    make_mosquitto: Callable[..., Mosquitto], publish: Callable[..., MqttPublisher]
):
    """With a broker, without one and with one that answers nothing the caller never waits."""
    well, frozen = make_mosquitto().start(), make_mosquitto().start()
    publishers = [publish(well.url), publish(frozen.url)]
    publishers.append(publish(f"mqtt://127.0.0.1:{free_port()}", connected=False))
    frozen.freeze()
    for publisher in publishers:
        cost = []
        for number in range(2000):
            message = (state, event, health)[number % 3](number)
            # CPU time of this thread: on a shared machine wall time says nothing.
            began = time.thread_time()
            publisher.offer(message)
            cost.append(time.thread_time() - began)
        # All but the few in which the garbage collector happens to run. 1 ms is far above the
        # microseconds it takes and far below the 250 ms of a hop.
        assert sorted(cost)[int(0.98 * len(cost))] < 0.001


def test_without_a_url_nothing_can_be_published():
    """Making a publisher without a broker is a mistake in the configuration."""
    with pytest.raises(ConfigError, match="no broker"):
        MqttPublisher(MqttSettings(), "studio")


def test_numbers_that_json_does_not_know_cost_one_message(
    mosquitto: Mosquitto, publish: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
):
    """A NaN is counted and logged; the next message goes out."""
    listener = mosquitto.listen(f"{ROOT}/fm/event")
    publisher = publish(mosquitto.url)
    publisher.offer(event(1, confidence=float("nan")))
    publisher.offer(event(2, title="lone \ud800 surrogate"))
    heard = listener.wait_for(f"{ROOT}/fm/event")
    assert (heard.json["seq"], heard.json["title"]) == (2, "lone ? surrogate")
    assert publisher.dropped == 1
    assert "could not be written" in caplog.text


def test_wire_format_is_compact_and_stable():
    """One line of JSON without spaces: what a later version must still be able to read."""
    assert encode(event(3)) == (
        b'{"schema_version":1,"feed":"fm","ts":"2001-09-09T01:46:40.250Z","seq":3,'
        b'"event_type":"changed","label":"jazz","kind":"music","confidence":0.875,'
        b'"start":"2001-09-09T01:46:40.000Z","end":null,"previous":null,'
        b'"previous_seconds":null,"title":null}'
    )
    for message in (event(1), state(1), health(1)):
        kind = {FeedEvent: event, FeedState: state, FeedHealth: health}[type(message)]
        assert type(message).from_dict(json.loads(encode(message))) == kind(1)


def test_status_lines(mosquitto: Mosquitto, publish: Callable[..., MqttPublisher]):
    """One line says where and how; user and password are never in it."""
    assert publish(mosquitto.url).status() == f"{mosquitto.url} connected"
    gone = free_port()
    away = publish(f"mqtt://ann:hush@127.0.0.1:{gone}", connected=False)
    assert isinstance(away.wait_first(10), UnavailableError)
    away.offer(event(1))
    assert re.fullmatch(
        rf"mqtt://127\.0\.0\.1:{gone}: connection refused, trying again \(\d+ waiting, 0 dropped\)",
        away.status(),
    )


def test_stopping_while_the_broker_is_away_is_quick(publish: Callable[..., MqttPublisher]):
    """Nothing is waited for that cannot come."""
    publisher = publish(f"mqtt://127.0.0.1:{free_port()}", connected=False)
    publisher.wait_first(10)
    began = time.monotonic()
    publisher.stop()
    assert time.monotonic() - began < STOP_S
