"""The simulated day, small: every event arrives once, and skipping what stands still is sound."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import simulated_day


@pytest.fixture(scope="module")
def recordings():
    return simulated_day.record()


class Kept:
    """A publisher that keeps everything."""

    def __init__(self):
        self.messages = []

    def offer(self, message):
        self.messages.append(message)


def events(recordings, *, skip):
    ids = [f"station-{n}" for n in range(6)]
    kept = Kept()
    node = simulated_day.Node(ids, kept, recordings, 3, 120.0, skip=skip)
    node.until(900.0)
    found = [each for each in kept.messages if each.topic == "event"]
    return node.decisions, sorted(
        (each.feed, each.seq, each.event_type, each.label, each.previous, round(each.start, 2))
        for each in found
    )


def test_skipping_what_stands_still_tells_nearly_the_same(recordings):
    judged, short = events(recordings, skip=True)
    everything, whole = events(recordings, skip=False)
    assert everything > 0.95 * 6 * 900 * 4
    assert judged < everything / 2
    # Of a style that the model is not sure of more may be said the longer one listens.
    starts = [{(each[0], each[3], each[5]) for each in told} for told in (short, whole)]
    assert len(starts[0] & starts[1]) > 0.9 * max(len(short), len(whole))
    assert {each[2] for each in short} == {each[2] for each in whole} >= {"started", "changed"}


@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")
def test_a_small_day_loses_nothing(tmp_path):
    report_file = tmp_path / "report.json"
    command = [sys.executable, simulated_day.__file__, "--feeds", "60", "--nodes", "2"]
    command += ["--hours", "0.5", "--programme-minutes", "3", "--heartbeat", "600"]
    done = subprocess.run(
        [*command, "--record", str(report_file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(report_file.read_text())
    offered, received = report["offered"], report["received"]
    assert report["hours"] == 0.5
    assert report["events"]["started"] == 60
    assert offered["event"] == received["event"] > 300
    assert offered["health"] == 60 * 3
    assert report["newest_missing"] == {"state": 0, "health": 0}
    assert received["state"] + report["superseded"].get("state", 0) == offered["state"]
    # Each node announced itself and its part of the feeds, which is all of them once.
    assert received["discovery"] == 60 + 2
    assert report["payload_bytes"]["event"] / received["event"] > 200
