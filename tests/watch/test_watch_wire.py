"""Views over the local socket: what is seen there is what the daemon has."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.fakeviews import NOON, node
from dashboard.fakeviews import feed as fake_feed
from genred.clock import SystemClock
from genred.dashboard.cells import Ink
from genred.dashboard.layout import render
from genred.errors import AccessError, UnavailableError
from genred.settings.dashboard import DashboardSettings
from genred.views import FeedView, NodeView
from genred.watch.local import Link, LocalSight
from genred.watch.server import BACKLOG_BYTES, WATCHERS, WatchServer
from genred.watch.sight import OFFLINE
from genred.watch.wire import KEPT_FRAMES, Decoder, WireError, encode
from rigs.ports import wait_until

RATE = 64.0
SETTINGS = DashboardSettings(frames_per_second=10)


def logmel(seconds, until=NOON, mels=64):
    """Frames that tell their time: the same moment looks the same in every view of it."""
    count = round(seconds * RATE)
    number = round(until * RATE) - count + np.arange(count)
    return ((number[:, None] * 31 + np.arange(mels) * 7) % 997 / 100 - 5).astype(np.float32)


def feed(name="kitchen", **what):
    """A feed whose hops hold whole frames, as those of all models do."""
    return replace(fake_feed(name, **{"logmel": logmel(8.0), **what}), frame_rate=RATE)


def same(seen: NodeView, shown: NodeView):
    """All that is seen is as it is shown; the log-mel as exactly as half floats are."""
    for each in fields(NodeView):
        if each.name != "feeds":
            assert getattr(seen, each.name) == getattr(shown, each.name), each.name
    assert [one.id for one in seen.feeds] == [one.id for one in shown.feeds]
    for one, other in zip(seen.feeds, shown.feeds, strict=True):
        for each in fields(FeedView):
            if each.name != "logmel":
                assert getattr(one, each.name) == getattr(other, each.name), each.name
        frames = min(len(one.logmel), len(other.logmel))
        assert frames or not len(other.logmel)
        if frames:
            np.testing.assert_allclose(
                one.logmel[-frames:], other.logmel[-frames:], rtol=1e-3, atol=2e-3
            )


steps = st.lists(
    st.sampled_from(["hop", "still", "label", "gap", "set", "back", "more", "fewer", "silence"]),
    max_size=12,
)


@given(steps, st.integers(1, 4))
@settings(max_examples=12, deadline=None)
def test_a_view_by_its_changes_is_the_view(path, count):
    now, known = NOON, [f"feed{at}" for at in range(count)]
    label, length, before, decoder = "jazz", 3.0, None, Decoder()
    for step in ["still", *path]:
        now += {"hop": 0.25, "set": 3600.0, "back": -50.0}.get(step, 0.0)
        label = "rock" if step == "label" else label
        length = 1.0 if step == "gap" else 0.0 if step == "silence" else length
        known = [*known, f"new{len(known)}"] if step == "more" else known
        known = known[1:] if step == "fewer" and len(known) > 1 else known
        view = node(
            *(feed(each, now=now, label=label, logmel=logmel(length, now)) for each in known),
            now=now,
        )
        line = encode(view, before)
        assert line.count(b"\n") == 1
        same(decoder.take(line), view)
        before = view


def test_a_line_says_what_is_new_alone():
    first = node(feed(logmel=logmel(26.0)))
    after = node(feed(now=NOON + 0.25, logmel=logmel(26.0, NOON + 0.25)), now=NOON + 0.25)
    changed = encode(after, first)
    frames = round(0.25 * RATE) * 64 * 2 * 4 / 3
    assert len(changed) < frames + 2500 < len(encode(first, None)) / 20
    told = json.loads(changed)["feeds"][0]
    assert "events" not in told or told["events"][0]["ts"]
    assert "source" not in told
    decoder = Decoder()
    decoder.take(encode(first, None))
    view, before = after, first
    for hop in range(1, 60):
        now = NOON + hop * 0.25
        view = node(feed(now=now, logmel=logmel(26.0, now)), now=now)
        seen = decoder.take(encode(view, before))
        before = view
    assert len(seen.feeds[0].logmel) == KEPT_FRAMES
    assert list(render(seen, 80, 24).lines(Ink.COLOUR))


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"[]", b"7", b'{"genred":2}', b'{"genred":1}'),
        b'{"genred":1,"node":"x","feeds":[{}]}',
        encode(node(feed()), None).replace(b'"mels":64', b'"mels":0'),
        encode(node(feed()), None).replace(b'"data":"', b'"data":"\\u00e9'),
    ],
)
def test_what_is_no_view_is_said_to_be_none(line):
    with pytest.raises(WireError):
        Decoder().take(line)


@pytest.fixture
def shown(tmp_path):
    """A server with what it shows: a list whose last view is the present one."""
    views = [node(feed())]
    looks = []

    def view():
        looks.append(time.monotonic())
        return views[-1]

    server = WatchServer(tmp_path / "watch.sock", view, SETTINGS)
    assert server.start()
    yield server, views, looks
    server.stop()
    assert not (tmp_path / "watch.sock").exists()


@pytest.fixture
def link(shown):
    server, _, _ = shown
    made = Link(server.path, SystemClock())
    made.connect()
    made.start()
    yield made
    made.stop()


def test_a_watcher_sees_what_changes(shown, link):
    server, views, looks = shown
    wait_until(lambda: link.name == "kitchen-pi")
    same(link.view(), views[0])
    assert link.notice() == ""
    for label in ("rock", "speech", "blues"):
        now = views[-1].clock + 1
        views.append(node(feed(now=now, label=label), now=now))
        wait_until(lambda: link.view().feeds[0].state.label == label)  # noqa: B023 - at once
    assert server.path.stat().st_mode & 0o777 == 0o660
    link.stop()
    wait_until(lambda: not server._watchers)
    time.sleep(0.3)
    looked = len(looks)
    time.sleep(0.5)
    assert len(looks) == looked  # nobody watches: nobody looks


def test_it_looks_no_oftener_than_a_dashboard_and_costs_little(shown, link):
    _, _, looks = shown
    wait_until(lambda: link.name == "kitchen-pi")
    looks.clear()
    others = [Link(link.path, SystemClock()) for _ in range(3)]
    for each in others:
        each.connect()
        each.start()
    time.sleep(1.5)
    for each in others:
        assert each.name == "kitchen-pi"
        each.stop()
    assert len(looks) <= 1.5 * SETTINGS.frames_per_second + len(others) + 2


def test_a_watcher_that_does_not_read_is_sent_away_and_the_others_see_on(shown, link, caplog):
    caplog.set_level("INFO", "genred.watch")
    server, views, _ = shown
    lazy = socket.socket(socket.AF_UNIX)
    lazy.connect(str(server.path))
    lazy.sendall(b"whatever it says, nobody minds\n" * 100)
    deadline = time.monotonic() + 30
    while server.dropped == 0:
        assert time.monotonic() < deadline
        assert all(len(each.waiting) < 2 * BACKLOG_BYTES for each in list(server._watchers))
        now = views[-1].clock + 3600  # all of the picture, again and again
        views.append(node(*(feed(f"feed{at}", now=now) for at in range(4)), now=now))
        time.sleep(0.05)
    lazy.close()
    assert "does not read" in caplog.text
    wait_until(lambda: link.view().clock == views[-1].clock)
    assert link.notice() == ""


def test_there_is_room_for_so_many(shown):
    server, _, _ = shown
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(WATCHERS + 3)]
    for each in sockets:
        each.settimeout(10)
        each.connect(str(server.path))
    served = [each.recv(1) for each in sockets]
    assert served.count(b"{") == WATCHERS
    assert served.count(b"") == 3
    for each in sockets:
        each.close()


def test_a_daemon_that_ends_hangs_or_talks_nonsense_is_told_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setattr("genred.watch.local.SILENT_S", 1.5)
    path = tmp_path / "watch.sock"
    hang = threading.Event()
    hang.set()

    def view():
        hang.wait(20)
        return node(feed(dead_air=True, label="silence"))

    server = WatchServer(path, view, SETTINGS)
    server.start()
    sight = LocalSight([path, tmp_path / "other.sock"])
    sight.start()
    (name, other) = sight.nodes()
    wait_until(lambda: sight.view(name).node == "kitchen-pi")
    assert sight.view(name).feeds[0].state.dead_air
    wait_until(lambda: "no such file" in sight.notice(other))
    assert sight.view(other).feeds == ()
    hang.clear()
    wait_until(lambda: "no word for" in sight.notice(name))
    assert sight.view(name).feeds[0].health.status == OFFLINE
    hang.set()
    wait_until(lambda: sight.notice(name) == "")
    server.stop()
    wait_until(lambda: "trying again" in sight.notice(name))
    seen = sight.view(name).feeds[0]
    assert seen.health.status == OFFLINE
    assert not seen.state.dead_air
    assert seen.health.last_error.startswith("the daemon is away, last heard ")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    talker, _ = listener.accept()
    talker.sendall(b"HTTP/1.1 400 Bad Request\r\n")
    wait_until(lambda: "not understood" in sight.notice(name))
    talker.close()
    listener.close()
    server = WatchServer(path, view, SETTINGS)  # over what is left of the last one
    assert server.start()
    wait_until(lambda: sight.notice(name) == "")
    assert sight.view(name).feeds[0].state.dead_air
    server.stop()
    sight.stop()


def test_a_living_socket_and_other_files_are_left_alone(shown, tmp_path, caplog):
    server, _, _ = shown
    second = WatchServer(server.path, node, SETTINGS)
    assert not second.start()
    second.stop()
    assert "nobody can watch at" in caplog.text
    assert server.path.exists()
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, tmp_path / "none" / "x.sock", tmp_path / ("long" * 40)):
        third = WatchServer(path, node, SETTINGS)
        assert not third.start()
        third.stop()
    assert file.read_text() == "mine"


def test_who_cannot_watch_is_told_why(tmp_path):
    with pytest.raises(UnavailableError, match=r"no daemon at .*no such file"):
        LocalSight([tmp_path / "none.sock"]).start()
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from genred.clock import SystemClock\n"
        "from genred.watch.local import Link\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "Link(Path(sys.argv[1]), SystemClock()).connect()"
    )
    # Not below a folder of pytest's, which are its own user's alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = WatchServer(Path(folder) / "watch.sock", node, SETTINGS)
        assert server.start()
        done = subprocess.run(
            [sys.executable, "-c", script, str(server.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        server.stop()
    assert AccessError.__name__ in done.stderr
    assert "may not be watched" in done.stderr
