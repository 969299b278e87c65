"""Sources that fail, against real counterparts: states, recovery and loss, through the engine."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.watch import HEARTBEAT_S, Watch
from genred.sources.device import NO_SAMPLES_S
from genred.sources.http import TIMEOUT_S
from genred.sources.supervisor import SILENT_S, STALLED_S
from sources.listener import captors, tone, write_audio

LOOK_S = 0.6
"""How much later than its limit a state is told at most: the engine looks four times a second."""


def clip(folder, seconds=30):
    """A signal that stays above zero, for the tiny model ``rock``."""
    rate = 44_100
    return write_audio(folder / "clip.mp3", 0.3 + 0.3 * tone(440, seconds, rate), rate)


@pytest.mark.slow
def test_capturing_hangs_and_the_sound_server_dies_and_comes_back_mute(
    pulse, tmp_path, record_fault
):
    """Stalled, reconnecting, listening; and what nobody plays into is silent, not well."""
    music = tmp_path / "music.wav"
    write_audio(music, tone(440, 60, 48_000, 2), 48_000, "pcm_s16le")
    pulse.play(music)
    with Watch(tmp_path, "device:pulse") as watch:
        watch.until_judged()
        (captor,) = captors()
        os.kill(captor, signal.SIGSTOP)
        watch.until_status("stalled")
        hung = watch.until_status("reconnecting", seconds=NO_SAMPLES_S + 1)
        resumed = watch.until_status("listening") - hung
        watch.until_judged()
        assert not Path(f"/proc/{captor}").exists()
        died = time.monotonic()
        pulse.kill()
        noticed = watch.until_status("reconnecting") - died
        assert watch.state.label == "unknown"
        assert watch.state.scores == {}
        pulse.start()
        back = time.monotonic()
        recovered = watch.until_status("listening", "silent") - back
        silent = watch.until_status("silent", seconds=SILENT_S + 10) - back - recovered
        assert SILENT_S - 0.5 < silent < SILENT_S + 4  # a device takes a while to its first sample
        assert watch.state.label == "silence"
        assert watch.health.reconnects == 2
        pulse.play(music)
        watch.until_status("listening", seconds=10)
        said = watch.statuses(died)
        watch.check_sequences()
    assert said[-4:] == ["reconnecting", "listening", "silent", "listening"]
    record_fault(
        "a sound library hangs or spins",
        f"`stalled` after {STALLED_S:.0f} s, `reconnecting` after {NO_SAMPLES_S:.0f} s: the process"
        " that captures is killed, and another begun",
        resumed,
        "the audio meanwhile, and a window",
    )
    record_fault(
        "PulseAudio killed and started again",
        f"`reconnecting` {noticed * 1000:.0f} ms after its death; offline and `unknown` meanwhile",
        recovered,
        "the audio meanwhile, and a window",
    )
    record_fault(
        "a sound device that delivers nothing but zeros",
        f"`silent` after {SILENT_S:.0f} s of them (measured from its opening: {silent:.1f} s);"
        " label `silence`, then dead air",
        None,
        "nothing",
    )


@pytest.mark.slow
def test_the_station_and_its_server_die_and_come_back(icecast, tmp_path, record_fault):
    """First the programme, which comes back in another codec and rate; then the server."""
    music = clip(tmp_path)
    station = icecast.broadcast(music)
    with Watch(tmp_path, icecast.url()) as watch:
        watch.until_judged()
        icecast.stop_station(station)
        watch.until_status("reconnecting")
        assert (watch.state.label, watch.state.scores) == ("unknown", {})
        station = icecast.broadcast(music, codec="aac", more=("-ar", "48000", "-ac", "2"))
        back = time.monotonic()
        first = watch.until_status("listening") - back
        watch.until_judged()
        assert watch.health.reconnects == 1
        icecast.stop_station(station)
        icecast.kill()
        watch.until_status("reconnecting")
        time.sleep(2)
        icecast.start()
        icecast.broadcast(music)
        back = time.monotonic()
        second = watch.until_status("listening") - back
        watch.until_judged()
        assert watch.health.reconnects == 2
        # Each loss ended what was on, and each return began it anew.
        watch.until(lambda: len(watch.events()) == 5)
        kinds = [event.event_type for event in watch.events()]
        assert kinds == ["started", "ended"] * 2 + ["started"]
        watch.check_sequences()
    lost = "the audio meanwhile, and a window"
    seen = "`reconnecting`, one line; offline and `unknown` at once"
    record_fault("Icecast's source killed; back in another codec and rate", seen, first, lost)
    record_fault("Icecast itself killed and started again", seen, second, lost)


class Script(http.server.BaseHTTPRequestHandler):
    """Answers each connection with the next of the server's ``answers``."""

    def do_GET(self):
        self.server.asked.append((time.monotonic(), self.path))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *args): ...

    def head(self, content_type):
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("icy-name", "Script FM")
        self.end_headers()


@contextmanager
def station_of(*answers):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Script)
    server.daemon_threads = True
    server.answers, server.asked, server.over = list(answers), [], threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_address[1]}/live"
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def sends(data, then=None):
    def answer(handler):
        handler.head("audio/mpeg")
        try:
            handler.wfile.write(data)
            if then is not None:
                then(handler)
        except OSError:
            pass  # the listener has hung up

    return answer


def stalls(handler):
    handler.server.over.wait()


def a_web_page(handler):
    handler.head("text/html")
    handler.wfile.write(b"<html>we have moved")


def leads_elsewhere(handler):
    handler.send_response(302)
    handler.send_header("location", "/elsewhere")
    handler.end_headers()


@pytest.mark.slow
def test_a_stream_that_stalls_then_sends_html_then_redirects(tmp_path, record_fault):
    """One after the other, with the limits that the daemon has: each told, and survived."""
    music = clip(tmp_path).read_bytes()
    start = music[:64_000]  # four seconds at 128 kbit/s
    with (
        station_of(sends(start, stalls), a_web_page, leads_elsewhere, sends(music, stalls)) as (
            server,
            url,
        ),
        Watch(tmp_path, url) as watch,
    ):
        heard = watch.until_judged()
        stalled = watch.until_status("stalled")
        last = max(at for at, m in watch.told if getattr(m, "label", "") == "rock")
        assert stalled - last < STALLED_S + HEARTBEAT_S + LOOK_S
        assert (watch.state.label, watch.state.scores) == ("unknown", {})
        lost = watch.until_status("reconnecting", seconds=TIMEOUT_S + 5)
        watch.until(lambda: "this is a web page" in watch.health.last_error)
        recovered = watch.until_status("listening") - lost
        watch.until_judged()
        assert [path for _, path in server.asked] == ["/live"] * 3 + ["/elsewhere"]
        assert watch.statuses(heard) == ["listening", "stalled", "reconnecting", "listening"]
        assert watch.health.reconnects == 1
        watch.check_sequences()
    record_fault(
        "a stream stalls without closing; its server sends a web page, then redirects",
        f"`stalled` (offline, `unknown`) {STALLED_S:.0f} s after the last audio, `reconnecting`"
        f" after {TIMEOUT_S:.0f} s, `this is a web page, not audio`",
        recovered,
        "the audio meanwhile; the recovery holds two attempts and their pauses",
    )


def test_a_name_that_is_not_known_for_a_while(tmp_path, monkeypatch, record_fault):
    """DNS fails, then answers."""
    known = threading.Event()
    ask = socket.getaddrinfo

    def resolve(host, *more, **options):
        if host == "radio.test":
            host = "127.0.0.1" if known.is_set() else "nowhere.invalid"
        return ask(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    music = clip(tmp_path).read_bytes()
    with station_of(sends(music, stalls)) as (server, _):
        url = f"http://radio.test:{server.server_address[1]}/live"
        with Watch(tmp_path, url) as watch:
            watch.until_status("reconnecting")
            assert "cannot be reached" in watch.health.last_error
            known.set()
            began = time.monotonic()
            recovered = watch.until_status("listening") - began
            watch.until_judged()
    record_fault(
        "DNS fails, then answers",
        "`reconnecting`: cannot be reached, with the resolver's reason",
        recovered,
        "the audio meanwhile",
    )


WRITER = """
import sys, time
with open(sys.argv[1], "wb") as pipe:
    for _ in range(int(sys.argv[2])):
        pipe.write(b"\\x00\\x40" * 1600)
        pipe.flush()
        time.sleep(0.1)
    time.sleep(float(sys.argv[3]))
"""


def test_a_fifo_whose_writer_pauses_and_leaves(tmp_path, record_fault):
    """Stalled while it pauses, reconnecting once it is gone, and the next one is heard."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def writer(blocks, pause):
        return subprocess.Popen([sys.executable, "-c", WRITER, pipe, str(blocks), str(pause)])

    with Watch(tmp_path, str(pipe), rate=16_000, format="s16le") as watch:
        with writer(20, 4.5) as first:
            watch.until_judged()
            stalled = watch.until_status("stalled")
            assert watch.state.label == "unknown"
            first.wait(10)
            gone = watch.until_status("reconnecting")
            assert gone > stalled
        with writer(30, 0) as second:
            back = watch.until_judged()
            recovered = back - gone
            second.wait(10)
        watch.check_sequences()
    record_fault(
        "a FIFO's writer pauses, then leaves; another comes at once",
        f"`stalled` after {STALLED_S:.0f} s of pause, `reconnecting` when it has left",
        recovered,
        "what the new writer wrote before the pipe was opened again waits in the pipe: nothing",
    )
