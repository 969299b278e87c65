"""The file of records, the arithmetic, and the pages that hold both."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import update_performance
from genred.bench import history, limits
from genred.bench.batches import Batch, wins_at
from genred.errors import InputError, OutputError


def test_records_come_back_in_order(tmp_path):
    path = tmp_path / "records.jsonl"
    for number in range(3):
        history.append(path, {"format": 1, "number": number, "value": [1 / 3, {"deep": 2 / 3}]})
    history.append(path, {"format": 2, "of": "a later version"})
    records = history.read(path)
    assert [each["number"] for each in records] == [0, 1, 2]
    assert records[0]["value"] == [0.3333, {"deep": 0.6667}]


def test_what_is_no_record_is_refused(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"format": 1}\nnonsense\n')
    with pytest.raises(InputError, match=r"records.jsonl:2 is no record"):
        history.read(path)
    with pytest.raises(InputError):
        history.read(tmp_path / "none")
    with pytest.raises(OutputError):
        history.append(tmp_path / "no" / "folder", {"format": 1})


MODEL = {
    "name": "x", "bytes": 1_000_000, "parameters": 1, "network_macs": 10e6, "macs": 20e6,
    "state": 5000, "hop": 4000, "sample_rate": 16000, "labels": 10, "n_mels": 64, "n_fft": 512,
    "hop_length": 200, "decisions_per_second": 4.0,
}  # fmt: skip


def test_the_arithmetic_of_a_core():
    """By hand: 10 million multiply-adds at 100 GFLOP/s are 0.2 ms."""
    yardsticks = {"gflops": 100.0, "copy_gb_s": 10.0, "rfft_us": 2.0, "call_ns": 50.0}
    transforms, mel, network, moved, python = limits.core(MODEL, yardsticks)
    assert network.ms == pytest.approx(0.2)
    assert transforms.ms == pytest.approx(80 * 2 / 1000)
    assert mel.ms == pytest.approx(2 * 2 * 257 * 80 / 100e9 * 1e3)
    # 16,000 samples, 4 times 5,000 floats of state in and out, 80 frames of 64, 4 times 10 logits.
    assert moved.ms == pytest.approx(4 * (16000 + 40000 + 5120 + 40) / 10e9 * 1e3)
    assert python.ms == pytest.approx(4 * 20 * 50 / 1e6)
    table = limits.core_table(MODEL, yardsticks, 0.5)
    assert "| measured | 1.3 times that | 0.500 |" in table
    parts = {
        "feeds": 1000, "batch": 16, "front_end_ms": 0.25, "network_ms": 0.3, "rings_ms": 0.01,
        "rest_ms": 0.04,
    }  # fmt: skip
    told = limits.core_table(MODEL, yardsticks, 0.75, parts).splitlines()
    # 0.16 ms of transforms and hardly anything for the mel bands; 0.2 ms of multiply-adds.
    assert [line.split("|")[1].strip() for line in told[-5:]] == [
        *("the front end alone", "the network alone", "all else alone", "beyond these"),
        "measured",
    ]
    assert "1.6 times its least | 0.250 |" in told[-5]
    assert "1.5 times its least | 0.300 |" in told[-4]
    assert told[-2].endswith("| 0.160 |")
    # A graph that runs whole has its front end in the network.
    whole = limits.core_table(MODEL, yardsticks, 0.75, parts | {"front_end_ms": 0.0})
    assert "front end alone" not in whole
    assert "0.8 times its least | 0.300 |" in whole


def test_the_roofline_of_a_gpu():
    """By hand: 100,000 hops of 16 kB are 1.6 GB, 25 ms of a bus of 64 GB/s."""
    link, halved, back, memory, fp32, tf32 = limits.accelerator(MODEL)
    assert link.ms == pytest.approx(25.0)
    assert halved.ms == pytest.approx(12.5)
    assert back.ms == pytest.approx(4e6 / 64e9 * 1e3)
    assert fp32.ms == pytest.approx(2 * 20e6 / 4 * 100_000 / 67e12 * 1e3)
    assert tf32.ms < fp32.ms
    assert memory.ms == pytest.approx((61160 * 1e5 + 1e6) / 4.8e12 * 1e3)
    assert "the bus decides" in limits.accelerator_table(MODEL)


def batch(provider, feeds, ms):
    return Batch(provider, feeds, ms, 1000 * ms / feeds, 5)


def test_from_where_on_a_gpu_wins():
    cpu = [batch("cpu", feeds, feeds * 0.1) for feeds in (1, 10, 100, 1000)]
    slow = {1: 2.0, 10: 2.0, 100: 2.1, 1000: 3.0}
    assert wins_at([batch("cuda", n, ms) for n, ms in slow.items()], cpu) == 100
    assert wins_at([batch("cuda", n, 1000.0) for n in slow], cpu) is None


def test_pages_hold_what_was_recorded():
    for page, tables in update_performance.pages().items():
        text = page.read_text()
        assert update_performance.filled(text, tables) == text, f"{page}: make bench"


def test_the_measuring_process_answers_its_faults_in_one_line():
    asked = json.dumps({"what": "load", "model": "nowhere", "feeds": 1, "seconds": 1}) + "\n"
    done = subprocess.run(
        [sys.executable, "-m", "genred.bench"],
        input=asked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["error"].startswith("InputError: no model at nowhere")
