"""Raw PCM on standard input and FIFOs, written by real processes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genred.clock import SystemClock
from genred.errors import InputError, UsageError
from genred.messages import SourceStatus
from genred.sources.stdin import FifoSource, PcmReader, PcmSource
from sources.listener import HOP, RATE, Ear, loudest_hz, tone


def writer(code: str) -> subprocess.Popen:
    """A process that writes to a pipe, as rtl_fm does."""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def pcm(samples, sample_format="s16le"):
    if sample_format == "f32le":
        return samples.astype("<f4").tobytes()
    return np.round(samples * 32767).astype("<i2").tobytes()


@settings(max_examples=100, deadline=None)
@given(
    sample_format=st.sampled_from(["s16le", "f32le"]),
    channels=st.integers(1, 6),
    frames=st.integers(0, 200),
    cuts=st.lists(st.integers(1, 97), min_size=1, max_size=20),
)
def test_bytes_in_any_portions(sample_format, channels, frames, cuts):
    """However the bytes are cut up, the frames are those that were written."""
    wave = np.random.default_rng(1).uniform(-1, 1, (frames, channels)).astype(np.float32)
    data = pcm(wave, sample_format)
    reader = PcmReader(sample_format, channels)
    parts, at, turn = [np.empty((0, channels), np.float32)], 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        parts.append(reader.push(data[at : at + size]))
        at, turn = at + size, turn + 1
    np.testing.assert_allclose(np.concatenate(parts), wave, atol=5e-5)


@pytest.mark.parametrize("sample_format", ["s16le", "f32le"])
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (16_000, 1), (22_050, 1)])
def test_a_pipe(tmp_path, sample_format, rate, channels):
    """Nothing is lost, however fast it comes, and the end of the writer is the end."""
    path = tmp_path / "raw"
    path.write_bytes(
        pcm(tone(440, 20, rate, channels), sample_format) + b"\x01"
    )  # and half a frame
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as process:
        source = PcmSource(
            process.stdout.fileno(),
            SystemClock(),
            sample_format=sample_format,
            rate=rate,
            channels=channels,
            channel="left",
        )
        with Ear(source, buffer_s=1.0) as ear:
            ear.listen()
    assert ear.intake.status is SourceStatus.ENDED
    assert ear.runner.error is None
    assert len(ear.chunks) == 80
    assert ear.intake.overflows == 0
    assert loudest_hz(ear.samples) == pytest.approx(440, abs=1)
    assert np.std(ear.samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.001)


def test_a_live_writer_is_heard_as_it_writes():
    """In real time, in odd portions, as from rtl_fm."""
    code = (
        "import sys, time\n"
        "for n in range(60):\n"
        "    sys.stdout.buffer.write(b'\\x00\\x10' * 1600 + b'\\x00' * (n % 2))\n"
        "    sys.stdout.buffer.flush(); time.sleep(0.05)\n"
    )
    with writer(code) as process:
        source = PcmSource(process.stdout.fileno(), SystemClock(), rate=16_000)
        with Ear(source) as ear:
            ear.hear(4)
            assert ear.runner.running
            assert time.time() - ear.chunks[-1].end < 1.0
        process.kill()


def test_a_pause_of_the_writer_is_a_gap(monkeypatch):
    """A squelch that closes: what comes after it was captured later."""
    import genred.sources.stdin

    monkeypatch.setattr(genred.sources.stdin, "STALL_S", 0.5)
    code = (
        "import sys, time\n"
        "for pause in (1.5, 0):\n"
        "    sys.stdout.buffer.write(b'\\x00\\x10' * 16000); sys.stdout.buffer.flush()\n"
        "    time.sleep(pause)\n"
    )
    with writer(code) as process:
        source = PcmSource(process.stdout.fileno(), SystemClock(), rate=16_000)
        with Ear(source) as ear:
            ear.listen()
    assert [chunk.fresh for chunk in ear.chunks] == [True] + [False] * 3 + [True] + [False] * 3
    assert ear.intake.gaps == 1
    assert ear.chunks[4].start - ear.chunks[3].end > 0.3


def test_stopping_while_nothing_comes():
    """A silent writer does not hold the daemon."""
    read, write = os.pipe()
    try:
        ear = Ear(PcmSource(read, SystemClock()))
        ear.runner.start()
        time.sleep(0.1)
        began = time.monotonic()
        assert ear.runner.stop(5)
        assert time.monotonic() - began < 0.6
    finally:
        os.close(read)
        os.close(write)


def test_a_writer_that_writes_nothing():
    """A program that fails at once leaves a clear line."""
    with writer("") as process, Ear(PcmSource(process.stdout.fileno(), SystemClock())) as ear:
        ear.listen()
    assert ear.intake.status is SourceStatus.FAILED
    assert isinstance(ear.runner.error, InputError)
    assert "ended without a sample" in ear.runner.error.message


def test_a_terminal_is_refused():
    """Nobody types samples."""
    main, end = pty.openpty()
    try:
        with pytest.raises(UsageError, match="terminal"):
            PcmSource(end, SystemClock())
    finally:
        os.close(main)
        os.close(end)


def test_hostile_floats():
    """NaN and infinity do not get any further."""
    wave = np.full((RATE, 1), np.nan, np.float32)
    wave[::3] = np.inf
    read, write = os.pipe()
    data = pcm(wave, "f32le")
    thread = threading.Thread(target=lambda: (os.write(write, data[:60_000]), os.close(write)))
    thread.start()
    with Ear(PcmSource(read, SystemClock(), sample_format="f32le", rate=44_100)) as ear:
        ear.listen()
    thread.join()
    os.close(read)
    assert not ear.samples.any()
    assert len(ear.samples) == 60_000 // 4 * RATE // 44_100 // HOP * HOP


def test_a_fifo_whose_writer_leaves(tmp_path):
    """The next writer is waited for, and its sound begins anew."""
    path = tmp_path / "radio.fifo"
    os.mkfifo(path)

    def write(hz):
        with path.open("wb") as pipe:
            pipe.write(pcm(tone(hz, 1, 16_000)))

    with Ear(FifoSource(path, SystemClock(), rate=16_000), retry=True) as ear:
        time.sleep(0.6)
        assert ear.intake.status is SourceStatus.STARTING
        for turn, hz in enumerate((500, 900)):
            thread = threading.Thread(target=write, args=(hz,))
            thread.start()
            heard = ear.hear(4)
            thread.join()
            assert loudest_hz(heard) == pytest.approx(hz, abs=5)
            assert ear.chunks[4 * turn].fresh
            ear.listen(lambda: ear.intake.status is SourceStatus.RECONNECTING, seconds=5)
            assert ear.intake.status is SourceStatus.RECONNECTING
        assert ear.intake.reconnects == 1


@pytest.mark.parametrize("block", [0.02, 0.005, 0.21], ids=["sound card", "little", "long"])
def test_a_hop_is_heard_with_the_block_that_completes_it(block):
    """Asleep for most of a hop, and yet not late."""
    rate, seconds = 48_000, 2.5
    code = (
        "import sys, time\n"
        f"size, block = {round(block * rate)}, {block}\n"
        "began, sent = time.monotonic(), 0\n"
        f"while sent < {seconds} / block:\n"
        "    sent += 1\n"
        "    time.sleep(max(0, began + sent * block - time.monotonic()))\n"
        "    sys.stdout.buffer.write(b'\\x00\\x10' * size); sys.stdout.buffer.flush()\n"
    )
    with writer(code) as process:
        fd = process.stdout.fileno()
        with Ear(PcmSource(fd, SystemClock(), rate=rate)) as ear:
            ear.listen()
    # When each hop came, beside when the block was due that completed it.
    latency = 0.00413
    arrivals = np.array([chunk.arrived for chunk in ear.chunks])
    due = np.ceil((np.arange(1, len(arrivals) + 1) * HOP / RATE + latency) / block) * block
    late = arrivals - due
    late -= late.min()
    assert len(late) >= 8
    assert np.median(late) < 0.05


def test_how_a_writer_writes():
    """Blocks that are waited for are counted on; a burst is not taken for one."""
    from genred.clock import FakeClock
    from genred.sources.stdin import LEAD_S, _Pace

    clock = FakeClock()
    pace = _Pace(clock)
    assert pace.until(0.2) == 0.2  # nothing is known yet
    clock.advance(0.01)
    pace.came(0.02, asked=0.0)
    assert pace.until(0.25) == pytest.approx(13 * 0.02 + 1e-3, abs=5e-4)
    clock.advance(0.26)
    pace.came(0.26, asked=clock.monotonic())  # was there already
    assert pace.as_heard
    assert pace.until(0.25) == pytest.approx(13 * 0.02 + 1e-3, abs=1e-3)
    asked = clock.monotonic()
    clock.advance(0.1)
    pace.came(0.3, asked)  # several at once
    assert pace.until(0.25) == 0.25
    pace.came(LEAD_S + 1, clock.monotonic())
    assert not pace.as_heard
    clock.advance(2 * (LEAD_S + 1))
    pace.came(0.02, clock.monotonic())
    assert pace.as_heard
