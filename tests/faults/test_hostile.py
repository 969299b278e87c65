"""What strangers send: models, samples, addresses, titles and payloads made to hurt."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import external_data_helper, numpy_helper

from genred.analysis import LOUDEST, Analyser
from genred.clock import SystemClock
from genred.errors import GenredError, ModelError
from genred.intake import FeedIntake
from genred.masking import mask
from genred.model.metadata import METADATA_KEY
from genred.model.session import load_model
from genred.publishers.mqtt import MqttPublisher
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.settings.mqtt import MqttSettings
from genred.sources.http import Station, _redirected
from genred.sources.icy import IcyReader, interval, title_of
from genred.sources.opening import open_source
from genred.sources.playlist import first_stream
from genred.sources.stdin import PcmReader
from genred.sources.stream import NO_AUDIO_BYTES, StreamSource
from genred.sources.text import LONGEST_TEXT
from rigs import tiny_model
from rigs.messages import FEED, health, info
from rigs.ports import wait_until

often = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# ---- model files --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
META = json.loads(tiny_model.metadata().to_json())


def with_text(text):
    model = tiny_model.build()
    (entry,) = [each for each in model.metadata_props if each.key == METADATA_KEY]
    entry.value = text
    return model


def load_or_refuse(path):
    """Loads, or says in one line why not."""
    try:
        load_model(path)
    except ModelError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said


@often
@given(
    text=st.text(max_size=60)
    | JSON.map(json.dumps)
    | st.tuples(st.sampled_from(sorted(META)), JSON).map(
        lambda change: json.dumps({**META, change[0]: change[1]})
    )
)
def test_any_metadata_is_understood_or_refused(text, tmp_path):
    """Whatever stands where genred's metadata should: one clear line."""
    load_or_refuse(tiny_model.write(tmp_path / "model.onnx", with_text(text)))


@pytest.mark.parametrize("name", ["last", "one", "four", "weights", "bias", "ones"])
@pytest.mark.parametrize("where", ["here", "absolute"])
def test_data_in_other_files_is_refused_unopened(name, where, tmp_path, monkeypatch):
    """Wherever the file lies: beside the model, in the current folder or elsewhere."""
    monkeypatch.chdir(tmp_path)
    model = tiny_model.build()
    (tensor,) = [each for each in model.graph.initializer if each.name == name]
    data = Path("weights.bin")
    data.write_bytes(numpy_helper.to_array(tensor).tobytes())
    tensor.raw_data = data.read_bytes()
    for values in ("float_data", "int64_data"):
        tensor.ClearField(values)
    location = str(data if where == "here" else data.absolute())
    external_data_helper.set_external_data(tensor, location=location, offset=0)
    tensor.ClearField("raw_data")
    path = tiny_model.write(tmp_path / "model.onnx", model)
    with pytest.raises(ModelError, match="in other files"):
        load_model(path)


def test_the_shipped_model_is_whole():
    """The look for other files does not mistake weights or papers for them."""
    assert load_model().metadata.name


# ---- samples ------------------------------------------------------------------------------------


@often
@given(data=st.binary(max_size=5000), channels=st.integers(1, 8), kind=st.sampled_from("sf"))
def test_any_bytes_are_samples(data, channels, kind):
    """Noise on a pipe is noise: whole frames, nothing raised."""
    reader = PcmReader("s16le" if kind == "s" else "f32le", channels)
    frames = reader.push(data)
    assert frames.shape == (len(data) // (channels * (2 if kind == "s" else 4)), channels)


EXTREMES = [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e20, 1e-45, 0.0, 1.0]


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=8))
def test_extreme_samples_poison_nothing(values):
    """What is no sound is heard as silence, then and later; what is told are numbers."""
    model = _shipped()
    analyser = Analyser(model, [JudgementSettings()])
    hop = model.metadata.hop
    audio = np.resize(np.array(values, np.float32), (1, hop))
    end = 0.0
    for _ in range(6):
        end += 0.25
        (decision,) = analyser.step([0], audio, [end])
        assert np.isfinite([decision.level_dbfs, decision.peak_dbfs]).all()
        assert np.isfinite(decision.logmel).all()
        for told in (decision.raw, decision.smoothed):
            assert told is None or np.isfinite(told).all()
    clean = np.random.default_rng(1).normal(0, 0.1, (1, hop)).astype(np.float32)
    for _ in range(8):
        end += 0.25
        (decision,) = analyser.step([0], clean, [end])
    fresh = Analyser(model, [JudgementSettings()])
    with np.errstate(invalid="ignore"):
        quiet = np.where(np.abs(audio) <= LOUDEST, audio, np.float32(0))
    for number in range(14):
        (other,) = fresh.step([0], quiet if number < 6 else clean, [(number + 1) * 0.25])
    np.testing.assert_allclose(decision.raw, other.raw, atol=1e-3)


_models = []


def _shipped():
    if not _models:
        _models.append(load_model())
    return _models[0]


# ---- addresses ----------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["http://", "rtsp://", "file:", "device:", "station:", "@", ":", "/", "..", "?", "#", "[", "]",
     "%", "%00", "\0", "\n", " ", "a", "ü", "\ud800", "99999", "-", "localhost", "~", "*"]
)  # fmt: skip
ADDRESSES = st.lists(WORDS | st.text(max_size=5), max_size=10).map("".join)


@settings(max_examples=300, deadline=None)
@given(ADDRESSES)
@example("~\0")
def test_any_source_is_understood_or_refused(source):
    """What may stand in a configuration: a source, or one line."""
    try:
        feed = FeedSettings(id="x", source=source)
    except ValueError:
        return  # pydantic's own refusal
    with contextlib.suppress(GenredError):
        open_source(feed, SystemClock())


@settings(max_examples=300, deadline=None)
@given(ADDRESSES)
def test_any_redirect_and_playlist_lead_to_the_web_or_nowhere(text):
    for find in (lambda: _redirected("http://host/live", text), lambda: first_stream(text, "x")):
        try:
            found = find()
        except GenredError:
            continue
        assert found is None or found.lower().startswith(("http://", "https://"))


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_characters="@/?#\\ ", exclude_categories=["Z", "C"]), min_size=3)
)
def test_no_password_is_ever_shown(secret):
    secret = f"Q{secret}Q"
    assert secret not in mask(f"http://anna:{secret}@host/live?x=1")


# ---- titles -------------------------------------------------------------------------------------


@often
@given(st.binary(max_size=5000) | st.binary(max_size=200).map(lambda b: b"StreamTitle='" + b))
def test_any_title_is_one_short_line(block):
    title = title_of(block)
    assert title is None or (title.isprintable() and 0 < len(title) <= LONGEST_TEXT)


class Bytes:
    """A stream of given bytes, in portions as they come."""

    def __init__(self, data):
        self.data = data
        self.most = 0

    def read1(self, n=-1):
        self.most = max(self.most, n)
        piece, self.data = self.data[:n], self.data[n:]
        return piece


@often
@given(data=st.binary(max_size=20_000), every=st.integers(1, 64), size=st.integers(1, 5000))
def test_any_stream_with_titles_ends(data, every, size):
    """Nothing is asked for beyond the longest block of the protocol, and nothing is made up."""
    stream = Bytes(data)
    reader = IcyReader(stream, every, lambda _: None)
    heard = b""
    while piece := reader.read1(size):
        heard += piece
    assert len(heard) <= len(data)
    assert stream.most <= max(255 * 16, every)


@given(st.text(max_size=30) | st.integers().map(str))
def test_any_interval_is_a_number_or_none(value):
    found = interval(value)
    assert found is None or 0 < found <= 16_000_000


def test_a_header_without_end_takes_no_memory():
    """A station's name of a gigabyte: refused after a line's worth of it."""
    sent = []

    def answer():
        link, _ = server.accept()
        with link, contextlib.suppress(OSError):
            link.recv(4096)
            link.sendall(b"HTTP/1.0 200 OK\r\nicy-name: ")
            for _ in range(16_384):
                link.sendall(b"x" * 65_536)
                sent.append(65_536)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        station = Station(f"http://127.0.0.1:{server.getsockname()[1]}/", lambda _: None)
        with contextlib.closing(station), pytest.raises(GenredError):
            station.open()
        thread.join(10)
    assert not thread.is_alive()
    assert sum(sent) < 32 * 2**20  # what the kernel's buffers took


# ---- payloads -----------------------------------------------------------------------------------


def test_any_birth_message_is_survived(mosquitto, tmp_path):
    """Rubbish on homeassistant/status, a megabyte of it as well: only `online` means something."""
    publisher = MqttPublisher(
        MqttSettings(url=mosquitto.url), "studio", environ={}, birth_delay=lambda: 0.0
    )
    publisher.offer(health(1))
    publisher.start(info(), (FEED,))
    assert publisher.wait_first(10) is None
    listener = mosquitto.listen("genred/studio/info")
    listener.wait(lambda heard: len(heard) == 1)
    random = np.random.default_rng(5)
    hostile = [b"", b"ONLINE", b"online\0", b" online", b"{", b"\xff\xfe", b"0" * 2**20]
    hostile += [random.bytes(int(random.integers(1, 300))) for _ in range(30)]
    payload = tmp_path / "payload"
    for each in hostile:
        payload.write_bytes(each)
        where = ["-p", str(mosquitto.port), "-t", "homeassistant/status", "-q", "1"]
        subprocess.run(["mosquitto_pub", *where, "-f", payload], check=True, timeout=10)
    wait_until(lambda: mosquitto.log.count("homeassistant/status'") >= 2 * len(hostile))
    time.sleep(0.3)
    assert len(listener.heard) == 1
    assert publisher.status().endswith(" connected")
    mosquitto.publish("homeassistant/status", "online")
    listener.wait(lambda heard: len(heard) == 2)
    publisher.stop()


def test_a_station_that_sends_a_title_without_end():
    """An MP3's tag of 256 MB: given up long before that has come."""
    sent = []

    def answer():
        link, _ = server.accept()
        with link, contextlib.suppress(OSError):
            link.recv(4096)
            link.sendall(b"HTTP/1.0 200 OK\r\ncontent-type: audio/mpeg\r\nicy-name: x\r\n\r\n")
            link.sendall(b"ID3\4\0\0\x7f\x7f\x7f\x7fTIT2\x7f\x7f\x7f\x70\0\0\0")
            for _ in range(256):
                link.sendall(b"x" * 2**20)
                sent.append(2**20)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        source = StreamSource(f"http://127.0.0.1:{server.getsockname()[1]}/", SystemClock())
        intake = FeedIntake("x", 16_000, 4_000, 10, threading.Event(), SystemClock())
        with pytest.raises(GenredError):
            source.run(intake)
        thread.join(10)
    assert not thread.is_alive()
    assert sum(sent) < NO_AUDIO_BYTES + 16 * 2**20  # what the kernel's buffers took
