"""``genred run`` and ``genred demo`` as people start them, and all that can be wrong with that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from genred.messages import FeedEvent, FeedHealth, FeedState
from rigs import clips, tiny_model
from rigs.ports import free_port, wait_until


@pytest.fixture
def programme(tmp_path):
    """12 s of talk, 12 s of rain."""
    parts = [clips.style("speech", 12), clips.style("rain", 12)]
    return clips.write_wav(tmp_path / "programme.wav", np.concatenate(parts))


def test_a_file_from_its_first_to_its_last_label(genred, programme):
    result = genred("run", "--source", programme, "--fast", "--json")
    assert result.returncode == 0, result.stderr
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    events = [m for m in messages if "event_type" in m]
    assert [(e["event_type"], e["label"]) for e in events] == [
        ("started", "speech"),
        ("changed", "noise"),
        ("ended", "noise"),
    ]
    assert events[1]["title"] == "programme.wav"


def test_plain_lines_are_one_a_change(genred, programme):
    result = genred("run", "--source", programme, "--fast", "--plain")
    lines = result.stdout.splitlines()
    assert 4 <= len(lines) <= 7
    assert any("programme changed speech -> noise" in line for line in lines)
    assert "\x1b" not in result.stdout


def test_a_folder_is_played_in_order_and_feeds_are_named_by_their_sources(genred, tmp_path):
    folder = tmp_path / "Late Night!"
    folder.mkdir()
    clips.write_wav(folder / "1.wav", clips.style("speech", 10))
    clips.write_wav(folder / "2.wav", clips.style("static", 10))
    result = genred("run", "--source", folder, "--source", folder, "--fast", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    for feed in ("Late_Night", "Late_Night_2"):
        kinds = [e["kind"] for e in events if e.get("event_type") and e["feed"] == feed]
        assert kinds == ["speech", "noise", "noise"]


@pytest.mark.parametrize("form", ["s16le", "f32le"])
def test_raw_pcm_on_standard_input(genred, form):
    samples = np.repeat(clips.style("speech", 12), 3)
    pcm = samples.astype("<f4") if form == "f32le" else (samples * 32767).astype("<i2")
    result = genred(
        "run", "--source", "-", "--rate", "48000", "--format", form, "--json", stdin=pcm.tobytes()
    )
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [e["label"] for e in events if e.get("event_type") == "started"] == ["speech"]
    assert {e["feed"] for e in events} == {"", "stdin"}  # the node itself speaks first


def test_a_subscriber_sees_all_of_it_and_the_end(genred, mosquitto):
    listener = mosquitto.listen("genred/#", "homeassistant/#")
    running = genred.start(
        "run", "--source", "station:3", "--plain", "--mqtt", mosquitto.url, "--node", "my node"
    )
    listener.wait_for("genred/my_node/status", "online")
    listener.wait_for("genred/my_node/station_3/status", "online")
    listener.wait_for("homeassistant/device/genred__my_node__station_3/config")

    def started(heard):
        return any(h.topic.endswith("/event") and h.json["event_type"] == "started" for h in heard)

    listener.wait(started, 30)
    began = time.monotonic()
    assert running.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    listener.wait_for("genred/my_node/status", "offline")
    retained = mosquitto.retained("genred/#")
    assert retained["genred/my_node/status"] == "offline"
    assert retained["genred/my_node/station_3/status"] == "offline"
    state = FeedState.from_dict(json.loads(retained["genred/my_node/station_3/state"]))
    assert state.label == "unknown"
    health = FeedHealth.from_dict(json.loads(retained["genred/my_node/station_3/health"]))
    assert health.overflows == 0
    assert health.decisions > 0
    events = [FeedEvent.from_dict(h.json) for h in listener.heard if h.topic.endswith("/event")]
    assert events[0].event_type == "started"
    assert events[-1].event_type == "ended"
    # The audio's time, not the sending's: a start lies before the moment it was announced.
    assert events[0].start < events[0].ts


def test_a_broker_that_is_away_at_the_start_disturbs_nothing(genred, make_mosquitto):
    broker = make_mosquitto()
    running = genred.start("run", "--source", "station:3", "--plain", "--mqtt", broker.url)
    running.wait_for("station_3 started")
    broker.start()
    listener = broker.listen("genred/#")
    state = listener.wait_for(f"genred/{os.uname().nodename}/station_3/state", seconds=40)
    assert state.json["label"] != ""
    assert running.end() == 0


def test_the_demo_needs_nothing_and_tells_how_to_watch_it(genred):
    running = genred.start("demo", "--plain", GENRED_BROKER__PORT=str(free_port()))
    line = running.wait_for("mosquitto_sub")
    words = line.partition("mosquitto_sub")[2].replace("'", "").split()
    listener = subprocess.Popen(
        ["mosquitto_sub", *words, "-C", "3"], stdout=subprocess.PIPE, text=True
    )
    seen, _ = listener.communicate(timeout=30)
    assert len(seen.splitlines()) == 3
    running.wait_for("started", 40)
    assert running.end() == 0
    assert not any("Traceback" in line for line in running.lines)


def test_the_demo_of_a_source_of_ones_own(genred, programme):
    result = genred("demo", "--source", programme, "--fast", "--plain", GENRED_BROKER__PORT="0")
    assert result.returncode == 0, result.stderr
    assert "mosquitto_sub" in result.stderr
    assert "programme started speech" in result.stdout


def test_run_without_anything_is_the_demo(genred):
    result = genred("run", "--duration", "2.5", GENRED_BROKER__PORT="0")
    assert result.returncode == 0, result.stderr
    assert "mosquitto_sub" in result.stderr
    assert "station" in result.stdout


def test_many_feeds_from_a_configuration_are_scored_together(genred, tmp_path):
    clips.write_wav(tmp_path / "talk.wav", clips.style("speech", 10))
    feeds = "".join(
        f'[[feeds]]\nid = "feed{index}"\nsource = "talk.wav"\nfast = true\n' for index in range(12)
    )
    config = tmp_path / "genred.toml"
    config.write_text(feeds)
    result = genred("run", "--config", config, "--json")
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    started = [e["feed"] for e in events if e.get("event_type") == "started"]
    assert sorted(started) == sorted(f"feed{index}" for index in range(12))


def test_a_configured_file_that_is_not_there_yet_is_looked_for(genred, tmp_path):
    talk = clips.write_wav(tmp_path / "talk.wav", clips.style("speech", 10))
    config = tmp_path / "genred.toml"
    config.write_text(
        '[[feeds]]\nid = "late"\nsource = "late.wav"\nfast = true\n'
        '[[feeds]]\nid = "here"\nsource = "talk.wav"\nfast = true\n'
    )
    running = genred.start("run", "--config", config, "--plain")
    running.wait_for("here ended")  # the other feed is not kept waiting
    talk.rename(tmp_path / "late.wav")
    running.wait_for("late started speech")
    running.wait_for("late ended speech")
    assert running.process.wait(20) == 0
    assert sum("no such file" in line for line in running.lines) == 2  # plain line and log line


def foreign_onnx(folder):
    model = tiny_model.build()
    del model.metadata_props[:]
    return tiny_model.write(folder / "foreign.onnx", model)


def no_onnx(folder):
    path = folder / "song.onnx"
    path.write_bytes(b"ID3\x04 this is a song")
    return path


def html_file(folder):
    path = folder / "page.mp3"
    path.write_text("<!doctype html><html><body>404</body></html>")
    return path


def empty_file(folder):
    path = folder / "empty.wav"
    path.touch()
    return path


def bad_config(folder):
    path = folder / "genred.toml"
    path.write_text("[mqtt]\nbase_topik = 'x'\n")
    return path


BAD = {
    "unknown command": (lambda _: ["listen"], 64, "invalid choice"),
    "unknown option": (lambda _: ["run", "--loud"], 64, "--loud"),
    "duration of nothing": (lambda _: ["run", "--duration", "0"], 64, "positive"),
    "a rate that is none": (lambda _: ["run", "--source", "-", "--rate", "3"], 64, "rate"),
    "no such source": (lambda _: ["run", "--source", "/nowhere/x.wav"], 66, "no such file"),
    "an empty file": (lambda f: ["run", "--source", empty_file(f)], 66, "empty"),
    "a file that is no audio": (lambda f: ["run", "--source", html_file(f)], 66, "page.mp3"),
    "no such device": (lambda _: ["run", "--source", "device:No Such Thing"], 69, "No Such Thing"),
    "a URL that refuses": (
        lambda _: ["run", "--source", f"http://127.0.0.1:{free_port()}/live"],
        69,
        "127.0.0.1",
    ),
    "no model": (lambda f: ["run", "--model", f / "none.onnx"], 66, "no model"),
    "a model that is not ONNX": (lambda f: ["run", "--model", no_onnx(f)], 78, "not an ONNX"),
    "an ONNX that is not ours": (lambda f: ["run", "--model", foreign_onnx(f)], 78, "genred's"),
    "an unknown key": (lambda f: ["run", "--config", bad_config(f)], 78, "base_topic"),
    "no configuration": (lambda f: ["run", "--config", f / "none.toml"], 66, "none.toml"),
    "a broker that is no URL": (lambda _: ["run", "--mqtt", "ftp://host"], 64, "mqtt"),
    "a provider that is not here": (lambda _: ["demo", "--provider", "cuda"], 69, "CUDA"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_its_exit_code(case, genred, tmp_path):
    make, code, words = BAD[case]
    result = (
        genred(*make(tmp_path), "--duration", "20")
        if "duration" not in case
        else genred(*make(tmp_path))
    )
    assert result.returncode == code, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("genred")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_device_is_answered_with_those_there_are(genred, pulse):
    result = genred("run", "--source", "device:No Such Thing")
    assert result.returncode == 69
    assert "pulse" in result.stderr


def test_a_broker_that_refuses_the_password_ends_what_was_typed(genred, make_mosquitto):
    broker = make_mosquitto(users={"ear": "right"}).start()
    url = f"mqtt://ear@127.0.0.1:{broker.port}"
    result = genred("run", "--source", "station", "--mqtt", url, GENRED_MQTT_PASSWORD="wr0ng")
    assert result.returncode == 77
    assert "refuse" in result.stderr.splitlines()[-1]
    assert "wr0ng" not in result.stderr + result.stdout


def test_a_configured_broker_that_refuses_does_not_stop_listening(genred, make_mosquitto, tmp_path):
    broker = make_mosquitto(users={"ear": "right"}).start()
    config = tmp_path / "genred.toml"
    config.write_text(
        f'[mqtt]\nurl = "mqtt://ear@127.0.0.1:{broker.port}"\n'
        '[[feeds]]\nid = "air"\nsource = "station:3"\n'
    )
    running = genred.start("run", "--config", config, "--plain", GENRED_MQTT_PASSWORD="wrong")
    running.wait_for("air started")
    assert running.end() == 0
    assert any("refuse" in line for line in running.lines)


def test_a_second_of_a_stopped_process_is_no_traceback(genred):
    running = genred.start("demo", "--plain", GENRED_BROKER__PORT="0")
    # Python itself is there, whose start is its own affair, and genred's imports have begun.
    maps = Path(f"/proc/{running.process.pid}/maps")
    wait_until(lambda: "numpy" in maps.read_text())
    assert running.end(signal.SIGINT) in (0, 130, -signal.SIGINT)
    assert not any("Traceback" in line for line in running.lines)


@pytest.mark.slow
def test_a_microphone_hears_what_is_played(genred, pulse, tmp_path):
    """A real clip, out of a loudspeaker and into a microphone, as far as a machine can do it."""
    speech = clips.real_clips("speech")[0]
    wav = tmp_path / "speech.wav"
    subprocess.run(["ffmpeg", "-v", "error", "-i", speech, wav], check=True)
    running = genred.start("run", "--source", "device:pulse", "--plain")
    running.wait_for("listening")
    player = pulse.play(wav)
    try:
        assert "speech" in running.wait_for("peech", 40)
    finally:
        player.kill()
        player.wait()
    assert running.end() == 0


@pytest.mark.slow
def test_internet_radio_is_heard_with_its_name_and_title(genred, icecast, tmp_path):
    clip = clips.real_clips("classical")[0]
    wav = tmp_path / "classical.wav"
    subprocess.run(["ffmpeg", "-v", "error", "-stream_loop", "3", "-i", clip, wav], check=True)
    station = icecast.broadcast(wav, name="Radio Test")
    try:
        running = genred.start("run", "--source", icecast.url(), "--json")
        running.wait_for('"label": "classical"', 60)
        assert any("Radio Test" in line for line in running.lines)
        assert running.end() == 0
    finally:
        icecast.stop_station(station)


def test_commands_start_without_what_they_do_not_need():
    """``--help`` and refusals are quick because nothing heavy is imported for them."""
    script = (
        "import sys, genred.commands as c\n"
        "try: c.main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'onnxruntime', 'av', 'rich', 'paho', 'amqtt', 'torch', 'pydantic'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "loaded: []"
