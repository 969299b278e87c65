"""What is seen over MQTT, of messages by hand and of a real broker."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genred.dashboard.cells import Ink
from genred.dashboard.layout import render
from genred.errors import AccessError, UnavailableError
from genred.messages import FEED_MESSAGES, FeedState, NodeInfo
from genred.settings.mqtt import MqttSettings
from genred.watch.published import EVENTS, FEEDS, PublishedNode, read
from genred.watch.remote import RemoteSight
from genred.watch.sight import OFFLINE
from genred.watch.window import Window
from rigs.messages import event, health, info, scores, state

NOW = 1_000_000_100.0


def payload(message):
    return json.dumps(message.to_dict()).encode()


def told(*messages, node=None):
    node = node or PublishedNode()
    for message in messages:
        if isinstance(message, NodeInfo):
            node.take("info", payload(message))
        else:
            node.take_of_feed("fm", message.topic, payload(message))
    return node


def test_a_view_holds_what_was_published():
    node = told(
        info(model={"name": "compact"}, labels=["jazz", "rock"]),
        state(label="jazz", since=NOW - 60, scores={"jazz": 0.9, "rock": 0.1}, title="Naima"),
        health(status="listening", lag_ms=40.0),
    )
    view = node.view("studio", NOW)
    assert (view.node, view.model, view.labels) == ("studio", "compact", ("jazz", "rock"))
    (fm,) = view.feeds
    assert (fm.id, fm.state.label, fm.state.title, fm.health.lag_ms) == ("fm", "jazz", "Naima", 40)
    assert fm.now == NOW  # what is on goes on, however seldom that is said
    assert [(each.label, each.start, each.end) for each in fm.segments] == [
        ("jazz", NOW - 60, None)
    ]
    told(
        event(1, label="rock", start=NOW - 20, previous="jazz", previous_seconds=40.0),
        state(2, label="rock", since=NOW - 20),
        event(2, "ended", label="rock", start=NOW - 20, end=NOW - 5),
        state(3, label="unknown", since=None),
        health(2, status="reconnecting", last_error="gone"),
        node=node,
    )
    (fm,) = node.view("studio", NOW).feeds
    assert [(each.label, each.start - NOW, each.end - NOW) for each in fm.segments] == [
        ("jazz", -60, -20),
        ("rock", -20, -5),
    ]
    assert [each.event_type for each in fm.events] == ["changed", "ended"]
    assert fm.now == fm.state.ts  # nothing is heard: time stands still
    assert "gone" in "".join(
        text
        for line in render(node.view("studio", NOW), 80, 24).lines(Ink.MONO)
        for text, *_ in line
    )


def test_scores_are_fresher_than_the_state():
    node = told(state(label="jazz", since=NOW), scores())
    (fm,) = node.view("studio", NOW).feeds
    assert fm.state.scores == scores().smoothed
    assert fm.peak_dbfs == -20.0


def test_a_clock_that_differs_is_reckoned_with_a_late_message_is_not():
    node = PublishedNode()
    assert node.take_of_feed("fm", "state", payload(state(ts=NOW, since=NOW - 10))) == NOW
    node.compare(300.0)  # told anew after the broker was away, say
    assert node.skew == 0.0
    node.compare(0.2)
    assert node.skew == 0.0
    for late in (3600.3, 3600.1, 3640.0):
        node.compare(late)
    assert node.skew == 3600.1
    (fm,) = node.view("studio", NOW + 3600.1).feeds
    assert fm.now - fm.state.since == pytest.approx(10)
    node.compare(-50.0)
    node.compare(-50.1)
    assert node.skew == -50.0


def test_a_feed_that_is_gone_goes_and_an_offline_one_is_not_heard():
    node = told(state(since=NOW), health())
    node.take_of_feed("fm", "status", b"offline")
    assert node.view("studio", NOW).feeds[0].health.status == "stalled"
    node.take_of_feed("fm", "state", b"")
    assert node.view("studio", NOW).feeds == ()


def test_an_older_daemon_that_says_less_is_seen_too():
    data = state(since=NOW).to_dict()
    del data["station"], data["level_dbfs"]
    assert read(FeedState, json.dumps(data).encode()).station is None


def test_what_strangers_publish_is_bounded():
    node = PublishedNode()
    for number in range(2 * FEEDS):
        node.take_of_feed(f"feed{number}", "state", payload(state()))
    assert len(node.feeds) == FEEDS
    for seq in range(2 * EVENTS):
        told(event(seq, label=str(seq), start=NOW + seq, ts=NOW + seq), node=node)
    assert all(len(each.events) <= EVENTS for each in node.feeds.values())
    for seq in range(0, 20_000, 10):
        node.take_of_feed("feed1", "event", payload(event(seq, label=str(seq), start=NOW + seq)))
    assert len(node.feeds["feed1"].segments) < 400  # an hour of them


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_whatever_is_published_can_be_drawn(data):
    node = PublishedNode()
    told(info(), state(since=NOW), health(), node=node)
    good = {
        "info": info().to_dict(),
        "state": state(since=NOW).to_dict(),
        "event": event().to_dict(),
        "scores": scores().to_dict(),
        "health": health().to_dict(),
    }
    for _ in range(data.draw(st.integers(1, 4))):
        what = data.draw(st.sampled_from(sorted(good)))
        message = dict(good[what])
        for key in data.draw(st.lists(st.sampled_from(sorted(message)), max_size=3)):
            message[key] = data.draw(json_values)
        raw = json.dumps(message).encode() if data.draw(st.booleans()) else data.draw(st.binary())
        if what == "info":
            node.take("info", raw)
        else:
            node.take_of_feed("fm", what, raw)
    view = node.view("studio", NOW)
    for ink in (Ink.COLOUR, Ink.ASCII):
        for width, height in ((80, 24), (120, 40)):
            assert len(render(view, width, height).lines(ink)) == height


def test_every_message_is_read_as_it_was_written():
    for message in (info(), state(since=NOW), event(), health(), scores()):
        assert read(type(message), payload(message)) == message
    assert {type(each) for each in (state(), event(), health(), scores())} == {*FEED_MESSAGES}


def see(sight, true, seconds=20.0):
    until = time.monotonic() + seconds
    while not true(sight):
        assert time.monotonic() < until, (sight.nodes(), sight.notice(sight.nodes()[0]))
        time.sleep(0.05)


def test_nodes_of_a_broker_come_and_go(make_mosquitto):
    broker = make_mosquitto().start()

    def tell(topic, message, *options):
        text = message if isinstance(message, str) else json.dumps(message.to_dict())
        broker.publish(f"radio/{topic}", text, *options)

    for node in ("attic", "cellar"):
        tell(f"{node}/status", "online", "-r")
        tell(f"{node}/fm/state", state(label="jazz", since=NOW), "-r")
        tell(f"{node}/fm/health", health(), "-r")
    broker.publish("elsewhere/roof/status", "online", "-r")
    sight = RemoteSight(MqttSettings(url=broker.url, base_topic="radio"))
    sight.start()
    window = Window(sight)
    see(sight, lambda it: it.nodes() == ["attic", "cellar"] and it.view("cellar").feeds)
    assert sight.notice("attic") == ""
    assert window.view().node == "attic"
    assert window.view().publishers[0] == "node 1 of 2: n, p"
    window.turn(-1)
    assert window.view().node == "cellar"
    tell("attic/status", "offline", "-r")
    see(sight, lambda it: "offline" in it.notice("attic"))
    assert sight.view("attic").feeds[0].health.status == OFFLINE
    assert window.notice() == ""  # which is about the other one
    tell("cellar/am/state", state(label="rock", since=NOW))
    see(sight, lambda it: [each.id for each in it.view("cellar").feeds] == ["am", "fm"])
    broker.kill()
    see(sight, lambda it: "trying again" in it.notice("cellar"))
    assert {each.health.status for each in window.view().feeds} == {OFFLINE}
    broker.start()
    tell("cellar/status", "online", "-r")
    see(sight, lambda it: it.notice("cellar") == "")
    assert "offline" in sight.notice("attic")  # the broker has forgotten it
    sight.stop()
    only = RemoteSight(MqttSettings(url=broker.url, base_topic="radio"), "roof")
    only.start()
    assert only.nodes() == ["roof"]
    see(only, lambda it: it.notice("roof").startswith("nothing is published under radio/roof"))
    assert only.view("roof").feeds == ()
    only.stop()


def test_a_broker_that_is_not_there_or_refuses_is_said_so_at_once(make_mosquitto):
    broker = make_mosquitto(users={"me": "secret"}).start()
    with pytest.raises(AccessError, match="refuses"):
        RemoteSight(MqttSettings(url=broker.url.replace("//", "//me:wrong@"))).start()
    right = RemoteSight(MqttSettings(url=broker.url.replace("//", "//me:secret@")))
    right.start()
    right.stop()
    broker.stop()
    with pytest.raises(UnavailableError, match="connection refused"):
        RemoteSight(MqttSettings(url=broker.url)).start()
