"""``genred doctor``: each fault that it is to find, made; and a world in which there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from genred.clock import FakeClock
from genred.doctor import machine
from genred.doctor.findings import Verdict
from genred.settings.feeds import FeedSettings
from rigs import clips
from rigs.ports import free_port


def examine(genred, tmp_path, text, *options, **environ):
    """Exit code, and findings by what they are about."""
    path = tmp_path / "genred.toml"
    path.write_text(text)
    result = genred("doctor", "--config", path, "--json", *options, **environ)
    assert result.stderr == ""
    found = {}
    for each in json.loads(result.stdout):
        found.setdefault(each["about"], []).append(each)
    return result.returncode, found


def feed(source, name="radio"):
    return f'[[feeds]]\nid = "{name}"\nsource = "{source}"\n'


def worst(findings):
    order = ["ok", "doubt", "fault"]
    return max(findings, key=lambda each: order.index(each["verdict"]))


def test_all_is_well(genred, tmp_path, mosquitto):
    text = f'[mqtt]\nurl = "{mosquitto.url}"\n' + feed("station:3")
    code, found = examine(genred, tmp_path, text)
    assert code == 0
    for about in ("configuration", "limits", "sound", "model", "broker", "feed radio"):
        assert worst(found[about])["verdict"] == "ok", found[about]
    assert "heard" in found["feed radio"][0]["found"]
    assert "was not there yet" in found["broker"][0]["found"]
    assert mosquitto.retained("#") == {}


def test_faults_are_told_together_and_the_worst_is_the_exit_code(genred, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    text = f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n[model]\npath = "{broken}"\n' + feed(
        "station:3"
    )
    code, found = examine(genred, tmp_path, text)
    assert found["broker"][0]["exit_code"] == 69
    assert "connection refused" in found["broker"][0]["found"]
    assert found["model"][0]["exit_code"] == 78
    assert code == 78


def test_each_feed_has_a_finding_of_its_own(genred, tmp_path):
    silent = clips.write_wav(tmp_path / "silent.wav", np.full(16000 * 3, 1e-4))
    text = (
        feed(f"http://127.0.0.1:{free_port()}/live", "web")
        + feed(str(silent), "quiet")
        + feed("/nowhere/at/all.wav", "lost")
        + feed("station:3", "fine")
    )
    code, found = examine(genred, tmp_path, text)
    assert code == 69
    assert found["feed web"][0]["verdict"] == "fault"
    assert found["feed quiet"][0]["verdict"] == "doubt"
    assert "counts as silence" in found["feed quiet"][0]["found"]
    assert found["feed lost"][0]["exit_code"] == 66
    assert found["feed fine"][0]["verdict"] == "ok"


def test_a_wrong_password_is_access(genred, tmp_path, make_mosquitto):
    broker = make_mosquitto(users={"ear": "right"}).start()
    text = f'[mqtt]\nurl = "{broker.url}"\nusername = "ear"\n' + feed("station:3")
    code, found = examine(genred, tmp_path, text, "--no-listen", GENRED_MQTT_PASSWORD="wrong one")
    assert code == 77
    assert found["broker"][0]["mend"]
    assert "wrong one" not in json.dumps(found)
    assert "feed radio" not in found


def test_a_wrong_configuration_is_the_first_thing_said(genred, tmp_path):
    code, found = examine(genred, tmp_path, "[judgment]\nenter = 0.5\n")
    assert code == 78
    assert "judgement" in found["configuration"][0]["found"]
    assert "model" not in found


def test_cuda_that_is_not_there(genred, tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    text = '[model]\nprovider = "cuda"\n' + feed("station:3")
    code, found = examine(genred, tmp_path, text, "--no-listen")
    assert code == 69
    assert "CUDA" in found["model"][0]["found"]


def test_a_person_reads_lines_without_colour_in_a_pipe(genred):
    result = genred("doctor", "--no-listen")
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert any(line.startswith("doubt configuration: no file") for line in lines)
    assert any(line.lstrip().startswith("-> ") for line in lines)


def test_a_missing_device_names_those_there_are(genred, tmp_path, pulse):
    code, found = examine(genred, tmp_path, feed("device:no such thing"), **pulse.environment)
    assert code == 69
    assert "pulse" in found["feed radio"][0]["found"]


def test_a_clock_of_another_century():
    finding = machine.clock(FakeClock(now=0.0))
    assert finding.verdict is Verdict.FAULT
    assert "1970" in finding.found


def test_too_few_descriptors(monkeypatch):
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (64, 64))
    assert machine.limits(1).verdict is Verdict.OK
    finding = machine.limits(20)
    assert finding.verdict is Verdict.DOUBT
    assert "LimitNOFILE" in finding.mend


def test_a_sound_card_that_others_own(monkeypatch, tmp_path):
    (tmp_path / "pcmC0D0c").touch()
    monkeypatch.setattr(machine, "SOUND", tmp_path)
    wanted = [FeedSettings(id="mic", source="default")]
    # Root may open everything: what another user would be told comes from the same question.
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    about = [each for each in machine.sound(wanted) if each.verdict is Verdict.FAULT]
    assert about[0].exit_code == 77
    assert "usermod -aG" in about[0].mend


def test_a_configuration_that_the_service_cannot_read(monkeypatch, tmp_path):
    from genred.doctor import examination

    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "genred.toml"
    path.touch(mode=0o600)
    monkeypatch.setattr(examination, "SYSTEM_FOLDER", folder)
    error = examination._closed_to_the_service(path)
    assert error is not None
    assert "chmod o+r" in error.hint
