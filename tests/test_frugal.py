"""The start takes what it needs of the machine, and no more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

START = """if True:
    import json, sys
    from genred import frugal
    frugal.begin()
    import genred.settings.load, genred.engine, genred.publishers.mqtt, genred.publishers.plain
    import genred.sources.opening, genred.service.manager, genred.model.session
    model = genred.model.session.load_model(feeds=3)
    frugal.settle()
    from pathlib import Path
    print(json.dumps({
        "modules": sorted(sys.modules),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "resident_mb": int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6,
    }))
"""


@pytest.fixture(scope="module")
def started():
    done = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_start_imports_nothing_that_only_some_feeds_need(started):
    """No decoder, no sound card, no broker, no web and no dashboard."""
    spared = {"av", "sounddevice", "amqtt", "asyncio", "numpy.random", "onnx", "pydantic.v1"}
    spared |= {"genred.dashboard", "genred.station", "genred.web", "aiohttp"}
    assert not spared & set(started["modules"])


def test_a_start_has_no_threads_that_nobody_asked_for(started):
    """Neither BLAS nor onnxruntime keeps any beside the one that works."""
    assert started["threads"] == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counted by /proc")
def test_a_start_takes_less_than_90_mb(started):
    assert started["resident_mb"] < 90


BURST = """if True:
    from pathlib import Path
    from genred import frugal
    frugal.begin()
    def own():
        told = Path("/proc/self/status").read_text().split("RssAnon:")[1]
        return int(told.split()[0]) / 1024
    tidy = frugal.Tidy()
    before = own()
    blocks = [bytes(4000) for _ in range(20_000)]
    last = blocks[-1]
    blocks.clear()
    held = own()
    tidy()
    early = own()
    tidy._due = 0.0
    tidy()
    print(before, held, early, own())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counted by /proc")
def test_what_a_burst_took_goes_back_in_time():
    """Freed below something that stays, malloc keeps it by itself; not before it is due."""
    done = subprocess.run(
        [sys.executable, "-c", BURST], capture_output=True, text=True, timeout=60, check=True
    )
    before, held, early, after = map(float, done.stdout.split())
    assert held > before + 60
    assert early > before + 60
    assert after < before + 10


def test_what_is_set_by_hand_stays(monkeypatch):
    from genred import frugal

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "some")
    frugal.begin()
    import os

    assert (os.environ["OPENBLAS_NUM_THREADS"], os.environ["PYDANTIC_DISABLE_PLUGINS"]) == (
        "3",
        "some",
    )


AGAIN = """if True:
    import sys, resource
    from genred import frugal
    frugal.begin()
    if "files" in sys.argv:
        frugal.for_files()
    import numpy as np
    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(2):
        before = faults()
        np.ones(2 * 2**20, np.float32)
    print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of the GNU C library")
def test_where_files_are_heard_memory_is_had_again():
    """8 MB that were freed are there for the next 8 MB, without a page from the kernel."""
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", AGAIN, *how], capture_output=True, check=True
            ).stdout
        )
        for how in ([], ["files"])
    ]
    # Some 500 otherwise, or four where the kernel has huge pages to give.
    assert faults[1] < 3 < faults[0]


HELD = """if True:
    from genred import frugal
    before = frugal.Memory.now()
    buffers = [bytes(4000) for _ in range(5_000)]
    objects = [[] for _ in range(50_000)]
    held = frugal.Memory.now()
    del buffers, objects
    after = frugal.Memory.now()
    for each in (before, held, after):
        print(each.own_mb, each.heap_mb, each.blocks)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of the GNU C library")
def test_what_is_in_use_is_told_apart_from_what_is_kept_for_later():
    """20 MB and 50,000 lists come and go to the last of them, whatever pages do."""
    done = subprocess.run(
        [sys.executable, "-c", HELD], capture_output=True, text=True, timeout=60, check=True
    )
    before, held, after = (list(map(float, line.split())) for line in done.stdout.splitlines())
    assert before[0] > 1
    assert 19 < held[1] - before[1] < 23
    assert 45_000 < held[2] - before[2] < 110_000
    assert abs(after[1] - before[1]) < 1
    assert abs(after[2] - before[2]) < 1_000


def test_memory_is_told_at_debug_level_alone(caplog):
    from genred import frugal

    with caplog.at_level("INFO", "genred.frugal"):
        tidy = frugal.Tidy()
        tidy()
    assert not caplog.records
    assert tidy.pause_s == frugal.TIDY_S
    with caplog.at_level("DEBUG", "genred.frugal"):
        assert tidy.pause_s == frugal.TELL_S
        tidy()
        tidy()
    (record,) = caplog.records
    assert record.message.startswith("memory: own ")
    assert record.message.endswith(" Python blocks")
