"""Kills writers of one history, a hundred times, and looks at what they left: see test_history.py.

Each writer is a fork of this process: it tells events as fast as it can and, once the recorder
says that all are on the disk, acknowledges the last of them on a pipe. Some writers find an empty
folder, or a file of an older schema, so that making and migrating it are killed too.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

from genred.history.recorder import Recorder
from genred.history.schema import MIGRATIONS
from genred.history.store import Store
from genred.messages import FeedEvent, FeedState, NodeInfo

TIMES = 100
EXTRA = "ALTER TABLE runs ADD COLUMN extra TEXT; CREATE INDEX e ON events (seq)"


def node(number):
    return NodeInfo(
        feed="", ts=number, seq=1, version="0", model={}, labels=[], provider="", started_at=number
    )


def write_for_ever(path, number, pipe, migrations):
    recorder = Recorder(Store(path, 1e10, 2_000_000, migrations), "kill")
    recorder.start(node(number))
    for seq in range(1, 1_000_000):
        at = number * 1000.0 + seq / 10
        kind = "started" if seq == 1 else "changed"
        before = {} if seq == 1 else {"previous": str(seq - 1), "previous_seconds": 0.1}
        what = {"feed": "fm", "ts": at, "seq": seq, "label": str(seq), "kind": "music"}
        recorder.offer(FeedEvent(**what, event_type=kind, confidence=0.5, start=at, **before))
        recorder.offer(FeedState(**what, confidence=0.5, since=at))
        if seq % 7 == 0 or seq == 1:
            assert recorder.flush(30)
            os.write(pipe, b"%d\n" % seq)


def kill_one(path, number, dice):
    if number % 10 == 1:
        for each in path.parent.glob("*"):
            each.unlink()
    migrations = MIGRATIONS if number % 10 in range(1, 6) else (*MIGRATIONS, EXTRA)
    back, pipe = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(back)
            write_for_ever(path, number, pipe, migrations)
        finally:
            os._exit(1)
    os.close(pipe)
    # One half are killed while they make, migrate or open the file, the other while they write.
    first = os.read(back, 64) if number % 2 else b""
    time.sleep(dice.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(back) as told:
        lines = (first.decode() + told.read()).split("\n")[:-1]
    acknowledged = int(lines[-1]) if lines else 0
    assert os.WTERMSIG(status) == signal.SIGKILL, "the writer ended by itself"
    kept = 0
    if path.exists() and path.stat().st_size:
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        assert version in (0, 1, len(migrations)), version
        if version:
            found = db.execute(
                "SELECT seq FROM events WHERE run = (SELECT id FROM runs WHERE started = ?)",
                (number,),
            ).fetchall()
            assert sorted(found) == [(seq,) for seq in range(1, len(found) + 1)]
            kept = len(found)
            on = db.execute("SELECT count(*) FROM segments WHERE until IS NULL").fetchone()[0]
            assert on <= 1
        db.close()
    assert kept >= acknowledged, f"{acknowledged} acknowledged, {kept} there"
    return acknowledged, kept


def main():
    path = Path(sys.argv[1])
    dice = random.Random(int(sys.argv[2]))
    results = [kill_one(path, number, dice) for number in range(1, TIMES + 1)]
    last = Recorder(Store(path, 1e10, 2_000_000, (*MIGRATIONS, EXTRA)), "kill")
    last.start(node(TIMES + 1))
    assert last.flush(10)
    last.stop()
    db = sqlite3.connect(path)
    on = db.execute("SELECT count(*) FROM segments WHERE until IS NULL").fetchone()[0]
    cut = db.execute("SELECT count(*) FROM segments WHERE cut").fetchone()[0]
    events = db.execute("SELECT count(*) FROM events").fetchone()[0]
    db.close()
    print(
        json.dumps(
            {
                "killed": len(results),
                "acknowledged": sum(told for told, _ in results),
                "kept": sum(kept for _, kept in results),
                "silent": sum(not told for told, _ in results),
                "on": on,
                "cut": cut,
                "events": events,
            }
        )
    )


if __name__ == "__main__":
    main()
