"""Clips of strangers: judged like files, and never a danger to the daemon."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from genred.web import classify
from rigs.clips import style
from rigs.ports import wait_until


def wav(samples, rate=16_000):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


@pytest.fixture(scope="module")
def jazz():
    return wav(style("jazz", 6))


@pytest.fixture
def post(shared):
    """A server, and what it says to a clip."""

    def ask(data, path="/api/v1/classify", **how):
        return shared.client.post(path, content=data, **how)

    ask.served = shared
    return ask


def workers():
    """The processes that judge for this one."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines() if "genred.web.worker" in line]
    return {int(pid) for pid, state, _ in rows if not state.startswith("Z")}


def test_a_clip_is_judged_like_a_file(post, jazz, genred, tmp_path):
    (tmp_path / "clip.wav").write_bytes(jazz)
    tagged = json.loads(genred("tag", "--format", "jsonl", tmp_path / "clip.wav").stdout)
    told = post(jazz, "/api/v1/classify?name=clip.wav").json()
    assert told.pop("model") == "compact"
    assert told.pop("path") == "clip.wav"
    assert told == {name: value for name, value in tagged.items() if name in told}
    assert len(told) >= 5
    form = post.served.client.post("/api/v1/classify", files={"file": ("süß.wav", jazz)})
    assert form.json()["path"] == "süß.wav"
    assert form.json()["scores"] == told["scores"]


@pytest.mark.parametrize("kind", ["mp3", "ogg", "flac", "m4a"])
def test_any_format_will_do(post, jazz, kind, tmp_path):
    (tmp_path / "in.wav").write_bytes(jazz)
    out = tmp_path / f"out.{kind}"
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", tmp_path / "in.wav", out], check=True, timeout=30
    )
    told = post(out.read_bytes()).json()
    assert told["duration"] == pytest.approx(6, abs=0.1)
    assert told["segments"]


@pytest.mark.parametrize(
    ("data", "how", "status", "name"),
    [
        (b"", {}, 422, "empty"),
        (b"this is no sound" * 100, {}, 422, "clip"),
        (wav(np.zeros(0)), {}, 422, "clip"),
        (bytes(2_100_000), {}, 413, "large"),
        (b"x", {"content-type": "multipart/form-data"}, 400, "form"),
        (b"x", {"content-type": "multipart/form-data; boundary=y"}, 400, "form"),
        (
            b'--y\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--y--\r\n',
            {"content-type": "multipart/form-data; boundary=y"},
            422,
            "empty",
        ),
    ],
    ids=["nothing", "text", "no samples", "large", "no boundary", "no form", "no file"],
)
def test_what_is_no_clip_is_refused(post, data, how, status, name):
    answer = post(data, headers=how)
    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:genred:problem:{name}"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_stream_without_end_is_refused_and_then_dropped(serve, monkeypatch):
    monkeypatch.setattr("genred.web.protocol.LINGER_S", 0.5)
    served = serve(upload_mb=1)
    chunk = b"186a0\r\n" + bytes(100_000) + b"\r\n"
    with socket.create_connection(("127.0.0.1", served.publisher.port)) as line:
        line.settimeout(5)
        line.sendall(
            b"POST /api/v1/classify HTTP/1.1\r\nhost: localhost\r\n"
            b"transfer-encoding: chunked\r\n\r\n" + 11 * chunk
        )
        assert line.recv(65536).startswith(b"HTTP/1.1 413")
        began = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            endlessly(line, chunk)
        assert time.monotonic() - began < 3


def endlessly(line, chunk):
    while True:
        line.sendall(chunk)


def test_an_upload_that_takes_too_long_is_refused(serve):
    served = serve(upload_s=1)
    with socket.create_connection(("127.0.0.1", served.publisher.port)) as line:
        line.sendall(
            b"POST /api/v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nx"
        )
        line.settimeout(5)
        assert line.recv(65536).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile://{path}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{url}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "[playlist]\nFile1={path}\n",
    ],
    ids=["file", "network", "concat", "pls"],
)
def test_a_clip_that_names_other_files_opens_none(post, jazz, tmp_path, text):
    """The daemon's machine holds recordings that who uploads may not hear of."""
    (tmp_path / "private.wav").write_bytes(jazz)
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.3)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/private.wav"
        answer = post(text.format(path=tmp_path / "private.wav", url=url).encode())
        assert answer.status_code == 422
        assert str(tmp_path) not in answer.text
        with pytest.raises(TimeoutError):
            trap.accept()


def test_the_worker_knows_no_secret_and_ends_with_the_server(serve, jazz, monkeypatch):
    served = serve()
    monkeypatch.setenv("GENRED_MQTT_PASSWORD", "secret-of-the-broker")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    before = workers()
    assert served.client.post("/api/v1/classify", content=jazz).status_code == 200
    (pid,) = workers() - before
    environ = Path(f"/proc/{pid}/environ").read_text("utf-8")
    assert "secret" not in environ
    assert "CREDENTIALS" not in environ
    assert os.getpriority(os.PRIO_PROCESS, pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 10
    served.publisher.stop()
    wait_until(lambda: pid not in workers())


def test_a_clip_that_kills_the_decoder_is_refused_and_the_next_is_judged(post, jazz):
    """As a bug in a decoder would: whoever judges it is gone in the middle."""
    assert post(jazz).status_code == 200
    killed = set()
    done = threading.Event()

    def kill():
        while not done.is_set():
            for pid in workers() - killed:
                killed.add(pid)
                os.kill(pid, signal.SIGSTOP)  # it gets the clip, and no further
                time.sleep(0.3)
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        time.sleep(0.1)
        answer = post(jazz)
    finally:
        done.set()
        killer.join()
    assert answer.status_code in {422, 503}  # or it was never ready
    assert answer.json()["detail"]
    assert len(killed) == 2
    assert post(jazz).status_code == 200


def test_a_worker_that_has_died_is_not_the_next_clip_s_fault(post, jazz):
    for _ in range(3):
        assert post(jazz).status_code == 200
        (pid,) = workers()
        os.kill(pid, signal.SIGKILL)


def test_a_clip_that_takes_too_long_is_given_up(serve, jazz):
    served = serve(classify_s=1)
    before = workers()
    assert served.client.post("/api/v1/classify", content=jazz).status_code == 200
    (pid,) = workers() - before
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    answer = served.client.post("/api/v1/classify", content=jazz)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":long")
    assert time.monotonic() - began < 3
    wait_until(lambda: pid not in workers())


def test_who_goes_away_meanwhile_holds_up_nobody(post, jazz):
    port = post.served.publisher.port
    for _ in range(classify.AT_ONCE * 2):
        with socket.create_connection(("127.0.0.1", port)) as line:
            head = (
                f"POST /api/v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(jazz)}"
            )
            line.sendall(head.encode() + b"\r\n\r\n" + jazz[:1000])
    wait_until(lambda: post(jazz).status_code == 200)


def test_too_many_at_once_are_told_to_come_again(post, jazz):
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: post(jazz), range(24)))
    codes = sorted(each.status_code for each in answers)
    assert set(codes) == {200, 503}
    assert codes.count(200) >= classify.AT_ONCE
    assert all(each.headers["retry-after"] for each in answers if each.status_code == 503)
    assert 'genred_classify_clips_total{outcome="busy"}' in post.served.get("/metrics").text


def test_nothing_of_a_clip_is_kept(post, tmp_path, monkeypatch):
    """What is too large for the memory lies in a file without a name, and then nowhere."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert post(wav(style("metal", 40))).status_code == 200
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: not [each for each in open_files() if str(tmp_path) in each])


def open_files():
    return [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]


def test_the_worker_ends_with_a_daemon_that_is_killed(tmp_path, jazz):
    code = """if True:
        import asyncio, io, sys
        from genred.settings.judgement import JudgementSettings
        from genred.web.bench import Bench

        async def work():
            bench = Bench(None, JudgementSettings(), 30)
            with open(sys.argv[1], "rb") as file:
                await bench.judge("x", file)
            print(bench._worker.pid, flush=True)
            await asyncio.sleep(60)

        asyncio.run(work())
    """
    (tmp_path / "clip.wav").write_bytes(jazz)
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "clip.wav"], stdout=subprocess.PIPE, text=True
    ) as daemon:
        pid = int(daemon.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        daemon.kill()

        def gone():
            try:
                return Path(f"/proc/{pid}/stat").read_text("utf-8").split()[2] == "Z"
            except OSError:
                return True

        wait_until(gone, 10, "the worker's end")
