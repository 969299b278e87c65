"""Where settings come from: search order, precedence, types, paths."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from genred.errors import AccessError, ConfigError, InputError, UsageError
from genred.settings import Settings
from genred.settings.faults import Kind
from genred.settings.feeds import FeedSettings
from genred.settings.files import MAX_BYTES, SYSTEM, candidates, find
from genred.settings.load import load, variable

NOWHERE = {"XDG_CONFIG_HOME": "/nowhere"}


@pytest.fixture(autouse=True)
def _no_system_file(monkeypatch, tmp_path):
    """A file in the machine's own /etc must not decide a test."""
    monkeypatch.setattr("genred.settings.files.SYSTEM", tmp_path / "etc")


@pytest.fixture
def write(tmp_path):
    def write(text, name="genred.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_without_anything_all_is_default():
    loaded = load(None, NOWHERE)
    assert loaded.path is None
    assert loaded.settings == Settings()
    assert loaded.settings.node.name == socket.gethostname()
    assert loaded.origin(("mqtt", "queue")).kind is Kind.DEFAULT


def test_the_places_of_the_file():
    assert str(SYSTEM) == "/etc"
    etc = find.__globals__["SYSTEM"] / "genred" / "genred.toml"
    assert candidates({"HOME": "/home/me"}) == (Path("/home/me/.config/genred/genred.toml"), etc)
    assert candidates({"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"}) == (
        Path("/x/genred/genred.toml"),
        etc,
    )
    assert candidates({"XDG_CONFIG_HOME": "relative", "HOME": "/h"})[0] == Path(
        "/h/.config/genred/genred.toml"
    )
    assert candidates({}) == (etc,)


def test_search_order(write, tmp_path):
    """Each place is taken when all before it are empty."""
    places = {
        "flag": write("[node]\nname = 'flag'", "flag.toml"),
        "variable": write("[node]\nname = 'variable'", "variable.toml"),
        "xdg": write("[node]\nname = 'xdg'", "xdg/genred/genred.toml"),
        "etc": write("[node]\nname = 'etc'", "etc/genred/genred.toml"),
    }
    environ = {
        "GENRED_CONFIG": str(places["variable"]),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "HOME": str(tmp_path),
    }
    assert load(places["flag"], environ).settings.node.name == "flag"
    assert load(None, environ).settings.node.name == "variable"
    environ["GENRED_CONFIG"] = ""
    loaded = load(None, environ)
    assert (loaded.settings.node.name, loaded.path) == ("xdg", places["xdg"])
    places["xdg"].unlink()
    assert load(None, environ).settings.node.name == "etc"
    places["etc"].unlink()
    assert load(None, environ).path is None


def test_precedence(write):
    """Flag over environment over file over default, key by key."""
    path = write("[mqtt]\nbase_topic = 'file'\nqueue = 20\nkeepalive_s = 21\n")
    environ = {"GENRED_MQTT__QUEUE": "30", "GENRED_MQTT__KEEPALIVE_S": "31"}
    loaded = load(path, environ, {"mqtt": {"keepalive_s": 41, "heartbeat_s": None}})
    mqtt = loaded.settings.mqtt
    assert (mqtt.base_topic, mqtt.queue, mqtt.keepalive_s, mqtt.heartbeat_s) == (
        "file",
        30,
        41,
        30.0,
    )
    names = ("base_topic", "queue", "keepalive_s", "heartbeat_s")
    assert [str(loaded.origin(("mqtt", name))) for name in names] == [
        f"{path}:2",
        "$GENRED_MQTT__QUEUE",
        "command line",
        "default",
    ]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("GENRED_MQTT__SCORES", "true", True),
        ("GENRED_MQTT__SCORES", "0", False),
        ("GENRED_MQTT__QUEUE", "77", 77),
        ("GENRED_JUDGEMENT__ENTER", "0.75", 0.75),
        ("GENRED_MODEL__PATH", "models/x.onnx", Path("models/x.onnx")),
        ("GENRED_NODE__NAME", "5", "5"),
        ("GENRED_LOGGING__LEVEL", "debug", "debug"),
        ("GENRED_MQTT__USERNAME", "", None),
        ("GENRED_MQTT__PASSWORD_FILE", "", None),
        ("GENRED_FEEDS__0__RATE", "48000", 48000),
        ("GENRED_FEEDS__0__JUDGEMENT__ENTER", "0.9", 0.9),
    ],
)
def test_the_environment_is_read_as_the_type_demands(write, name, text, value):
    path = write("[mqtt]\nurl = 'mqtt://h'\nusername = 'u'\n[[feeds]]\nid = 'a'\nsource = '-'\n")
    got = load(path, {name: text}).settings
    for part in name.removeprefix("GENRED_").lower().split("__"):
        got = got[int(part)] if part.isdigit() else getattr(got, part)
    assert got == value
    assert type(got) is type(value) or isinstance(got, Path)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (
            "GENRED_MQTT__QUEUE",
            "many",
            '$GENRED_MQTT__QUEUE: must be a whole number from 10 to 1000000, not "many"',
        ),
        (
            "GENRED_MQTT__QUEUE",
            "",
            '$GENRED_MQTT__QUEUE: must be a whole number from 10 to 1000000, not ""',
        ),
        (
            "GENRED_MQTT__QUEU",
            "5",
            "$GENRED_MQTT__QUEU: no such setting; the nearest is GENRED_MQTT__QUEUE",
        ),
        (
            "GENRED_MQTT",
            None,
            None,
        ),
        (
            "GENRED_FEEDS__0",
            "x",
            "$GENRED_FEEDS__0: no such setting; the nearest is GENRED_FEEDS__0__ID",
        ),
        (
            "GENRED_FEEDS__3__ID",
            "x",
            "$GENRED_FEEDS__3__ID: feeds are numbered from 0 without a gap; the next is 0",
        ),
        (
            "GENRED_LOGGING__LEVEL",
            "loud",
            '$GENRED_LOGGING__LEVEL: must be "debug", "info", "warning" or "error", not "loud"',
        ),
    ],
)
def test_what_is_wrong_in_the_environment(name, text, line):
    environ = {**NOWHERE, name: text or ""}
    if line is None:
        load(None, environ)
        return
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    assert caught.value.message == line


def test_other_variables_are_no_settings():
    environ = {
        **NOWHERE,
        "GENRED_DATA": "/data",
        "GENRED_MQTT_PASSWORD": "secret",
        "GENRED_CONFIG": "",
        "OTHER__THING": "x",
    }
    assert load(None, environ).settings == Settings()


def test_feeds_from_the_environment_alone():
    """As a container is set up, without a file."""
    environ = {
        **NOWHERE,
        "GENRED_FEEDS__1__ID": "b",
        "GENRED_FEEDS__1__SOURCE": "station",
        "GENRED_FEEDS__0__ID": "a",
        "GENRED_FEEDS__0__SOURCE": "http://radio/live",
        "GENRED_FEEDS__0__LOOP": "yes",
    }
    first, second = load(None, environ).settings.feeds
    assert (first.id, first.source, first.loop) == ("a", "http://radio/live", True)
    assert (second.id, second.loop) == ("b", False)


def test_more_than_ten_feeds_from_the_environment():
    environ = dict(NOWHERE)
    for index in range(12):
        environ[f"GENRED_FEEDS__{index}__ID"] = f"f{index}"
        environ[f"GENRED_FEEDS__{index}__SOURCE"] = "station"
    assert [feed.id for feed in load(None, environ).settings.feeds][9:] == ["f9", "f10", "f11"]


def test_the_environment_amends_and_adds_feeds(write):
    path = write("[[feeds]]\nid = 'a'\nsource = 'station'\n")
    environ = {
        "GENRED_FEEDS__0__CHANNEL": "left",
        "GENRED_FEEDS__1__ID": "b",
        "GENRED_FEEDS__1__SOURCE": "-",
    }
    loaded = load(path, environ)
    assert [(feed.id, feed.channel) for feed in loaded.settings.feeds] == [
        ("a", "left"),
        ("b", "mix"),
    ]
    assert str(loaded.origin(("feeds", 0, "id"))) == f"{path}:2"
    assert str(loaded.origin(("feeds", 0, "channel"))) == "$GENRED_FEEDS__0__CHANNEL"


def test_feeds_of_the_command_line_take_the_place_of_the_file_s(write):
    path = write("[[feeds]]\nid = 'a'\nsource = 'station'\n[[feeds]]\nid = 'b'\nsource = '-'\n")
    overrides = {"feeds": [{"id": "c", "source": "x.wav"}, FeedSettings(id="d", source="-")]}
    loaded = load(path, {}, overrides)
    assert [feed.id for feed in loaded.settings.feeds] == ["c", "d"]
    assert loaded.settings.feeds[0].source == "x.wav"
    assert loaded.origin(("feeds", 1, "id")).kind is Kind.FLAG
    assert loaded.origin(("feeds", 1, "rate")).kind is Kind.DEFAULT


def test_a_wrong_flag_alone_is_wrong_usage():
    with pytest.raises(UsageError) as caught:
        load(None, NOWHERE, {"mqtt": {"url": "http://broker"}})
    assert caught.value.message.startswith("command line: mqtt.url: ")


def test_what_does_not_go_together_is_laid_on_all_who_had_a_part(write):
    path = write("[mqtt]\nalpn = 'mqtt'\nurl = 'mqtts://h'\n")
    environ, flags = {"GENRED_MQTT__URL": "mqtt://h"}, {"mqtt": {"url": "mqtt://h"}}
    for named, variables, overrides, where in (
        (path, {}, flags, f"{path}:1, command line"),
        (path, environ, {}, f"{path}:1, $GENRED_MQTT__URL"),
        (None, {"GENRED_MQTT__ALPN": "x"}, flags, "$GENRED_MQTT__ALPN, command line"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(named, {**NOWHERE, **variables}, overrides)
        assert caught.value.message.startswith(f"{where}: mqtt: alpn needs TLS")


def test_paths_are_relative_to_the_file(write, tmp_path, monkeypatch):
    path = write(
        """
        [model]
        path = "m/model.onnx"
        [mqtt]
        username = "u"
        password_file = "~/secret"
        ca_file = "/etc/ca.pem"
        [[feeds]]
        id = "a"
        source = "music/x.wav"
        [[feeds]]
        id = "b"
        source = "device:USB Audio"
        [[feeds]]
        id = "c"
        source = "http://radio/live"
        [[feeds]]
        id = "d"
        source = "~/music"
        [[feeds]]
        id = "e"
        source = "-"
        """,
        "etc/g.toml",
    )
    monkeypatch.chdir(tmp_path)
    settings = load(path.relative_to(tmp_path), {"HOME": "/home/me"}).settings
    assert settings.model.path == tmp_path / "etc/m/model.onnx"
    assert settings.mqtt.password_file == Path("/home/me/secret")
    assert settings.mqtt.ca_file == Path("/etc/ca.pem")
    assert [feed.source for feed in settings.feeds] == [
        str(tmp_path / "etc/music/x.wav"),
        "device:USB Audio",
        "http://radio/live",
        "/home/me/music",
        "-",
    ]
    flags = load(path, {"GENRED_MODEL__PATH": "b"}, {"mqtt": {"ca_file": "c"}}).settings
    assert (flags.model.path, flags.mqtt.ca_file) == (Path("b"), Path("c"))


def test_a_feed_inherits_judgement_key_by_key(write):
    path = write(
        """
        [judgement]
        enter = 0.9
        silence_dbfs = -40
        [[feeds]]
        id = "a"
        source = "-"
        judgement = { exit = 0.8 }
        [[feeds]]
        id = "b"
        source = "station"
        """
    )
    settings = load(path, {}).settings
    first, second = (settings.judgement_for(feed) for feed in settings.feeds)
    assert (first.enter, first.exit, first.silence_dbfs) == (0.9, 0.8, -40.0)
    assert second == settings.judgement


def test_a_feed_s_judgement_must_go_with_the_others(write):
    path = write(
        "[judgement]\nenter = 0.5\n"
        "[[feeds]]\nid = 'a'\nsource = '-'\n[feeds.judgement]\nexit = 0.55\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.message == (
        f"{path}:6: feeds.0.judgement: exit must not be above enter (together with [judgement])"
    )


def test_numbers_keep_to_toml_s_types(write):
    """``true`` is no number and ``"4"`` none either; a whole number will do for a fraction."""
    assert load(write("[judgement]\nsilence_dbfs = -40\n"), {}).settings
    for wrong in ('"4"', "true", "4.0"):
        with pytest.raises(ConfigError, match="must be a whole number from 1 to 64"):
            load(write(f"[model]\nthreads = {wrong}\n"), {})


def test_a_missing_file_is_missing_input(tmp_path):
    for path, environ in ((tmp_path / "no.toml", {}), (None, {"GENRED_CONFIG": "/no.toml"})):
        with pytest.raises(InputError, match=r"no\.toml: no such file") as caught:
            load(path, environ)
        assert caught.value.exit_code == 66
    with pytest.raises(InputError, match="no such file"):
        load(Path("/etc/passwd/x.toml"), {})
    with pytest.raises(InputError, match="cannot be read"):
        load(Path("a\0b"), {})
    with pytest.raises(InputError, match="no such file"):
        load(None, {"GENRED_CONFIG": "a\0b"})


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path, {})


def test_a_file_that_may_not_be_read(tmp_path):
    """Root reads everything, so that an ordinary user has to try."""
    path = tmp_path / "genred.toml"
    path.write_text("", encoding="utf-8")
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(AccessError, match="may not be read") as caught:
            load(path, {})
        assert caught.value.exit_code == 77
        return
    tmp_path.chmod(0o711)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from genred.errors import GenredError\n"
        "from genred.settings.load import load\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: load(Path(sys.argv[1]), {})\n"
        "except GenredError as error: print(error); sys.exit(error.exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path.name],
        cwd=tmp_path,  # the folders above need not be open to that user
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 77, done.stderr
    assert done.stdout.startswith(f"{path.name}: may not be read")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[node]\nname = '\xff'\n", ":2: not UTF-8 text"),
        ("[node]\nname = 'x'\n".encode("utf-16"), ":1: not UTF-8 text"),
        (b"[node]\nname = 'a\0b'\n", ":2: a NUL byte"),
        (b"#" * (MAX_BYTES + 1), "larger than 1 MiB"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"1" * 5000, "not valid TOML: Exceeds the limit"),
        (b"[node\n", ":1:6: not valid TOML: "),
        (b"[node]\nname = radio\n", ":2:8: not valid TOML: Invalid value"),
        (b"[node]\nname = 'x\n", ":2:"),
        (b"[node]\n[node]\n", ":2:"),
        (b"[node]\nname = 'x'\nname = 'y'\n", ":3:"),
        (b"a = [1,\n", ":1: not valid TOML: "),
    ],
)
def test_what_is_no_configuration(tmp_path, data, message):
    path = tmp_path / "genred.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")
    assert caught.value.exit_code == 78


def test_a_sparse_file_of_10_gb_is_refused_at_once(tmp_path):
    path = tmp_path / "genred.toml"
    with path.open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load(path, {})


def test_the_marks_of_windows_are_no_hindrance(tmp_path):
    path = tmp_path / "genred.toml"
    path.write_bytes(b"\xef\xbb\xbf[node]\r\nname = 'x'\r\nnam = 'y'\r\n")
    with pytest.raises(ConfigError, match=r":3: node\.nam: unknown key; the nearest is name"):
        load(path, {})


def test_a_pipe_can_be_read(tmp_path):
    """As the shell's ``<(…)`` gives one."""
    read, write = os.pipe()
    os.write(write, b"[node]\nname = 'piped'\n")
    os.close(write)
    try:
        assert load(Path(f"/dev/fd/{read}"), {}).settings.node.name == "piped"
    finally:
        os.close(read)


def test_the_variable_of_a_key():
    assert variable(("feeds", 0, "source")) == "GENRED_FEEDS__0__SOURCE"


def test_loading_is_quick(write):
    """Under 50 ms beside the import of pydantic, for a file with a hundred feeds."""
    feeds = "".join(f"[[feeds]]\nid = 'f{n}'\nsource = 'station:{n}'\n" for n in range(100))
    path = write(feeds)
    code = (
        "import pydantic, sys, time; from pathlib import Path\n"
        "import genred.settings.root\n"
        "start = time.process_time()\n"
        "from genred.settings.load import load\n"
        "load(Path(sys.argv[1]), {})\n"
        "print(time.process_time() - start)\n"
        "heavy = {'torch', 'numpy', 'onnxruntime', 'av', 'rich', 'paho'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.05
