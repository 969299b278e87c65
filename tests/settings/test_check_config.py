"""``genred check-config``, as a person runs it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from genred.settings.doubts import doubts
from genred.settings.load import load


def check(*arguments, **environ):
    """Run the command with an environment that holds no configuration but ``environ``."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GENRED_", "XDG_")) and name != "HOME"
    }
    code = "import sys; from genred.commands import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, "check-config", *map(str, arguments)],
        env={**clean, "HOME": "/nonexistent", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def write(tmp_path):
    def write(text, name="genred.toml", mode=0o600):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


def test_a_valid_file(write):
    path = write("[[feeds]]\nid = 'a'\nsource = 'station'\n[mqtt]\nqueue = 20\n")
    done = check(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert tomllib.loads(done.stdout)["mqtt"]["queue"] == 20
    assert f"queue = 20  # {path}:5" in done.stdout
    assert check("--config", path).stdout == done.stdout
    assert check(GENRED_CONFIG=str(path)).stdout == done.stdout


def test_exit_codes(write, tmp_path):
    done = check(write("[mqtt]\nqeue = 20\n"))
    assert done.returncode == 78
    assert done.stdout == ""
    assert "genred.toml:2: mqtt.qeue: unknown key; the nearest is queue" in done.stderr
    assert "Traceback" not in done.stderr
    done = check(tmp_path / "no.toml")
    assert done.returncode == 66
    assert "no such file" in done.stderr
    done = check("--nonsense")
    assert done.returncode == 64
    done = check("a.toml", "--config", "b.toml")
    assert done.returncode == 64


def test_passwords_are_never_printed(write, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("s3cret-of-file", encoding="utf-8")
    path = write(
        f"""
        [mqtt]
        url = "mqtt://genred:s3cret-of-url@broker"
        password_file = "{secret}"
        [[feeds]]
        id = "a"
        source = "http://me:s3cret-of-feed@radio/live?token=s3cret-token"
        """
    )
    for arguments, environ in (
        ((path,), {}),
        (
            (path,),
            {"GENRED_MQTT__URL": "mqtt://u:s3cret-of-env@b", "GENRED_MQTT_PASSWORD": "s3cret"},
        ),
    ):
        done = check(*arguments, **environ)
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in done.stdout + done.stderr
        assert "***" in done.stdout
        assert "holds a password" in done.stderr


def test_example_and_schema_are_printed():
    configs = Path(__file__).parents[2] / "configs"
    assert check("--print-example").stdout == (configs / "genred.toml").read_text("utf-8")
    assert check("--schema").stdout == (configs / "genred.schema.json").read_text("utf-8")


FEED = "[[feeds]]\nid = 'a'\nsource = 'station'\n"


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("", "feeds: none"),
        (FEED + "[mqtt]\nurl = 'mqtt://u:p@localhost'\n", "holds a password"),
        (FEED + "[mqtt]\nurl = 'mqtt://u@broker'\n", "in the clear"),
        (FEED + "[mqtt]\nurl = 'mqtt://broker'\nca_file = 'open'\n", "does not use them"),
        (FEED + "[mqtt]\nusername = 'u'\n", "so nothing is published"),
        (
            FEED + "[mqtt]\nurl = 'mqtts://u@h'\npassword_file = 'open'\n",
            "mqtt.password_file: others may read",
        ),
        (FEED + "[mqtt]\nurl = 'mqtts://u@h'\npassword_file = 'gone'\n", "is not there"),
        (FEED + "[mqtt]\nbase_topic = 'homeassistant'\n", "mqtt.base_topic: "),
        (FEED + "[model]\npath = 'gone'\n", "model.path: "),
        (FEED + "[judgement]\nsilence_after_s = 60\n", "judgement: dead air is told before"),
        (FEED + "judgement.dead_air_after_s = 1\n", "feeds.0.judgement: dead air"),
        ("[[feeds]]\nid = 'a'\nsource = 'gone.wav'\n", "feeds.0.source: "),
        (FEED + "[[feeds]]\nid = 'A'\nsource = '-'\n", "feeds.1.id: "),
        (FEED + "[[feeds]]\nid = 'b'\nsource = 'station'\n", "feeds.1.source: a listens"),
    ],
)
def test_each_doubt(write, text, doubt):
    write("", "open", mode=0o644)
    got = list(doubts(load(write(text), {}), {}))
    assert len(got) == 1
    assert doubt in got[0]


def test_a_password_in_a_file_that_others_may_read(write):
    text = FEED + "[mqtt]\nurl = 'mqtt://u:p@localhost'\n"
    got = list(doubts(load(write(text, mode=0o644), {}), {}))
    assert len(got) == 2
    assert "chmod 600" in got[1]


def test_a_variable_that_looks_like_a_setting(write):
    loaded = load(write(FEED), {})
    environ = {"GENRED_MQTT_URL": "x", "GENRED_MQTT_PASSWORD": "x", "GENRED_DATA": "x"}
    assert list(doubts(loaded, environ)) == [
        "$GENRED_MQTT_URL: is not read; the setting is GENRED_MQTT__URL"
    ]


def test_nothing_doubtful(write):
    private = write("secret", "private")
    loaded = load(
        write(FEED + f"[mqtt]\nurl = 'mqtts://u@h'\npassword_file = '{private}'\n", mode=0o644), {}
    )
    assert list(doubts(loaded, {})) == []
