"""The shipped example and schema say what holds, key by key."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genred.settings import Settings, document
from genred.settings.feeds import FeedSettings
from genred.settings.fields import allowed, keys, section_of
from genred.settings.judgement import JudgementOverrides
from genred.settings.load import load
from genred.settings.values import to_toml

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = CONFIGS / "genred.toml"


def uncommented():
    return re.sub(r"(?m)^#(?=[a-z\[])", "", SHIPPED.read_text("utf-8"))


def test_the_shipped_example_is_current():
    """If not: genred check-config --print-example > configs/genred.toml."""
    assert SHIPPED.read_text("utf-8") == document.example()


def test_the_shipped_schema_is_current():
    """If not: genred check-config --schema > configs/genred.schema.json."""
    assert (CONFIGS / "genred.schema.json").read_text("utf-8") == document.schema()


def test_the_example_as_shipped_is_valid_and_changes_nothing():
    assert load(SHIPPED, {}).settings == Settings()


def test_the_example_uncommented_is_valid_and_has_every_key(tmp_path):
    path = tmp_path / "genred.toml"
    path.write_text(uncommented(), encoding="utf-8")
    load(path, {})
    raw = tomllib.loads(uncommented())
    for key, _ in keys():
        if key[:3] == ("feeds", 0, "judgement"):
            continue  # any keys of [judgement], which stand there
        node = raw
        for part in key:
            assert isinstance(node, list) or part in node, f"{key} is not documented"
            node = node[part]
    assert any("judgement" in feed for feed in raw["feeds"])


def test_every_documented_default_is_the_default():
    raw = tomllib.loads(uncommented())
    for key, field in keys():
        default = document.default_of(field)
        if default is None or key[:3] == ("feeds", 0, "judgement"):
            continue
        node = raw
        for part in key:
            node = node[part]
        assert node == default, key
        assert type(node) is type(default), key


def test_every_key_is_described_with_what_it_may_be():
    text = " ".join(line.removeprefix("# ") for line in SHIPPED.read_text("utf-8").splitlines())
    for key, field in keys():
        assert field.description, f"{key} has no docstring"
        assert document.plain(field.description) in text, key
        what = allowed(field)
        assert what in text or what[0].upper() + what[1:] in text, key


def test_every_key_without_a_default_has_an_example():
    for key, field in keys():
        assert document.example_of(field) is not None, f"{key} needs examples=[…]"


def test_prose_is_never_mistaken_for_a_key():
    """Uncommenting takes the bare ``#`` alone, so that prose must stand behind ``# ``."""
    for line in SHIPPED.read_text("utf-8").splitlines():
        assert re.match(r"$|# |#$|\[|#\[|#[a-z0-9_]+ = |#:schema ", line), line


@pytest.mark.parametrize("feed", [feed for _, feed in document.FEEDS])
def test_the_example_s_feeds_are_valid(feed):
    assert FeedSettings.model_validate(feed)


def test_overrides_have_the_keys_and_bounds_of_judgement():
    (judgement,) = (field for name, field in Settings.model_fields.items() if name == "judgement")
    own = section_of(judgement).model_fields
    assert own.keys() == JudgementOverrides.model_fields.keys()
    for name, field in own.items():
        assert allowed(field) == allowed(JudgementOverrides.model_fields[name])


def test_the_schema_describes_every_key_and_no_machine():
    made = json.loads(document.schema())
    text = json.dumps(made)
    assert Settings().node.name not in re.findall(r'"default": "([^"]*)"', text)
    for key, field in keys():
        assert f'"{key[-1]}"' in text
        assert json.dumps(document.plain(field.description))[1:-1] in text
    own = made["$defs"]["JudgementOverrides"]["properties"]
    assert not any("default" in each for each in own.values())


def test_what_is_in_force_can_be_read_back(tmp_path):
    source = tmp_path / "a.toml"
    source.write_text(uncommented(), encoding="utf-8")
    loaded = load(source, {"GENRED_MQTT__QUEUE": "77"})
    again = tmp_path / "b.toml"
    again.write_text(document.in_force(loaded).replace("***@", "genred@"), encoding="utf-8")
    settings = load(again, {}).settings
    assert settings == loaded.settings
    assert settings.judgement_for(settings.feeds[4]) == loaded.settings.judgement_for(
        loaded.settings.feeds[4]
    )


def test_what_is_in_force_tells_where_it_comes_from(tmp_path):
    path = tmp_path / "genred.toml"
    path.write_text("[mqtt]\nqueue = 20\n", encoding="utf-8")
    text = document.in_force(load(path, {"GENRED_NODE__NAME": "x"}, {"mqtt": {"scores": True}}))
    assert f"queue = 20  # {path}:2\n" in text
    assert 'name = "x"  # $GENRED_NODE__NAME\n' in text
    assert "scores = true  # command line\n" in text
    assert "keepalive_s = 30  # default\n" in text
    assert "# url is not set\n" in text


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.one_of(
        TEXT,
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False),
        st.booleans(),
        st.dates(),
        st.lists(TEXT, max_size=3),
    )
)
def test_values_can_be_read_back(value):
    text = to_toml(value)
    assert tomllib.loads(f"key = {text}")["key"] == value
    assert text.isprintable()


def test_what_toml_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        to_toml(None)
    assert to_toml("\ud800") == '"\ufffd"'
