"""The same over Ray, on this machine alone; a worker is killed in the middle."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from shelf_data import FILES

pytest.importorskip("ray", reason="Ray comes with the extra `dev`")


def descendants(root):
    """Process ids and command lines of all that ``root`` started, and what those started."""
    children = {}
    names = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                names[int(entry.name)] = (entry / "cmdline").read_bytes().decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    found, left = {}, [root]
    while left:
        for child in children.get(left.pop(), []):
            found[child] = names.get(child, "")
            left.append(child)
    return found


def kill_a_worker(root, journal, killed):
    """As soon as something is done, end one of the actors."""
    while Path(f"/proc/{root}/exe").exists():
        done = journal.read_bytes().count(b"\n") if journal.exists() else 0
        if done >= 2:
            names = descendants(root)
            os.kill(next(pid for pid in names if "ray::Hearer" in names[pid]), signal.SIGKILL)
            killed.append(done)
            return
        time.sleep(0.01)


def lives(pid):
    """Is it there, and more than a line in the table of processes."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def short():
    """A folder whose path leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="g-") as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.timeout(400)  # Ray starts eight processes of its own: minutes on a laden machine
def test_each_file_has_one_row_though_a_worker_is_killed(shelf, tiny, tmp_path, short):
    out = tmp_path / "all.jsonl"
    journal = tmp_path / "all.jsonl.journal"
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    command = [sys.executable, "-m", "genred", "tag", shelf, "--model", tiny, "--out", out]
    killed = []
    with subprocess.Popen(
        [*command, "--engine", "ray", "--workers", "2"],
        env=environ | {"TMPDIR": short},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        killer = threading.Thread(target=kill_a_worker, args=(process.pid, journal, killed))
        killer.start()
        ours = set()
        while process.poll() is None:
            ours |= descendants(process.pid).keys()
            time.sleep(0.5)
        said = process.stderr.read()
        killer.join()
    assert process.returncode == 66, said
    assert killed
    assert killed[0] < FILES, "all was done before a worker could be killed"
    assert f"2 of {FILES + 2} could not be heard" in said
    assert not re.search(r"Traceback|Warning|ray\.io", said), said
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["path"] for row in rows] == sorted(map(str, shelf.rglob("*.wav")))
    assert journal.read_bytes().count(b"\n") == FILES
    # Nothing stays behind: no process, no folder.
    limit = time.monotonic() + 30
    while alive := [pid for pid in ours if lives(pid)]:
        assert time.monotonic() < limit, alive
        time.sleep(0.1)
    assert os.listdir(short) == []  # noqa: PTH208
