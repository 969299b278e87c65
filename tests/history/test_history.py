"""The history on a real disk: what is told is kept, whatever becomes of the writer or the disk."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from genred.errors import AccessError, ConfigError, InputError
from genred.history.place import looked_for, written_to
from genred.history.reader import Reader
from genred.history.recorder import STOP_S, Recorder
from genred.history.report import report
from genred.history.rows import PARTS
from genred.history.schema import APPLICATION_ID, MIGRATIONS
from genred.history.store import DAY_S, Store
from genred.settings.history import HistorySettings
from rigs import clips
from rigs.messages import event, info, state
from rigs.ports import wait_until

T = 1_000_000_000.0
"""When the programme of these tests begins."""


class SetClock:
    def __init__(self, now=T):
        self.time = now

    def now(self):
        return self.time

    def monotonic(self):
        return time.monotonic()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "history.sqlite3"


@pytest.fixture
def public():
    """A folder that every user reaches: those of pytest are its own user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def record(path):
    """Makes recorders that have begun, and ends them."""
    made = []

    def make(days=90.0, megabytes=10.0, now=T):
        recorder = Recorder(
            Store(path, days * DAY_S, int(megabytes * 1e6)), "studio", SetClock(now)
        )
        recorder.start(info(started_at=now + len(made)))
        made.append(recorder)
        return recorder

    yield make
    for each in made:
        each.stop()


def change(seq, at, label, previous, lasted, **more):
    return event(
        seq,
        ts=T + at + 1,
        start=T + at,
        label=label,
        previous=previous,
        previous_seconds=float(lasted),
        **more,
    )


def programme():
    """Two minutes: jazz, rock, dead air within silence, rock again, and then it goes away."""
    return [
        event(1, "started", ts=T + 1, start=T, label="jazz", title="So What"),
        change(2, 40, "rock", "jazz", 40),
        change(3, 60, "silence", "rock", 20, kind="silence"),
        event(4, "dead_air", ts=T + 70, start=T + 60, label="silence", kind="silence"),
        event(5, "recovered", ts=T + 81, start=T + 80, label="silence", kind="silence"),
        change(6, 80, "rock", "silence", 20),
        event(7, "ended", ts=T + 120, start=T + 80, end=T + 120, label="rock", confidence=0.75),
    ]


def told(recorder, *messages):
    for message in messages:
        recorder.offer(message)
    assert recorder.flush(20)


def test_what_played_when_and_how_the_air_time_was_shared(record, path):
    recorder = record()
    told(recorder, *programme())
    reader = Reader(path)
    played = reader.segments("fm", T, T + 200)
    assert [(each.label, each.start - T, each.end - T) for each in played] == [
        ("jazz", 0, 40),
        ("rock", 40, 60),
        ("silence", 60, 80),
        ("rock", 80, 120),
    ]
    assert played[0].title == "So What"
    assert played[-1].confidence == 0.75
    assert not any(each.on or each.cut for each in played)
    assert [(each.start - T, each.end - T) for each in reader.dead_air(None, 0, 2 * T)] == [
        (60, 80)
    ]
    shares = reader.shares("fm", T, T + 120)
    assert [(each.label, each.seconds, each.times) for each in shares] == [
        ("rock", 60, 2),
        ("jazz", 40, 1),
        ("silence", 20, 1),
    ]
    assert sum(each.share for each in shares) == pytest.approx(1)
    assert reader.shares("fm", T + 30, T + 50)[0].share == 0.5  # cut to the span
    hour = T // 3600 * 3600
    assert reader.changes_per_hour("fm", T, T + 120) == [(hour, 3)]
    assert reader.changes_per_hour("am", T, T + 120) == [(hour, 0)]
    assert [each.event_type for each in reader.events("fm", T, T + 200)] == [
        *("started", "changed", "changed", "dead_air", "recovered", "changed", "ended")
    ]
    assert [each.ts for each in reader.events(None, T, T + 200, limit=1)] == [T + 120]
    assert reader.feeds() == ("fm",)
    assert reader.span() == (T, T + 120)
    assert reader.segments("fm", T + 120, T + 200) == []


def test_what_is_on_reaches_to_the_newest_state_and_moves_with_the_clock(record, path):
    recorder = record()
    told(recorder, event(1, "started", ts=T + 1, start=T, label="jazz", confidence=0.6))
    told(recorder, event(7, "dead_air", ts=T + 9, start=T + 5, label="silence"))
    recorder.offer(state(label="jazz", ts=T + 31, since=T, confidence=0.8, title="Naima"))
    recorder.offer(state(label="jazz", ts=T + 90, since=T + 29, confidence=0.8))
    wait_until(lambda: Reader(path).segments("fm", T, T + 99)[0].end == T + 90)
    (jazz,) = Reader(path).segments("fm", T, T + 99)
    assert jazz.on
    assert jazz.start == T + 29
    (dead,) = Reader(path).dead_air("fm", T, T + 99)
    assert (dead.on, dead.start) == (True, T + 5 + 29)
    assert jazz.confidence == pytest.approx(0.7, abs=0.04)
    recorder.offer(state(label="rock", ts=T + 95, since=T))  # not what is on: an older word
    told(recorder, change(2, 100, "rock", "jazz", 71))
    jazz, rock = Reader(path).segments("fm", T, T + 200)
    assert (jazz.on, jazz.start, jazz.end, rock.on) == (False, T + 29, T + 100, True)


def test_a_segment_open_at_a_kill_is_closed_where_it_was_last_heard(path):
    child = os.fork()
    if not child:
        recorder = Recorder(Store(path, 1e9, 10_000_000), "studio", SetClock())
        recorder.start(info())
        recorder.offer(event(1, "started", ts=T + 1, start=T, label="jazz"))
        recorder.offer(event(2, "dead_air", ts=T + 20, start=T + 10, label="silence"))
        recorder.flush(20)
        recorder.offer(state(label="jazz", ts=T + 25, since=T, dead_air=True))
        wait_until(lambda: Reader(path).segments("fm", T, T + 99)[0].end == T + 25)
        os.kill(os.getpid(), 9)
    assert os.waitpid(child, 0)[1] == 9
    (before,) = Reader(path).segments("fm", T, T + 99)
    assert before.on
    recorder = Recorder(Store(path, 1e9, 10_000_000), "studio", SetClock(T + 500))
    recorder.start(info(started_at=T + 500))
    told(recorder, event(1, "started", ts=T + 501, start=T + 500, label="rock"))
    recorder.stop()
    jazz, rock = Reader(path).segments("fm", T, T + 999)
    assert (jazz.on, jazz.cut, jazz.end) == (False, True, T + 25)
    assert (rock.on, rock.cut) == (True, False)  # it ended without a word of an end
    (dead,) = Reader(path).dead_air("fm", T, T + 999)
    assert (dead.end, dead.cut) == (T + 25, True)


def test_a_writer_killed_a_hundred_times_loses_nothing_it_acknowledged(path):
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, str(script), str(path), "7"],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["killed"] == 100
    assert result["acknowledged"] > 100
    assert result["kept"] >= result["acknowledged"]
    assert result["on"] == 0
    assert result["events"] > 0


def test_the_same_word_twice_is_kept_once(path):
    store = Store(path, 1e9, 10_000_000)
    store.open()
    store.write(info(), "studio", programme()[:4], [], now=T)
    store.close()  # as after a fault: nobody knows whether it was kept
    store.open()
    store.write(info(), "studio", programme(), [], now=T)
    store.end()
    assert len(Reader(path).events(None, 0, 2 * T)) == 7
    assert len(Reader(path).segments(None, 0, 2 * T)) == 4


def test_a_change_tells_the_segment_before_it_too(record, path):
    """Events may be lost while a disk is full for long; what follows still says what was."""
    told(
        record(),
        event(1, "started", ts=T, start=T, label="rock", kind="music"),
        change(2, 10, "jazz", "rock", 10),
        change(9, 100, "speech", "rock", 30, kind="speech"),
    )
    played = Reader(path).segments("fm", T, T + 200)
    assert [(each.label, each.kind, each.start - T, each.end - T, each.cut) for each in played] == [
        ("rock", "music", 0, 10, False),
        ("jazz", "music", 10, 11, True),
        ("rock", "music", 70, 100, False),
        ("speech", "speech", 100, 101, False),
    ]


def test_a_full_disk_is_told_once_and_written_to_again(tmp_path, caplog):
    caplog.set_level("INFO", "genred.history")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "x", disk], check=False).returncode:
        pytest.skip("may not mount a small disk")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(700_000))
        recorder = Recorder(Store(disk / "h.sqlite3", 1e9, 50_000_000), "studio")
        recorder.start(info())
        seq = 0
        deadline = time.monotonic() + 30
        while not caplog.records:
            assert time.monotonic() < deadline
            for _ in range(500):
                seq += 1
                recorder.offer(event(seq, "started", ts=T + seq, start=T + seq, title="x" * 200))
            recorder.flush(1)
        assert "disk is full" in recorder.status()
        more = seq + 10
        for number in range(seq + 1, more + 1):
            recorder.offer(event(number, "started", ts=T + number, start=T + number))
        assert not recorder.flush(1.5)
        assert len(caplog.records) == 1
        assert "listening goes on, trying again" in caplog.text
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        assert recorder.flush(20)
        assert caplog.records[-1].getMessage() == "history: written again, 0 events lost"
        recorder.stop()
        kept = [each.ts - T for each in Reader(disk / "h.sqlite3").events(None, 0, 2 * T)]
        assert kept == list(range(1, more + 1))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_takes_nothing_holds_nobody_up_and_is_found_again(
    tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("genred.history.recorder.QUEUE", 5)
    (tmp_path / "file").write_text("no folder")
    store = Store(tmp_path / "file" / "h.sqlite3", 1e9, 10_000_000)
    recorder = Recorder(store, "studio")
    recorder.start(info())
    wait_until(lambda: caplog.records)
    for seq in range(1, 9):
        recorder.offer(event(seq, "started", ts=T + seq, start=T + seq))
    assert recorder.lost == 3
    (tmp_path / "file").unlink()
    assert recorder.flush(20)
    recorder.stop()
    assert [each.ts - T for each in Reader(store.path).events(None, 0, 2 * T)] == [4, 5, 6, 7, 8]


def test_a_disk_that_hangs_holds_nobody_up(path, monkeypatch):
    hanging, go_on = threading.Event(), threading.Event()

    class Hanging(Store):
        def write(self, *args, **named):
            hanging.set()
            go_on.wait(60)
            super().write(*args, **named)

    recorder = Recorder(Hanging(path, 1e10, 10_000_000), "studio")
    recorder.start(info())
    assert hanging.wait(20)
    began = time.thread_time()
    for seq in range(1, 1001):
        recorder.offer(event(seq, "started", ts=T + seq, start=T + seq))
        recorder.offer(state(seq, since=T))
    assert time.thread_time() - began < 0.5
    began = time.monotonic()
    assert not recorder.flush(0.1)
    recorder.stop()
    assert time.monotonic() - began < STOP_S + 1
    go_on.set()
    wait_until(lambda: len(Reader(path).events(None, 0, 2 * T)) == 1000)  # nothing is thrown away


def test_a_fault_of_its_own_is_told_and_stays_there(path, monkeypatch, caplog):
    monkeypatch.setattr(Store, "write", lambda *_, **__: 1 / 0)
    recorder = Recorder(Store(path, 1e10, 10_000_000), "studio")
    recorder.start(info())
    wait_until(lambda: caplog.records)
    assert "the history has ended" in caplog.text
    recorder.offer(event())
    assert not recorder.flush(5)
    assert recorder.status() == "history: nothing is kept: a fault in genred"
    recorder.stop()


def test_a_file_taken_away_or_damaged_is_begun_anew(record, path, caplog):
    recorder = record()
    told(recorder, programme()[0])
    path.unlink()
    told(recorder, change(2, 40, "rock", "jazz", 40))
    assert [each.label for each in Reader(path).segments("fm", T, T + 99)] == ["jazz", "rock"]
    recorder.stop()
    page = 4096
    damaged = bytearray(path.read_bytes())
    damaged[page : 40 * page] = b"\xa5" * (len(damaged) - page)  # all but the first page
    path.write_bytes(damaged)
    recorder = record()
    told(recorder, programme()[0])
    assert "begun anew" in caplog.text
    assert [each.label for each in Reader(path).segments("fm", T, T + 99)] == ["jazz"]
    assert path.with_name(path.name + ".damaged").exists()


def test_it_is_bounded_by_age_and_by_size(record, path):
    recorder = record(days=1, now=T)
    told(recorder, *programme())
    recorder.stop()
    recorder = record(days=1, now=T + 86400 + 100)
    told(recorder, event(1, "started", ts=T + 86500, start=T + 86500, label="jazz"))
    recorder.stop()
    played = Reader(path).segments("fm", 0, 2 * T)
    assert [(each.label, each.start - T) for each in played] == [("rock", 80), ("jazz", 86500)]
    recorder = record(days=1000, megabytes=1.0)
    for seq in range(1, 8001):
        recorder.offer(change(seq, 1e6 + seq, str(seq), str(seq - 1), 1, title="x" * 60))
        if seq % 1000 == 0:
            assert recorder.flush(30)
            assert path.stat().st_size <= 1_000_000
    recorder.stop()
    labels = [each.label for each in Reader(path).segments("fm", 0, 2 * T)]
    assert labels[-1] == "8000"
    assert labels == [str(seq) for seq in range(8001 - len(labels), 8001)]  # the oldest went
    assert len(labels) > 1000
    # Less than there is already.
    told(record(days=1000, megabytes=0.6), change(1, 2e6, "last", "8000", 1))
    assert path.stat().st_size <= 600_000
    assert Reader(path).segments("fm", 0, 2 * T)[-1].label == "last"


def test_a_second_writer_waits_for_the_first(record, path, caplog):
    first = record()
    told(first, programme()[0])
    second = record()
    wait_until(lambda: "another genred writes" in caplog.text)
    assert Reader(path).segments("fm", T, T + 99)[0].on  # not taken for a killed one's
    first.stop()
    told(second, event(1, "started", ts=T + 50, start=T + 50, label="rock"))
    assert [each.label for each in Reader(path).segments("fm", T, T + 99)] == ["jazz", "rock"]


def test_newer_and_foreign_files_are_refused_in_one_line_and_left_as_they_are(record, path, caplog):
    told(record(), *programme())
    path.parent.joinpath("x").touch()
    record().stop()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(ConfigError, match=r"newer genred.*update genred"):
        Reader(path).feeds()
    store = Store(path, 1e9, 1e9)
    store._lock = -1  # the first recorder holds it
    with pytest.raises(ConfigError, match="newer genred"):
        store.open()
    for content in (b"a letter, and no database of any kind", None):
        other = path.with_name("other")
        other.unlink(missing_ok=True)
        if content is None:
            db = sqlite3.connect(other)
            db.execute("CREATE TABLE mine (x)")
            db.commit()
            db.close()
        else:
            other.write_bytes(content)
        before = other.read_bytes()
        caplog.clear()
        recorder = Recorder(Store(other, 1e9, 10_000_000), "studio")
        recorder.start(info())
        wait_until(lambda: caplog.records)
        recorder.offer(programme()[0])
        assert not recorder.flush(1)
        assert "no history of genred's" in caplog.records[0].getMessage()
        recorder.stop()
        assert other.read_bytes() == before


def test_a_file_of_an_older_schema_is_brought_up_to_date(path):
    store = Store(path, 1e9, 10_000_000)
    store.open()
    store.write(info(), "studio", programme(), [], now=T)
    store.end()
    newer = (
        *MIGRATIONS,
        "ALTER TABLE segments ADD COLUMN note TEXT; UPDATE segments SET note = ''",
    )
    store = Store(path, 1e9, 10_000_000, newer)
    store.open()
    store.end()
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM segments WHERE note = ''").fetchone() == (4,)
    assert db.execute("PRAGMA user_version").fetchone() == (len(newer),)
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    db.close()


def test_nobody_else_may_read_it_and_readers_need_not_write(public):
    path = public / "state" / "history.sqlite3"
    recorder = Recorder(Store(path, 1e10, 10_000_000), "studio", SetClock())
    recorder.start(info())
    told(recorder, *programme())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name(path.name + "-wal").stat().st_mode & 0o777 == 0o600
    recorder.stop()
    assert not path.with_name(path.name + "-wal").exists()
    path.parent.chmod(0o555)
    path.chmod(0o444)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from genred.history.reader import Reader\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(len(Reader(Path(sys.argv[1])).segments(None, 0, 2e9)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "4\n", done.stderr
    path.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert AccessError.__name__ in done.stderr
    with pytest.raises(InputError, match="no history there"):
        Reader(public / "none").feeds()


def test_root_may_look_while_the_daemon_is_stopped_and_it_starts_again(public):
    """What SQLite leaves there when root has read must not be root's."""
    if os.geteuid():
        pytest.skip("is about root")
    path = public / "state" / "history.sqlite3"
    path.parent.mkdir()
    os.chown(path.parent, 65534, 65534)

    def as_nobody(started):
        child = os.fork()
        if not child:
            os.setgid(65534)
            os.setuid(65534)
            recorder = Recorder(Store(path, 1e10, 10_000_000), "studio", SetClock())
            recorder.start(info(started_at=started))
            recorder.offer(programme()[0])
            kept = recorder.flush(20)
            recorder.stop()
            os._exit(0 if kept else 1)
        return os.waitpid(child, 0)[1]

    assert as_nobody(T) == 0
    assert len(Reader(path).segments(None, 0, 2 * T)) == 1
    assert as_nobody(T + 9) == 0
    assert len(Reader(path).segments(None, 0, 2 * T)) == 2


def test_the_daemon_keeps_all_that_it_tells_others(genred, tmp_path):
    silence = np.zeros(12 * clips.RATE, np.float32)
    parts = [clips.style("speech", 10), clips.style("rain", 10), silence, clips.style("static", 8)]
    clip = clips.write_wav(tmp_path / "programme.wav", np.concatenate(parts))
    done = genred("run", "--source", clip, "--fast", "--json", STATE_DIRECTORY=str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    told = [each for each in told if each["message"] == "event"]
    assert {"started", "changed", "dead_air", "recovered", "ended"} <= {
        each["event_type"] for each in told
    }
    reader = Reader(tmp_path / "history.sqlite3")
    kept = list(PARTS["events"].rows(report(reader, "programme", 0, 2e10)))
    for row, one in zip(kept, told, strict=True):
        assert row == {key: one[key] for key in row}
    played = reader.segments("programme", 0, 2e10)
    assert not any(each.cut or each.on for each in played)
    for one, following in pairwise(played):
        assert one.end == pytest.approx(following.start, abs=0.01)
    assert [each.label for each in played] == [
        each["label"] for each in told if each["event_type"] in ("started", "changed")
    ]
    assert played[-1].end - played[0].start == pytest.approx(40, abs=1)
    (dead,) = reader.dead_air("programme", 0, 2e10)
    assert dead.seconds == pytest.approx(12, abs=1)


def test_where_it_lies():
    auto, on = HistorySettings(), HistorySettings(enabled="on")
    service = {"STATE_DIRECTORY": "/var/lib/genred:/var/lib/other", "HOME": "/home/me"}
    assert written_to(auto, service) == Path("/var/lib/genred/history.sqlite3")
    assert written_to(auto, {"HOME": "/home/me"}) is None
    home = Path("/home/me/.local/state/genred/history.sqlite3")
    assert written_to(on, {"HOME": "/home/me", "XDG_STATE_HOME": "relative"}) == home
    assert written_to(on, {"XDG_STATE_HOME": "/s"}) == Path("/s/genred/history.sqlite3")
    assert written_to(HistorySettings(path="/x"), {}) == Path("/x")
    assert written_to(HistorySettings(path="/x", enabled="off"), service) is None
    assert looked_for(auto, {"HOME": "/home/me"}) == (home, Path("/var/lib/genred/history.sqlite3"))
