"""The configuration as people read it: the documented example, the schema, what is in force."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticUndefined

from genred.masking import mask
from genred.settings.fields import allowed, dotted, is_array, section_of
from genred.settings.files import NAME, SYSTEM, VARIABLE
from genred.settings.root import Settings
from genred.settings.values import to_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from genred.settings.lines import Key
    from genred.settings.load import Loaded
    from genred.settings.section import Section

_WIDTH = 88
"""Columns of a comment."""

_HEAD = f"""\
Every key of genred's configuration, with what it may be and what it is if not set. As it stands
this file changes nothing: take away the "#" before a key to set it.

It is read from --config FILE, else ${VARIABLE}, else $XDG_CONFIG_HOME/{NAME} (~/.config if that
is not set), else {SYSTEM / NAME}. A flag on the command line is stronger than an environment
variable, that is stronger than this file. The variable of a key is GENRED_SECTION__KEY:
GENRED_MQTT__BASE_TOPIC=radio, or GENRED_FEEDS__0__SOURCE=device:default for the first feed.

Relative paths start at this file's folder. `genred check-config` says what is wrong in it, or what
is in force and where that comes from."""

FEEDS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "A stream. Only the first two keys of a feed are needed.",
        {"id": "web", "source": "https://radio.example.org/live.mp3"},
    ),
    (
        "A folder of files, played round and round as if it were on air.",
        {"id": "archive", "source": "/srv/music", "loop": True},
    ),
    (
        "A receiver: `rtl_fm -f 98.5M -M wbfm -s 200k -r 48k - | genred run`.",
        {"id": "fm", "source": "-", "rate": 48000, "channels": 1, "format": "s16le"},
    ),
    (
        "The synthesised station, with a judgement of its own.",
        {"id": "station", "source": "station:7", "judgement": {"enter": 0.7, "exit": 0.4}},
    ),
)
"""Feeds of the example, beside the first one that shows every key."""


def plain(text: str) -> str:
    """A docstring as one paragraph, code in single backticks."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))


def example() -> str:
    """``genred.toml`` with every key documented; valid as it stands, and all defaults.

    Prose stands behind ``"# "``; behind ``"#"`` alone stand keys and tables to be uncommented.
    """
    lines = ["#:schema genred.schema.json", ""]
    for paragraph in _HEAD.split("\n\n"):
        lines += [*_comment(paragraph), "#"]
    lines.pop()
    for name, field in Settings.model_fields.items():
        section = section_of(field)
        assert section is not None, "all settings stand in sections"
        if is_array(field):
            lines += ["", "", *_comment(field.description or "")]
            lines += [f"#[[{name}]]", *_keys(section)]
            for comment, feed in FEEDS:
                lines += ["", *_comment(comment), *_table(f"[[{name}]]", name, feed)]
        else:
            lines += ["", "", *_comment(field.description or ""), f"[{name}]", *_keys(section)]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(plain(text), _WIDTH)]


def _keys(section: type[Section]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if section_of(field) is not None:
            continue  # a table in a feed: an example shows it
        yield ""
        yield from _comment(field.description or "")
        what = allowed(field)
        default = default_of(field)
        unset = "" if default is not None else " Needed." if field.is_required() else " Not set."
        words = what if what.startswith("true") else f"{what[0].upper()}{what[1:]}"
        yield from _comment(f"{words}.{unset}")
        yield f"#{name} = {to_toml(example_of(field))}"


def default_of(field: FieldInfo) -> Any:
    """What ``field`` is if not set; None where that is nothing, or differs by machine."""
    return None if field.default is PydanticUndefined else field.default


def example_of(field: FieldInfo) -> Any:
    """A value to show for ``field``: its default, else its example."""
    default = default_of(field)
    return default if default is not None else (field.examples or [None])[0]


def _table(header: str, path: str, values: dict[str, Any]) -> Iterator[str]:
    yield f"#{header}"
    tables = {}
    for name, value in values.items():
        if isinstance(value, dict):
            tables[name] = value
        else:
            yield f"#{name} = {to_toml(value)}"
    for name, value in tables.items():
        yield from _table(f"[{path}.{name}]", f"{path}.{name}", value)


def schema() -> str:
    """The JSON schema of the configuration, for editors."""
    made = Settings.model_json_schema()
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
    _unmark(made)
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _unmark(node: Any) -> None:
    """Descriptions as :func:`plain` text, in place."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "description" and isinstance(value, str):
                node[name] = plain(value)
            else:
                _unmark(value)
    elif isinstance(node, list):
        for each in node:
            _unmark(each)


def in_force(loaded: Loaded) -> str:
    """The settings in force as TOML, each with where it comes from; secrets masked."""
    lines = [f"# {loaded.path or 'no file was found; defaults hold where nothing else is said'}"]
    for name, field in Settings.model_fields.items():
        value = getattr(loaded.settings, name)
        if is_array(field):
            for index, each in enumerate(value):
                lines += ["", f"[[{name}]]", *_values(each, (name, index), loaded)]
        else:
            lines += ["", f"[{name}]", *_values(value, (name,), loaded)]
    return "\n".join(lines) + "\n"


def _values(section: Section, path: Key, loaded: Loaded) -> Iterator[str]:
    inner: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        key = (*path, name)
        if section_of(field) is not None:
            given = [each for each in type(value).model_fields if each in value.model_fields_set]
            if given:
                header = dotted(tuple(part for part in key if isinstance(part, str)))
                inner += ["", f"[{header}]"]
                inner += [_line(each, getattr(value, each), (*key, each), loaded) for each in given]
        else:
            yield _line(name, value, key, loaded)
    yield from inner


def _line(name: str, value: Any, key: Key, loaded: Loaded) -> str:
    if value is None:
        return f"# {name} is not set"
    shown = mask(value) if isinstance(value, str) else value
    return f"{name} = {to_toml(shown)}  # {loaded.origin(key)}"
