"""One line a change on a real pipe, a real terminal and a real socket."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from genred.messages import EventType, FeedEvent, FeedHealth, FeedState, NodeInfo
from genred.publishers import plain
from genred.publishers.plain import PlainPublisher

NINE = 1_769_850_000.25  # 2026-01-31T09:00:00.250Z
NODE = NodeInfo(
    feed="",
    ts=NINE,
    seq=1,
    version="0.1.0",
    model={"name": "compact"},
    labels=["jazz", "rock"],
    provider="cpu",
    started_at=NINE,
)


def event(kind=EventType.CHANGED, label="jazz", **more):
    values = {"confidence": 0.834, "start": NINE, "previous": "rock", "previous_seconds": 9.0}
    return FeedEvent(
        feed="kitchen",
        ts=NINE,
        seq=1,
        event_type=kind.value,
        label=label,
        kind="music",
        **(values | more),
    )


def health(status, error=""):
    return FeedHealth(feed="kitchen", ts=NINE, seq=1, status=status, last_error=error)


def written(*messages, environ=None, **options):
    """What a publisher writes to a pipe."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        publisher = PlainPublisher(stream, environ=environ or {}, **options)
        publisher.start(NODE, [])
        for message in messages:
            publisher.offer(message)
        publisher.stop()
    with os.fdopen(read) as stream:
        return stream.read().splitlines()


def test_a_change_is_one_line():
    assert written(event()) == ["2026-01-31T09:00:00.250Z kitchen changed rock -> jazz 0.83"]


def test_every_event_has_its_line():
    lines = written(
        event(EventType.STARTED, previous=None),
        event(EventType.CHANGED, title='Bill Evans "Trio"'),
        event(EventType.DEAD_AIR, "silence", confidence=1.0),
        event(EventType.RECOVERED, "silence", confidence=1.0),
        event(EventType.ENDED, end=NINE),
    )
    assert [line.removeprefix("2026-01-31T09:00:00.250Z kitchen ") for line in lines] == [
        "started jazz 0.83",
        'changed rock -> jazz 0.83 "Bill Evans "Trio""',
        "dead_air silence 1.00",
        "recovered silence 1.00",
        "ended jazz 0.83",
    ]


def test_a_source_that_comes_or_goes_has_its_line_once():
    lines = written(
        health("listening"),
        health("listening"),
        health("reconnecting", "refused\nby host"),
        health("reconnecting", "refused"),
        health("listening", "refused"),
        FeedState(feed="kitchen", ts=NINE, seq=1),
    )
    assert [line.split("kitchen ")[1] for line in lines] == [
        "source listening",
        "source reconnecting refused by host",
        "source listening",
    ]


def test_titles_cannot_write_on_the_terminal():
    (line,) = written(event(title="\x1b[2J\x1b]0;x\x07evil\nsecond line\u202e"))
    assert line.endswith('"evil second line"')


def test_json_lines_are_the_messages():
    state = FeedState(feed="kitchen", ts=NINE, seq=3, label="jazz", title="Ünïcode")
    first, second, third = map(json.loads, written(state, event(), json_lines=True))
    assert first == {"message": "info", **NODE.to_dict()}
    assert second == {"message": "state", **state.to_dict()}
    assert FeedEvent.from_dict(third) == event()


def on_terminal(environ):
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as stream:
            publisher = PlainPublisher(stream, environ=environ)
            publisher.start(NODE, [])
            publisher.offer(event())
            publisher.stop()
            return os.read(master, 4096).decode()
    finally:
        os.close(master)


def test_colour_is_for_terminals_and_not_with_no_color():
    assert "\x1b[1mjazz\x1b[0m" in on_terminal({})
    assert "\x1b" not in on_terminal({"NO_COLOR": "1"})
    assert "\x1b[1mjazz\x1b[0m" in on_terminal({"NO_COLOR": ""})  # empty is not set: no-color.org


def test_the_journal_gets_no_timestamps():
    ours, journal = socket.socketpair()
    with ours, journal, journal.makefile("w") as stream:
        found = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        publisher = PlainPublisher(stream, environ=environ)
        publisher.start(NODE, [])
        publisher.offer(event())
        publisher.stop()
        assert ours.recv(4096) == b"kitchen changed rock -> jazz 0.83\n"


def test_an_inherited_journal_does_not_count_for_a_file():
    (line,) = written(event(), environ={"JOURNAL_STREAM": "8:12345"})
    assert line.startswith("2026-")


def test_a_reader_that_goes_away_hurts_nobody():
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    publisher = PlainPublisher(stream, environ={})
    publisher.start(NODE, [])
    os.close(read)
    deadline = time.monotonic() + 10
    while not publisher.closed:
        publisher.offer(event())
        assert time.monotonic() < deadline
        time.sleep(0.01)
    publisher.offer(event())
    assert publisher.status() == "standard output closed"
    publisher.stop()
    stream.write("flushed into nothing")
    stream.close()


def test_a_reader_that_does_not_read_costs_the_oldest_lines_and_no_time(monkeypatch):
    monkeypatch.setattr(plain, "STOP_S", 0.2)
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    publisher = PlainPublisher(stream, environ={})
    publisher.start(NODE, [])
    slowest = 0.0
    for _ in range(5000):
        began = time.thread_time()
        publisher.offer(event(title="x" * 400))
        slowest = max(slowest, time.thread_time() - began)
    assert slowest < 0.05
    assert publisher.dropped > 0
    assert f"{publisher.dropped} lines dropped" in publisher.status()
    began = time.monotonic()
    thread = publisher._thread
    publisher.stop()
    assert time.monotonic() - began < 5
    os.close(read)  # the writer ends with its reader
    thread.join(10)
    assert not thread.is_alive()
    assert publisher.closed
    stream.close()


def test_a_stream_of_ascii_gets_other_letters_spelled_out(tmp_path):
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        publisher = PlainPublisher(stream, environ={})
        publisher.start(NODE, [])
        publisher.offer(event(title="日本"))
        publisher.stop()
    assert path.read_text().endswith('"\\u65e5\\u672c"\n')


SCRIPT = """
import sys, threading
from genred.publishers.plain import PlainPublisher
from test_plain import NODE, event

publisher = PlainPublisher(sys.stdout)
publisher.start(NODE, [])
waiting = threading.Event()
while not publisher.closed:
    publisher.offer(event())
    waiting.wait(0.001)
publisher.stop()
sys.stderr.write("still here")
"""


def test_a_daemon_piped_into_head_goes_on_and_ends_cleanly(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    shell = f"{sys.executable} {script} | head -n 2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, env=environ, check=True
    )
    *lines, code = done.stdout.splitlines()
    assert len(lines) == 2
    assert code == "0"
    assert done.stderr == "still here"


@pytest.mark.parametrize("json_lines", [False, True])
def test_stopping_without_starting_is_fine(json_lines):
    with Path(os.devnull).open("w") as stream:
        publisher = PlainPublisher(stream, json_lines=json_lines)
        publisher.stop()
        assert publisher.status() == "standard out"
