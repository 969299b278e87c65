"""What the machine itself may run out of, and wake-ups that come twice, late or for nothing."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from genred.clock import FakeClock
from genred.engine import Engine
from genred.feed import FeedSetup
from genred.messages import FeedEvent, FeedScores
from genred.model.session import load_model
from genred.publishers.fake import FakePublisher
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.sources.fake import FakeSource
from rigs import tiny_model

FULL = "/dev/full"
"""A device that is always full: every write to it fails with ENOSPC."""


def config(folder, port, *sources):
    feeds = "".join(f'[[feeds]]\nid = "{name}"\nsource = "{source}"\n' for name, source in sources)
    path = folder / "genred.toml"
    path.write_text(
        f'[node]\nname = "box"\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\nheartbeat_s = 1\n{feeds}'
    )
    return path


def decisions(listener):
    heard = listener.on("genred/box/radio/health")
    return heard[-1].json["decisions"] if heard else 0


@pytest.mark.skipif(not Path(FULL).exists(), reason=f"there is no {FULL}")
def test_a_full_disk_and_nothing_that_can_be_written_to(mosquitto, tmp_path, record_fault):
    """Neither lines nor logs can be written, nor any folder: all is heard and published."""
    listener = mosquitto.listen("genred/#")
    path = config(tmp_path, mosquitto.port, ("radio", "station:3"))
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    with Path(FULL).open("w") as full:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh"]
            * _can_mount()
            + [sys.executable, "-m", "genred", "run", "--config", path, "--log-level", "debug"],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=full,
            cwd=home,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        )
    try:
        listener.wait(lambda _: decisions(listener) > 12, 40)
        assert process.poll() is None
        process.terminate()
        assert process.wait(10) == 0
        assert listener.wait_for("genred/box/status", "offline")
    finally:
        process.kill()
        process.wait(10)
    record_fault(
        "disk full, or every folder read-only",
        "lines and logs end; MQTT goes on (genred keeps no state on disk)",
        None,
        "lines and logs",
    )


def _can_mount():
    """Is this allowed to make its own view of the file system read-only."""
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro /"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


@pytest.mark.slow
def test_no_file_descriptors_left(genred, mosquitto, tmp_path, record_fault):
    """Nothing new can be opened while the broker restarts and a source wants to be opened.

    What is open goes on; once there are some again, so does everything else.
    """
    pipe = tmp_path / "pipe"
    path = config(tmp_path, mosquitto.port, ("radio", "station:3"), ("gone", str(pipe)))
    running = genred.start("run", "--config", path, "--json")
    running.wait_for('"status": "reconnecting"')
    listener = mosquitto.listen("genred/#")
    listener.wait(lambda _: decisions(listener) > 4, 20)
    pid = running.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # The limit is one of numbers: everything from 3 on is refused, what is open stays so.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    os.mkfifo(pipe)  # there now, and cannot be opened
    mosquitto.kill()
    mosquitto.start()
    running.wait_for("Too many open files", 20)
    assert running.process.poll() is None
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    began = time.monotonic()
    later = mosquitto.listen("genred/#")
    later.wait_for("genred/box/status", "online", 45)
    recovered = time.monotonic() - began
    later.wait(lambda _: decisions(later) > 20, 20)
    health = later.on("genred/box/radio/health")[-1].json
    assert (health["gaps"], health["dropped_seconds"], health["reconnects"]) == (0, 0, 0)
    assert running.end() == 0
    assert not any("Traceback" in each for each in running.lines)
    record_fault(
        "no file descriptors left while the broker restarts",
        "`Too many open files` where something must be opened; feeds that are open are heard",
        recovered,
        "nothing of open feeds",
    )


RATE, HOP = tiny_model.RATE, tiny_model.HOP
SEEDS = 8


def listen(model, seed):
    """Three feeds for a minute; without a seed in order, else woken and looked at at random."""
    clock, told = FakeClock(), FakePublisher()
    setups = [
        FeedSetup(
            FeedSettings(id=f"feed{number}", source="-"),
            JudgementSettings(silence_after_s=1, dead_air_after_s=3),
            FakeSource([], clock),
        )
        for number in range(3)
    ]
    engine = Engine(model, setups, [told], clock, node="test", heartbeat_s=1e6, scores=True)
    order = random.Random(seed)
    for at in range(240):
        clock.advance(HOP / RATE)
        for number, feed in enumerate(engine.feeds):
            feed.intake.listening()
            value = (0.5, -0.5, 0.0)[(at // 40 + number) % 3]
            noise = np.tile([0.1, -0.1], HOP // 2) * (value != 0)
            if at % 60 == 59:
                feed.intake.gap("scripted")
            feed.intake.write((value + noise).astype(np.float32))
        if seed is None:
            engine.tick()
            engine.look_after()
            continue
        # Woken twice, for nothing, or only after several hops have piled up.
        for _ in range(order.choice([0, 0, 2, 6])):
            order.choice([engine.tick, engine.look_after, engine.tick])()
    while engine.tick():
        pass
    engine.look_after()
    return told


def test_wake_ups_out_of_order_and_twice(tmp_path, record_fault):
    """Whenever the engine is woken, the same decisions and events come of the same audio."""
    model = load_model(tiny_model.write(tmp_path / "model.onnx"))

    def of(told, kind):
        return [
            [m.to_dict() for m in told.messages if isinstance(m, kind) and m.feed == f"feed{n}"]
            for n in range(3)
        ]

    orderly = listen(model, None)
    assert sum(map(len, of(orderly, FeedEvent))) > 20
    for seed in range(SEEDS):
        disorderly = listen(model, seed)
        assert of(disorderly, FeedEvent) == of(orderly, FeedEvent)
        assert of(disorderly, FeedScores) == of(orderly, FeedScores)
    record_fault(
        f"wake-ups out of order, twice, for nothing, or late ({SEEDS} seeds)",
        "nothing: the same decisions and events",
        None,
        "nothing",
    )
