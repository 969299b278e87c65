"""Streams against a real Icecast server, a real HLS playlist, and servers that misbehave."""

from __future__ import annotations

import base64
import contextlib
import http.server
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time

import numpy as np
import pytest

from genred.clock import SystemClock
from genred.errors import AccessError, InputError, UnavailableError, UsageError
from genred.messages import SourceStatus
from genred.sources.files import decode
from genred.sources.stream import StreamSource
from rigs.ports import free_port
from sources.listener import RATE, Ear, loudest_hz, tone, write_audio


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Half a minute of 1000 Hz, tagged."""
    folder = tmp_path_factory.mktemp("clip")
    tags = {"title": "Ein Lied", "artist": "Wer"}
    return write_audio(folder / "clip.flac", tone(1000, 30), 44_100, tags=tags)


def stream(url, **options):
    return StreamSource(url, SystemClock(), **options)


# ---- Icecast -------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["mp3", "aac", "vorbis", "opus"])
def test_icecast(icecast, clip, codec):
    """What is broadcast is heard, in real time, under the station's name."""
    icecast.broadcast(clip, codec=codec, name="Radio Exämple")
    began = time.monotonic()
    with Ear(stream(icecast.url())) as ear:
        ear.hear(1)
        first = time.monotonic() - began
        heard = ear.hear(8)
    assert first < 4
    # A page of Ogg holds a second and more of this clip, and comes at once.
    tolerance = 0.4 if codec in {"mp3", "aac"} else 1.2
    assert time.monotonic() - began == pytest.approx(first + 2, abs=tolerance)
    assert loudest_hz(heard[-4000:]) == pytest.approx(1000, abs=5)
    assert ear.chunks[-1].info.station == "Radio Exämple"
    assert ear.chunks[-1].end == pytest.approx(time.time(), abs=1.0)
    assert ear.intake.overflows == 0
    if codec in {"vorbis", "opus"}:
        assert ear.chunks[-1].info.title == "Wer - Ein Lied"


def test_titles_as_they_change(icecast, clip):
    """The song of the moment, quotes and umlauts included, and the next one when it comes."""
    icecast.broadcast(clip)
    icecast.title("Künstler - It's a 'song'; or two")
    with Ear(stream(icecast.url())) as ear:
        ear.listen(lambda: ear.chunks and "song" in (ear.chunks[-1].info.title or ""))
        assert ear.chunks[-1].info.title == "Künstler - It's a 'song'; or two"
        icecast.title("Next - One \x1b[31m red")
        ear.listen(lambda: (ear.chunks[-1].info.title or "").startswith("Next"), seconds=15)
    assert ear.chunks[-1].info.title == "Next - One red"
    assert ear.intake.gaps == 0


def test_titles_in_a_chained_ogg_stream(tmp_path):
    """In Ogg each song brings its own header, in the middle of the stream."""
    body = b""
    for hz, tags in ((1000, {"title": "A", "artist": "Wer"}), (1500, {"title": "B"})):
        path = tmp_path / f"{hz}.ogg"
        body += write_audio(path, tone(hz, 3), 44_100, "libvorbis", tags).read_bytes()
    with Served(Handler.play(body, "application/ogg")) as url, Ear(stream(url)) as ear:
        heard = ear.hear(22)
    assert loudest_hz(heard[-8000:-4000]) == pytest.approx(1500, abs=5)
    assert list(dict.fromkeys(chunk.info.title for chunk in ear.chunks)) == ["Wer - A", "B"]


def test_the_station_goes_off_the_air_and_comes_back(icecast, clip):
    """Reconnecting while it is away; fresh when it is back; the loss is said once."""
    station = icecast.broadcast(clip)
    with Ear(stream(icecast.url())) as ear:
        ear.hear(4)
        icecast.stop_station(station)
        ear.listen(lambda: ear.intake.status is SourceStatus.RECONNECTING, seconds=10)
        assert ear.intake.status is SourceStatus.RECONNECTING
        before = len(ear.chunks)
        icecast.broadcast(clip)
        ear.listen(lambda: len(ear.chunks) > before + 2, seconds=15)
    assert ear.chunks[before].fresh
    assert ear.intake.reconnects == 1
    assert ear.intake.gaps == 1
    assert ear.chunks[before].start - ear.chunks[before - 1].end > 0.5


def test_the_server_dies_and_comes_back(icecast, clip, monkeypatch):
    """Connections refused in between; the reason is kept."""
    import genred.sources.runner

    monkeypatch.setattr(genred.sources.runner, "LONGEST_RETRY_S", 1.0)
    icecast.broadcast(clip)
    with Ear(stream(icecast.url())) as ear:
        ear.hear(2)
        icecast.kill()
        ear.listen(lambda: "refused" in ear.intake.last_error, seconds=10)
        assert "refused" in ear.intake.last_error
        icecast.start()
        icecast.broadcast(clip)
        ear.hear(2, seconds=20)
    assert ear.intake.status is SourceStatus.LISTENING


def test_credentials(icecast, clip):
    """Wrong ones are refused with 77, and no password is ever shown."""
    url = icecast.url("private").replace("//", "//anna:ge%20heim@")
    icecast.broadcast(clip, mount="private")
    (icecast.folder / "users").write_text("anna:6dce83ae02e2371fd9f8d1f24b1b2b1b\n")
    source = stream(url)
    assert source.description == icecast.url("private").replace("//", "//***@")
    with Ear(source) as ear:
        ear.listen()
    assert isinstance(ear.runner.error, AccessError)
    assert "heim" not in str(ear.runner.error)
    assert ear.intake.status is SourceStatus.FAILED


# ---- servers of our own --------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as a test wants it; ``answer`` is called with the handler."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.server.answer(self)

    def log_message(self, *_):
        pass

    @staticmethod
    def play(body, content_type, **headers):
        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Type", content_type)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        return answer

    @staticmethod
    def status(code, **headers):
        def answer(handler):
            handler.send_response(code)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()

        return answer


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        pass


class Served:
    """A web server on the loopback; gives its URL."""

    def __init__(self, answer):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.answer = answer
        self.server.seen = []
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_port}/live"

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def failure(url, seconds=15.0):
    """The error with which a feed that was typed on the command line fails."""
    with Ear(stream(url)) as ear:
        ear.listen(seconds=seconds)
    assert ear.intake.status is SourceStatus.FAILED, ear.intake.status
    assert "\n" not in str(ear.runner.error)
    return ear.runner.error


def test_refused():
    error = failure(f"http://127.0.0.1:{free_port()}/live")
    assert isinstance(error, UnavailableError)
    assert error.exit_code == 69
    assert "Connection refused" in error.message


def test_unknown_host():
    error = failure("http://no-such-host.invalid/live")
    assert isinstance(error, UnavailableError)
    assert "cannot be reached" in error.message


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!DOCTYPE html><html><body>Radio</body></html>", "text/html; charset=utf-8"),
        (b"\n  <HTML><body>Radio</body></html>", "audio/mpeg"),
        (b"", "text/html"),
    ],
)
def test_a_web_page(body, content_type):
    with Served(Handler.play(body, content_type)) as url:
        error = failure(url)
    assert isinstance(error, InputError)
    assert "web page, not audio" in error.message


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (404, UnavailableError, "nothing at this address"),
        (500, UnavailableError, "HTTP 500"),
        (401, AccessError, "does not let us in"),
    ],
)
def test_http_errors(code, kind, words):
    with Served(Handler.status(code)) as url:
        error = failure(url)
    assert isinstance(error, kind)
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"just words, " * 5000, "text/plain"), (b"\0" * 300_000, "audio/mpeg"), (b"", "audio/mpeg")],
    ids=["text", "zeros", "nothing"],
)
def test_not_audio(body, content_type):
    with Served(Handler.play(body, content_type)) as url:
        error = failure(url)
    assert isinstance(error, (InputError, UnavailableError))
    assert error.exit_code in {66, 69}


@pytest.mark.parametrize(
    "target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "concat:/etc/passwd"]
)
def test_a_redirect_leads_to_the_web_or_nowhere(target):
    with Served(Handler.status(302, Location=target)) as url:
        error = failure(url)
    assert error.exit_code in {66, 69}


def test_redirects_are_followed_but_credentials_stay_where_they_belong(clip, tmp_path):
    """Another host never sees the password that was meant for the first."""
    body = mp3_of(clip, tmp_path)
    target = Served(Handler.play(body, "audio/mpeg"))
    with target as there:
        first = Served(Handler.status(302, Location=there))
        with first as here, Ear(stream(here.replace("//", "//anna:ge%20heim@"))) as ear:
            ear.hear(4)
    login = base64.b64encode(b"anna:ge heim").decode()
    assert all(headers["Authorization"] == f"Basic {login}" for _, headers in first.server.seen)
    assert target.server.seen
    assert all("Authorization" not in headers for _, headers in target.server.seen)


@pytest.mark.parametrize("trusted", [False, True])
def test_https(clip, tmp_path, monkeypatch, trusted):
    """A certificate that nobody vouches for is refused; a trusted one plays, and can be stopped."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(handler):
        Handler.play(mp3_of(clip, tmp_path)[:60_000], "audio/mpeg")(handler)
        time.sleep(10)

    server = Served(answer)
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with server as plain:
        url = plain.replace("http://127.0.0.1", "https://localhost")
        if trusted:
            with Ear(stream(url)) as ear:
                ear.hear(4)
                began = time.monotonic()
                assert ear.runner.stop(5)
                assert time.monotonic() - began < 0.5
        else:
            error = failure(url)
            assert error.exit_code == 69
            assert "certificate is not trusted" in error.message


def test_redirects_without_end():
    def answer(handler):
        Handler.status(302, Location=f"/{len(handler.path)}x{handler.path[-30:]}")(handler)

    with Served(answer) as url:
        assert failure(url).exit_code == 69


def mp3_of(clip, tmp_path):
    path = tmp_path / "clip.mp3"
    if not path.exists():
        subprocess.run(
            ["ffmpeg", "-loglevel", "error", "-i", clip, "-b:a", "128k", path], check=True
        )
    return path.read_bytes()


def test_shoutcast_1(clip, tmp_path):
    """The answer begins with ICY instead of HTTP, and its name is in Latin-1."""
    body = mp3_of(clip, tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    asked = []

    def serve():
        link, _ = listener.accept()
        with link:
            asked.append(link.recv(4096))
            every = 8000
            head = f"ICY 200 OK\r\nicy-name:Radio Köln\r\nicy-metaint:{every}\r\n"
            link.sendall(f"{head}content-type:audio/mpeg\r\n\r\n".encode("latin-1"))
            for number, at in enumerate(range(0, len(body), every)):
                title = f"StreamTitle='Song {number}';".encode()
                block = title + b"\0" * (-len(title) % 16)
                try:
                    link.sendall(body[at : at + every])
                    if at + every <= len(body):
                        link.sendall(bytes([len(block) // 16]) + block)
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    with Ear(stream(f"http://127.0.0.1:{listener.getsockname()[1]}/")) as ear:
        heard = ear.hear(8)
    thread.join(10)
    listener.close()
    assert b"Icy-Metadata: 1" in asked[0].title()
    assert loudest_hz(heard[-4000:]) == pytest.approx(1000, abs=5)
    assert ear.chunks[-1].info.station == "Radio Köln"
    assert ear.chunks[-1].info.title.startswith("Song ")


@pytest.mark.parametrize(
    ("playlist", "content_type"),
    [
        ("#EXTM3U\n#EXTINF:-1,Radio\n{url}\n", "audio/x-mpegurl"),
        ("[playlist]\nNumberOfEntries=1\nFile1={url}\nTitle1=Radio\n", "audio/x-scpls"),
        ("\n{url}\n", "audio/mpegurl"),
    ],
    ids=["m3u", "pls", "bare"],
)
def test_a_station_s_playlist_leads_to_its_stream(clip, tmp_path, playlist, content_type):
    body = mp3_of(clip, tmp_path)
    with Served(Handler.play(body, "audio/mpeg")) as url:
        text = playlist.format(url=url).encode()
        with Served(Handler.play(text, content_type)) as list_url, Ear(stream(list_url)) as ear:
            assert loudest_hz(ear.hear(4)[-4000:]) == pytest.approx(1000, abs=5)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n/etc/passwd\n",
        "#EXTM3U\nfile:///etc/passwd\n",
        "[playlist]\nFile1=concat:/etc/passwd\n",
        "#EXTM3U\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_cannot_reach_the_disk(text):
    with Served(Handler.play(text.encode(), "audio/x-mpegurl")) as url:
        assert failure(url, seconds=40).exit_code in {66, 69}


def test_playlists_without_end():
    def answer(handler):
        Handler.play(f"#EXTM3U\n{handler.path}x\n".encode(), "audio/x-mpegurl")(handler)

    with Served(answer) as url:
        assert "without end" in failure(url).message


def test_a_file_on_a_web_server(clip, tmp_path):
    """A podcast, its index at the end: it plays in real time, though it comes at once."""
    path = write_audio(tmp_path / "a.m4a", tone(1000, 20), 44_100, "aac", {"title": "Folge 1"})
    body = path.read_bytes()

    def answer(handler):
        start = 0
        if wanted := handler.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Type", "audio/mp4")
        handler.send_header("Content-Length", str(len(body) - start))
        handler.send_header("Accept-Ranges", "bytes")
        handler.end_headers()
        handler.wfile.write(body[start:])

    with Served(answer) as url:
        began = time.monotonic()
        with Ear(stream(url)) as ear:
            ear.hear(8)
    assert 1.8 < time.monotonic() - began < 6
    assert ear.chunks[-1].info.title == "Folge 1"


def test_a_stream_that_stalls_without_closing(clip, tmp_path, monkeypatch):
    """Nothing for the time limit: the connection is given up, and a new one made."""
    import genred.sources.http

    monkeypatch.setattr(genred.sources.http, "TIMEOUT_S", 1.5)
    body = mp3_of(clip, tmp_path)[:40_000]  # 2.5 s

    def answer(handler):
        Handler.play(body, "audio/mpeg")(handler)
        handler.wfile.flush()
        time.sleep(30)

    with Served(answer) as url, Ear(stream(url)) as ear:
        ear.listen(lambda: ear.intake.reconnects, seconds=20)
        assert ear.intake.reconnects == 1
        assert "stalled" in ear.intake.last_error


def test_data_that_is_no_audio_after_the_beginning(clip, tmp_path, monkeypatch):
    """A server that goes over to sending rubbish, for ever: noticed, and opened anew."""
    import genred.sources.stream

    monkeypatch.setattr(genred.sources.stream, "NO_AUDIO_S", 2.0)
    body = mp3_of(clip, tmp_path)[:32_000]

    def answer(handler):
        Handler.play(body, "audio/mpeg")(handler)
        while True:
            handler.wfile.write(b"rubbish " * 2000)
            time.sleep(0.05)

    with Served(answer) as url, Ear(stream(url)) as ear:
        ear.hear(4)
        ear.listen(lambda: ear.intake.status is SourceStatus.RECONNECTING, seconds=15)
        assert ear.intake.status is SourceStatus.RECONNECTING


def test_rate_and_channels_change_in_midstream(clip, tmp_path):
    """44.1 kHz mono goes over into 48 kHz stereo; the sound goes on."""
    other = tmp_path / "other.mp3"
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", clip, "-ar", "48000", "-ac", "2", other], check=True
    )
    body = mp3_of(clip, tmp_path)[:32_000] + other.read_bytes()
    with Served(Handler.play(body, "audio/mpeg", icy_name="x")) as url, Ear(stream(url)) as ear:
        heard = ear.hear(20)
    for at in (2, 17):
        assert loudest_hz(heard[at * 4000 : (at + 2) * 4000]) == pytest.approx(1000, abs=5)
    alone = np.concatenate(list(decode(other, RATE)))[4 * RATE : 5 * RATE]
    assert np.std(heard[-4000:]) == pytest.approx(np.std(alone), rel=0.02)


def test_stopping_does_not_wait_for_the_server(clip, tmp_path):
    """A read that nothing comes of is broken off from outside."""

    def answer(handler):
        Handler.play(mp3_of(clip, tmp_path)[:40_000], "audio/mpeg")(handler)
        handler.wfile.flush()
        time.sleep(30)

    with Served(answer) as url:
        ear = Ear(stream(url))
        ear.runner.start()
        ear.hear(2)
        time.sleep(2.5)
        began = time.monotonic()
        assert ear.runner.stop(5)
        assert time.monotonic() - began < 0.5


# ---- HLS -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_hls(clip, tmp_path):
    """A live playlist of segments, as a web server gives it out."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    hls = subprocess.Popen(
        [
            *("ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", clip),
            *("-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_list_size", "6"),
            *("-hls_flags", "delete_segments", tmp_path / "live.m3u8"),
        ]
    )
    try:
        until = time.monotonic() + 15
        while len(list(tmp_path.glob("*.ts"))) < 4 and time.monotonic() < until:
            time.sleep(0.1)

        def answer(handler):
            path = tmp_path / handler.path.rsplit("/", 1)[-1]
            if not path.exists():
                Handler.status(404)(handler)
                return
            kind = "application/vnd.apple.mpegurl" if path.suffix == ".m3u8" else "video/mp2t"
            Handler.play(path.read_bytes(), kind)(handler)

        with Served(answer) as url, Ear(stream(url.replace("live", "live.m3u8"))) as ear:
            heard = ear.hear(24, seconds=25)
        assert loudest_hz(heard[-4000:]) == pytest.approx(1000, abs=5)
        assert ear.intake.overflows == 0
        assert ear.intake.gaps == 0
    finally:
        hls.kill()
        hls.wait()


@pytest.mark.parametrize(
    "url", ["http://", "https:///x", "rtsp://", "http://[x", "http://a:b@:80/", "http://h:99999/"]
)
def test_what_is_no_url(url):
    with pytest.raises(UsageError) as caught:
        stream(url)
    assert "a:b" not in str(caught.value)


def test_addresses_that_need_escaping(clip, tmp_path):
    """Spaces and umlauts in a path, as people paste them."""
    server = Served(Handler.play(mp3_of(clip, tmp_path), "audio/mpeg"))
    with server as url, Ear(stream(f"{url}/Grüße aus Köln?a=b c&d=%20")) as ear:
        ear.hear(2)
    assert server.server.seen[0][0] == "/live/Gr%C3%BC%C3%9Fe%20aus%20K%C3%B6ln?a=b%20c&d=%20"


def test_stopping_before_the_server_has_answered():
    """A server that accepts and says nothing does not hold the daemon."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ear = Ear(stream(f"http://127.0.0.1:{mute.getsockname()[1]}/"))
        ear.runner.start()
        time.sleep(0.5)
        began = time.monotonic()
        assert ear.runner.stop(5)
        assert time.monotonic() - began < 0.5
