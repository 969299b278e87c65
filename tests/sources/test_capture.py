"""The process that captures a device: what it says, how it ends, and what it can do no harm to."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from genred.clock import SystemClock
from genred.errors import InternalError, TemporaryError, UnavailableError
from genred.messages import SourceStatus
from genred.sources import capture, device, runner
from rigs.ports import wait_until
from rigs.pulse import microphone
from sources.listener import HOP, Ear, captors, tone, write_audio

FAKE = Path(__file__).parent / "sound"
PERIOD = 4096


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def mood(monkeypatch):
    """A device that does what is said, in place of sounddevice; opened again at once."""
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.setattr(runner, "FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(runner, "RETRY_GROWTH", 1.0)
    return lambda word: monkeypatch.setenv("FAKE_SOUND", word)


def source(name="USB Radio", **options):
    return device.DeviceSource(name, SystemClock(), **options)


def steps(samples):
    """By how much the ramp goes on, sample by sample."""
    counted = np.round(samples * PERIOD).astype(int)
    return np.diff(counted) % PERIOD


def test_every_sample_comes_once_and_in_order(mood):
    """Across the pipe, its blocks and the hops; the other channel is another one."""
    mood("well")
    with Ear(source(channel="left")) as one, Ear(source(channel="right")) as two:
        heard = one.hear(4)
        two.hear(1)
    assert set(steps(heard)) == {1}
    assert not np.any(np.concatenate(two.audio))
    assert abs(one.clock.now() - one.chunks[-1].end) < 1.0
    assert captors() == []


def test_an_overrun_is_a_gap(mood):
    """What was overrun is counted, and never joined to what came before."""
    mood("overflow")
    with Ear(source(channel="left")) as ear:
        ear.hear(4)
    assert ear.intake.overflows == 1
    assert [chunk.fresh for chunk in ear.chunks[:4]].count(True) == 2
    assert all(set(steps(each)) == {1} for each in ear.audio)


def test_what_nobody_reads_is_thrown_away_and_counted():
    """A daemon that stands still: the device goes on, and how much is missing is known."""
    block, rate, blocks = 800, 16_000, 600
    size = capture.HEADER.size + 4 * block

    class Stream:
        read_available = block

        def __init__(self):
            self.at = 0

        def read(self, frames):
            self.at += 1
            if self.at > blocks:
                raise BrokenPipeError
            if self.at == blocks - 10:
                begin.set()
                assert halfway.wait(10)
            return struct.pack("<f", self.at) * frames, False

    begin, halfway = threading.Event(), threading.Event()
    reading, writing = os.pipe()
    stream = Stream()

    def pour():
        with pytest.raises(BrokenPipeError):
            capture._pour(stream, block, rate, writing)
        os.close(writing)

    thread = threading.Thread(target=pour)
    thread.start()
    assert begin.wait(10)
    data = os.read(reading, 1 << 20)
    halfway.set()
    while more := os.read(reading, 1 << 20):
        data += more
    thread.join()
    os.close(reading)
    heard, missing = [], 0
    for at in range(0, len(data) - size + 1, size):
        _, broken, lost = capture.HEADER.unpack_from(data, at)
        samples = np.frombuffer(data, "<f4", block, at + capture.HEADER.size)
        assert len(set(samples)) == 1
        number = int(samples[0])
        skipped = number - (heard[-1] if heard else 0) - 1
        assert (lost, bool(broken)) == (skipped * block, skipped > 0)
        heard.append(number)
        missing += skipped
    assert missing > blocks / 2
    assert heard[-1] == blocks


WRONG = {
    "missing": ("USB Radio", {}, UnavailableError, "PortAudio, and it cannot be loaded"),
    "two": ("usb", {}, UnavailableError, "more than one input device fits 'usb': 0 'USB Left', 1"),
    "well": ("USB Radio", {"channels": 3}, UnavailableError, "with 3 channels at 16000 Hz: Inval"),
    "break": ("USB Radio", {}, UnavailableError, "'USB Radio' broke off: Input/output error"),
    "crash": ("USB Radio", {}, UnavailableError, "what captures it was ended by signal 11"),
    "fault": ("USB Radio", {}, InternalError, "a fault in genred: RuntimeError: nobody thought"),
    "hang": ("USB Radio", {}, UnavailableError, "'USB Radio' is silent since 0 s"),
    "slow": ("USB Radio", {}, UnavailableError, "did not open within 0 s"),
}


@pytest.mark.parametrize("word", WRONG)
def test_what_goes_wrong_is_said_in_one_line(mood, monkeypatch, word):
    """In the words it always had; nothing is left of the process."""
    name, options, kind, words = WRONG[word]
    mood(word)
    monkeypatch.setattr(device, "NO_SAMPLES_S", 0.4)
    if word == "slow":
        monkeypatch.setattr(device, "OPEN_S", 0.4)
    ear = Ear(source(name, **options))
    with pytest.raises(kind) as caught:
        ear.source.run(ear.intake)
    assert words in caught.value.message
    assert "\n" not in str(caught.value)
    assert captors() == []


def test_what_libraries_print_goes_nowhere(mood, capfd):
    """ALSA's and PortAudio's chatter: neither the journal nor the dashboard sees it."""
    mood("flood")
    with Ear(source(channel="left")) as ear:
        heard = ear.hear(4)
    assert set(steps(heard)) == {1}
    assert capfd.readouterr() == ("", "")


def test_no_process_to_be_had(mood, monkeypatch):
    """Out of memory, processes or descriptors: tried again, and nothing is left open."""
    mood("well")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = set(Path("/proc/self/fd").iterdir())
    ear = Ear(source())
    with pytest.raises(TemporaryError, match="no process can be started to capture with"):
        ear.source.run(ear.intake)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_it_is_told_no_secrets_and_minds_its_own_business(mood, monkeypatch):
    """Nothing of the daemon's passwords; signals to the whole group are not for it."""
    mood("well")
    monkeypatch.setenv("GENRED_MQTT__PASSWORD", "correct horse")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    with Ear(source()) as ear:
        ear.hear(1)
        (pid,) = captors()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"correct horse" not in environment
        assert b"NOTIFY_SOCKET" not in environment
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, each)
        ear.hear(2)
        assert captors() == [pid]
        assert ear.intake.reconnects == 0


def test_one_that_hangs_is_killed_and_replaced(mood, monkeypatch):
    """As when PortAudio spins for ever: told, killed, and heard again."""
    mood("well")
    monkeypatch.setattr(device, "NO_SAMPLES_S", 0.6)
    with Ear(source(channel="left")) as ear:
        ear.hear(1)
        (pid,) = captors()
        os.kill(pid, signal.SIGSTOP)
        ear.listen(lambda: ear.intake.status is SourceStatus.RECONNECTING, seconds=5)
        assert "is silent since 1 s" in ear.intake.last_error
        heard = len(ear.chunks)
        ear.listen(lambda: len(ear.chunks) > heard)
        assert ear.chunks[heard].fresh
        assert gone(pid)
        (other,) = captors()
        assert other != pid


def test_ten_deaths_leave_nothing_behind(mood):
    """No zombie, no descriptor, no thread."""
    mood("well")
    with Ear(source(), retry=True) as ear:
        ear.hear(1)
        fds, threads = descriptors(), threading.active_count()
        for death in range(1, 11):
            (pid,) = captors()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda death=death: ear.intake.reconnects == death, what="its return")
            assert gone(pid)
        ear.hear(1)
        assert descriptors() == fds
        assert threading.active_count() == threads
        assert len(captors()) == 1
    assert captors() == []


# ---- against a real sound server ----------------------------------------------------------------


def test_a_device_comes_back_while_another_one_is_heard(tmp_path, monkeypatch):
    """Two cards: one is pulled out and put back (other indices move), the other goes on unmoved."""
    monkeypatch.setattr(runner, "FIRST_RETRY_S", 0.2)
    with microphone() as studio, microphone() as newsroom:
        config = tmp_path / "asound.conf"
        config.write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm.newsroom {{ type pulse server "unix:{newsroom.socket}" }}\n'
            f'pcm.studio {{ type pulse server "unix:{studio.socket}" }}\n'
        )
        monkeypatch.setenv("ALSA_CONFIG_PATH", str(config))
        monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/nobody")
        sound = write_audio(tmp_path / "radio.wav", tone(1000, 60, 48_000, 2), 48_000)
        studio.play(sound)
        newsroom.play(sound)
        with Ear(source("studio", channel="left")) as one, Ear(source("newsroom")) as two:
            one.hear(2)
            two.hear(1)
            newsroom.kill()
            two.listen(lambda: two.intake.status is SourceStatus.RECONNECTING, seconds=5)
            assert "newsroom" in two.intake.last_error
            newsroom.start()
            newsroom.play(sound)
            heard = len(two.chunks)
            two.listen(lambda: len(two.chunks) > heard)
            assert two.chunks[heard].fresh
            assert two.chunks[heard].info.station == "newsroom"
            one.hear(2)
        assert one.intake.gaps == one.intake.reconnects == 0
        assert len(one.audio) * HOP / 16_000 == pytest.approx(
            one.chunks[-1].end - one.chunks[0].start, abs=0.1
        )


@pytest.mark.slow
def test_the_end_while_the_sound_server_stands_still(genred, pulse):
    """SIGTERM: over within 5 s. SIGKILL: no child is left, even one that hangs in opening."""
    running = genred.start("run", "--source", "device:pulse", "--plain")
    running.wait_for("listening")
    (child,) = captors(running.process.pid)
    pulse.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
        assert time.monotonic() - began < 5
        assert gone(child)
        code = "from genred.sources import device as d; p = d._Process('pulse', 0, 0); p.words(60)"
        with subprocess.Popen([sys.executable, "-c", code]) as daemon:
            wait_until(lambda: captors(daemon.pid), what="a capturing process")
            (child,) = captors(daemon.pid)
            time.sleep(0.5)  # it has asked the server by then
            assert captors(daemon.pid) == [child]
            daemon.kill()
        wait_until(lambda: gone(child), seconds=2, what="the end of the child")
    finally:
        pulse.signal(signal.SIGCONT)


def test_its_parent_had_ended_before_it_began():
    """It does not capture for a stranger."""
    reading, writing = os.pipe()
    done = subprocess.run(
        [sys.executable, "-m", capture.__name__, "default", "0", "0", str(writing), "1"],
        pass_fds=(writing,),
        capture_output=True,
        check=False,
        timeout=30,
    )
    os.close(writing)
    os.close(reading)
    assert (done.returncode, done.stdout) == (0, b"")
