"""Live events, and listeners that are slow, many or gone."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections import deque

import pytest
from hearts import Heart, feed_view
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from genred.web import hub as hub_module
from genred.web import protocol
from rigs.messages import event, health, info, scores, state
from rigs.ports import wait_until


def read_events(response, count):
    """The next ``count`` server-sent events: name, id and data."""
    found = []
    one = {}
    for line in response.iter_lines():
        if line.startswith(("event:", "id:", "data:")):
            name, _, value = line.partition(": ")
            one[name] = value
        elif not line and one:
            found.append((one["event"], one["id"], json.loads(one["data"])))
            one = {}
            if len(found) == count:
                return found
    return found


def listen(served, path="/api/v1/events", **how):
    return served.client.stream("GET", path, **how)


def told(served):
    """Messages that have been handed on so far."""
    return served.publisher._hub._number


def test_a_listener_hears_the_state_of_things_and_then_what_happens(serve):
    served = serve()
    served.tell(health(), state(label="rock"), state(2, label="jazz"), event(1), scores())
    wait_until(lambda: told(served) == 5)
    with listen(served) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        first = read_events(response, 3)
    assert sorted(name for name, _, _ in first) == ["health", "info", "state"]
    assert next(data for name, _, data in first if name == "state")["label"] == "jazz"


def test_events_are_those_of_mqtt_word_for_word(serve):
    served = serve()
    with listen(served, "/api/v1/events?message=event&feed=fm") as response:
        wait_until(lambda: served.publisher._hub.listeners == 1)
        wanted = event(7, "changed", label="blues", previous="jazz", title='"A" \u2013 \u2028 B')
        served.tell(state(), event(1, feed="other"), wanted)
        ((name, _, data),) = read_events(response, 1)
    assert (name, data) == ("event", wanted.to_dict())


def test_who_comes_back_hears_what_was_missed(serve):
    served = serve()
    served.tell(*(event(number) for number in range(1, 6)))
    wait_until(lambda: told(served) == 6)
    second = served.publisher._hub._recent[1].id
    headers = {"last-event-id": second}
    with listen(served, "/api/v1/events?message=event", headers=headers) as response:
        assert [data["seq"] for _, _, data in read_events(response, 3)] == [3, 4, 5]
    with listen(served, headers={"last-event-id": "of-another-start-3"}) as response:
        assert [name for name, _, _ in read_events(response, 1)] == ["info"]


def test_a_websocket_hears_the_same_and_levels(serve):
    served = serve(Heart(feed_view("fm"), feed_view("web", status="retrying")))
    with connect(f"{served.url.replace('http', 'ws')}/api/v1/live") as line:
        served.tell(event(3))
        messages = [json.loads(line.recv(5)) for _ in range(6)]
    by_name = {each["message"]: each for each in messages}
    assert by_name["event"] == {"message": "event", **event(3).to_dict()}
    assert by_name["levels"]["feeds"]["fm"]["online"] is True
    assert by_name["levels"]["feeds"]["web"]["online"] is False
    wait_until(lambda: served.publisher._hub.listeners == 0)


def test_pictures_come_to_who_asks_each_frame_once(serve):
    heart = Heart(feed_view("fm", now=1000.0, frames=200))
    served = serve(heart)
    with connect(f"{served.url.replace('http', 'ws')}/api/v1/live") as line:
        line.send(json.dumps({"pictures": ["fm", "none", 3]}))

        def next_picture():
            while (message := json.loads(line.recv(5)))["message"] != "picture":
                pass
            return message

        first = next_picture()
        heart.feeds = (feed_view("fm", now=1000.5, frames=200),)
        second = next_picture()
        line.send(json.dumps({"pictures": []}))
        line.send("no JSON")
        line.send(b"\xff")
        line.send(json.dumps([[]]))
        time.sleep(0.5)
        line.send(json.dumps({"pictures": "fm"}))
    assert (first["frames"], first["anew"]) == (200, True)
    assert (second["frames"], second["anew"]) == (25, False)
    assert len(base64.b64decode(second["data"])) == 25 * second["mels"]


def raw_listener(served, path="/api/v1/events"):
    """Asks for events, and reads nothing."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", served.publisher.port))
    line.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    return line


def test_who_does_not_keep_up_is_cut_off_and_nobody_else(serve):
    served = serve()
    with raw_listener(served), listen(served) as response:
        wait_until(lambda: served.publisher._hub.listeners == 2)
        long = "x" * 2000
        events = response.iter_lines()
        for number in range(2000):
            served.tell(event(number, title=long))
            if number % 20 == 0:  # the other one reads as they come
                while f'"seq":{number},' not in next(events):
                    pass
            if served.publisher._hub.cut_off:
                break
        assert served.publisher._hub.cut_off == 1
        assert served.publisher._hub.listeners == 1
        wait_until(lambda: len(served.publisher._server.server_state.connections) <= 2)
        assert "genred_http_listeners_cut_off_total 1.0" in served.get("/metrics").text


def test_who_vanishes_is_forgotten(serve, monkeypatch):
    monkeypatch.setattr("genred.web.events.KEEP_ALIVE_S", 0.1)
    served = serve()
    lines = [raw_listener(served) for _ in range(5)]
    wait_until(lambda: served.publisher._hub.listeners == 5)
    for line in lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        line.close()
    wait_until(lambda: served.publisher._hub.listeners == 0)


def test_there_are_no_more_listeners_than_fit(serve, monkeypatch):
    monkeypatch.setattr(hub_module, "LISTENERS", 2)
    served = serve()
    with raw_listener(served), raw_listener(served):
        wait_until(lambda: served.publisher._hub.listeners == 2)
        refused = served.get("/api/v1/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        with pytest.raises(Exception, match="503"):
            connect(f"{served.url.replace('http', 'ws')}/api/v1/live")


def test_there_are_no_more_connections_than_fit(serve, monkeypatch):
    monkeypatch.setattr(protocol, "CONNECTIONS", 3)
    served = serve()
    address = ("127.0.0.1", served.publisher.port)
    lines = [socket.create_connection(address) for _ in range(6)]
    time.sleep(0.3)
    dropped = 0
    for line in lines:
        line.settimeout(0.3)
        try:
            dropped += line.recv(1) == b""
        except ConnectionResetError:
            dropped += 1
        except TimeoutError:
            pass
        line.close()
    assert dropped == 3


def drip(line):
    for _ in range(100):
        line.sendall(b"GET / HTTP/1.1\r\nx: ")
        time.sleep(0.05)


def test_who_never_finishes_a_head_is_dropped(serve, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    served = serve()
    with socket.create_connection(("127.0.0.1", served.publisher.port)) as line:
        line.settimeout(5)
        began = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            drip(line)
        assert time.monotonic() - began < 3
    with listen(served) as response:  # an answer that goes on is none of these
        time.sleep(0.6)
        served.tell(event())
        assert read_events(response, 2)[1][0] == "event"


def test_the_end_is_told_and_comes_quickly(serve):
    served = serve()
    with (
        listen(served) as response,
        connect(f"{served.url.replace('http', 'ws')}/api/v1/live") as line,
        raw_listener(served),
    ):
        wait_until(lambda: served.publisher._hub.listeners == 3)
        began = time.monotonic()
        served.publisher.stop()
        assert time.monotonic() - began < 1.5
        assert [name for name, _, _ in read_events(response, 99)] == ["info"]
        with pytest.raises(ConnectionClosed):
            deque(iter(lambda: line.recv(5), None), maxlen=0)


def test_the_engine_is_not_looked_at_for_each_who_asks(serve):
    served = serve()
    before = served.heart.looks
    began = time.monotonic()
    for _ in range(60):
        assert served.get("/api/v1/feeds").status_code == 200
    assert served.heart.looks - before <= (time.monotonic() - began) / 0.2 + 2


def test_a_feed_that_is_gone_leaves_nothing(serve):
    served = serve()
    served.tell(state(), state(feed="old"), event(feed="old"))
    wait_until(lambda: told(served) == 4)
    served.publisher.rearrange(info(), [type("F", (), {"id": "fm"})])
    wait_until(lambda: ("old", "state") not in served.publisher._hub._retained)
    assert ("fm", "state") in served.publisher._hub._retained
    assert 'feed="old"' not in served.get("/metrics").text


def test_a_fault_of_the_server_is_told_and_ends_nothing_else(serve, caplog):
    served = serve()
    publisher = served.publisher
    publisher._loop.call_soon_threadsafe(publisher._loop.stop)
    wait_until(lambda: not publisher._thread.is_alive())
    for number in range(3):
        served.tell(event(number), state())
    publisher.rearrange(info(), ())
    assert "has ended" in publisher.status()
    assert [each.levelname for each in caplog.records] == ["ERROR"]
