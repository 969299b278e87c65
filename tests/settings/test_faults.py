"""What is wrong is told line by line: where, what, and what is allowed."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genred.errors import ConfigError, GenredError
from genred.settings import Settings
from genred.settings.fields import keys
from genred.settings.load import load
from genred.settings.values import to_toml


def faults(tmp_path, text):
    path = tmp_path / "genred.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.exit_code == 78
    return [line.removeprefix(f"{path}:") for line in caught.value.message.splitlines()]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[mqtt]\n\nqeue = 20\n", "3: mqtt.qeue: unknown key; the nearest is queue"),
        (
            "[broker]\nxyzzy = 1\n",
            "2: broker.xyzzy: unknown key; known are embedded, port",
        ),
        ("[loging]\n", "1: loging: unknown section; the nearest is [logging]"),
        ("[[feed]]\n", "1: feed: unknown section; the nearest is [[feeds]]"),
        ("url = 'x'\n", "1: url: unknown key here; it belongs in [mqtt]"),
        ("[node]\nsource = 'x'\n", "2: node.source: unknown key here; it belongs in [[feeds]]"),
        (
            "[mqtt]\npassword = 'hunter2'\n",
            "2: mqtt.password: unknown key; the nearest is password_file",
        ),
        ('[mqtt]\n"a\\nb\\u001b" = 1\n', '2: mqtt."a\\nb\\u001b": unknown key; known are url, '),
        ("mqtt = 5\n", "1: mqtt: must be a table, under [mqtt], not 5"),
        ("[[mqtt]]\n", "1: mqtt: must be a table, under [mqtt], not an array"),
        (
            "[feeds]\nid = 'x'\n",
            "1: feeds: must be tables, each under a [[feeds]] of its own, not a table",
        ),
        ("feeds = [1]\n", "1: feeds.0: must be a table, under [[feeds]], not 1"),
        ("[[feeds]]\nid = 'a'\n", "1: feeds.0.source: is missing; every [[feeds]] needs it"),
        (
            "[model]\nthreads = 65\n",
            "2: model.threads: must be a whole number from 1 to 64, not 65",
        ),
        ("[model]\npath = 1\n", "2: model.path: must be a path, not 1"),
        (
            "[judgement]\nenter = 1\n",
            "2: judgement.enter: must be a number above 0 and below 1, not 1",
        ),
        (
            "[judgement]\nenter = nan\n",
            "2: judgement.enter: must be a number above 0 and below 1, not nan",
        ),
        (
            "[judgement]\n\nexit = 0.5\nenter = 0.4\n",
            "1: judgement: exit must not be above enter",
        ),
        ("[mqtt]\nscores = 'yes'\n", '2: mqtt.scores: must be true or false, not "yes"'),
        (
            "[dashboard]\nplain = 2026-01-31\n",
            "2: dashboard.plain: must be true or false, not 2026-01-31",
        ),
        (
            "[logging]\nlevel = 'LOUD'\n",
            '2: logging.level: must be "debug", "info", "warning" or "error", not "LOUD"',
        ),
        ("[node]\nname = ''\n", '2: node.name: must be text, not empty, not ""'),
        (
            "[[feeds]]\nid = 'a b'\nsource = '-'\n",
            "2: feeds.0.id: must be text of the form ^[a-zA-Z0-9_-]+$ of at most 64",
        ),
        (
            "[[feeds]]\nid = 'a'\nsource = '-'\n[[feeds]]\nid = 'a'\nsource = 'x.wav'\n",
            "5: feeds.1.id: feed 1 is called 'a' already",
        ),
        (
            "[[feeds]]\nid = 'a'\nsource = '-'\n[[feeds]]\nid = 'b'\nsource = '-'\n",
            "6: feeds.1.source: only one feed can read standard input",
        ),
        (
            "[[feeds]]\nid = 'a'\nsource = '-'\njudgement.entr = 1\n",
            "4: feeds.0.judgement.entr: unknown key; the nearest is enter",
        ),
        ("[mqtt]\ncert_file = 'x'\n", "1: mqtt: cert_file and key_file go together"),
    ],
)
def test_one_fault(tmp_path, text, line):
    (got,) = faults(tmp_path, text)
    assert got.startswith(line)


def test_all_faults_are_listed_in_order(tmp_path):
    text = (
        "[mqtt]\nqueue = 1\nqeue = 2\n[zzz]\n[[feeds]]\nid = 'a'\n[[feeds]]\nsource = 5\n"
        "[node]\nname = 5\n"
    )
    assert [int(line.split(":")[0]) for line in faults(tmp_path, text)] == [2, 3, 4, 5, 7, 8, 10]


@pytest.mark.parametrize(
    "text",
    [
        "[mqtt]\nurl = 'http://me:hunter2@host'\n",
        "[mqtt]\nurl = 'mqtt://me:hunter2@host/path'\n",
        "[mqtt]\nurl = 'mqtt://me:hunter2/@host:x'\n",
        "[mqtt]\npassword = 'hunter2'\n",
        "[mqtt]\nqueue = 'mqtt://me:hunter2@host'\n",
        "[[feeds]]\nid = 'http://me:hunter2@host'\nsource = 'http://me:hunter2@host'\n",
        "[mqtt]\nurl = ['mqtt://me:hunter2@host']\n",
    ],
)
def test_no_fault_tells_a_password(tmp_path, text):
    assert "hunter2" not in "".join(faults(tmp_path, text))


def test_settings_themselves_tell_no_password():
    """Code that builds settings gets pydantic's error, whose text must not tell it either."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"mqtt": {"url": "http://me:hunter2@host", "queue": "hunter2"}})
    assert "hunter2" not in str(caught.value)


def test_a_long_value_is_shortened(tmp_path):
    (line,) = faults(tmp_path, f"[model]\nthreads = '{'x' * 10_000}'\n")
    assert len(line) < 200


PATHS = [path for path, _ in keys()]
VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.lists(st.integers(), max_size=2),
)


@st.composite
def plausible(draw):
    """A file of real keys with values of all kinds, and some keys that there are not."""
    tables = {}
    for path, value in draw(st.lists(st.tuples(st.sampled_from(PATHS), VALUES), max_size=8)):
        name = draw(st.sampled_from([str(path[-1])] * 4 + ["mqtt", "nosuchkey"]))
        tables.setdefault(path[:-1], {})[name] = value
    lines = []
    for path, table in sorted(tables.items(), key=lambda each: [str(part) for part in each[0]]):
        if path == ("feeds", 0):
            lines.append("[[feeds]]")
        else:
            header = ".".join(str(part) for part in path if isinstance(part, str))
            lines.append(f"[{header}]")
        lines += [f"{name} = {to_toml(value)}" for name, value in table.items()]
    return "\n".join(lines).encode("utf-8")


TOML_LIKE = st.text("[]{}=.,\"'\\\n# \t\0a1é\ufeff\r:-_", max_size=80).map(
    lambda text: text.encode("utf-8")
)


@settings(max_examples=300, deadline=None)
@given(data=st.one_of(plausible(), TOML_LIKE, st.binary(max_size=80)))
@example(data=b"feeds.judgement = 1\n[[feeds.x]]\n")
@example(data=b"feeds = {}\n")
@example(data=b"feeds = [[]]\n")
@example(data=b"'' = 1\n")
@example(data=b"a = 1e999\nb = 9223372036854775808\n")
@example(data=b"[model]\nthreads = 99999999999999999999999999\n")
@example(data=b"[judgement]\nenter = 99999999999999999999999999\n")
@example(data=b"[node]\nname = '\xed\xa0\x80'\n")
@example(data=b'[model]\npath = "a\\u0000b"\n')
def test_no_file_ends_in_a_traceback(tmp_path_factory, data):
    """Anything is either a configuration, or refused by lines that name the file."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(data)
    environ = {"HOME": "/home/me", "GENRED_FEEDS__0__LOOP": "1", "GENRED_MQTT__QUEUE": "20"}
    assert outcome(path, environ).startswith(
        ("valid", f"{path}:", "environment:", "$GENRED_FEEDS__0__LOOP:")
    )


def outcome(path, environ):
    """``valid``, or the first line of what is wrong; each line must be fit to print."""
    try:
        loaded = load(path, environ, {"mqtt": {"queue": 30}})
    except GenredError as error:
        if error.exit_code != 78 or not all(map(str.isprintable, error.message.split("\n"))):
            raise
        return error.message
    return "valid" if loaded.settings.mqtt.queue == 30 else "the flag does not hold"


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(PATHS).map(
            lambda path: "GENRED_" + "__".join(str(part).upper() for part in path)
        )
        | st.text("ABCQ_019x", max_size=20).map("GENRED_{}".format),
        st.text(st.characters(exclude_characters="\0"), max_size=20),
        max_size=5,
    )
)
def test_no_environment_ends_in_a_traceback(environ):
    environ["XDG_CONFIG_HOME"] = "/nowhere"
    environ.pop("GENRED_CONFIG", None)
    assert outcome(None, environ).startswith(("valid", "$GENRED_", "environment:"))
