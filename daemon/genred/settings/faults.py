"""What is wrong with a configuration, one line for each fault."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic.fields import FieldInfo

from genred.masking import mask
from genred.settings.fields import allowed, dotted, is_array, keys, lookup, section_of
from genred.settings.values import key_to_toml, to_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

    from genred.settings.lines import Key

_SHOWN = 60
"""Characters of a wrong value that are shown; a line stays a line."""


class Kind(StrEnum):
    """Where a value can come from, the strongest first."""

    FLAG = "command line"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: ``/etc/genred/genred.toml:12``, ``$GENRED_MQTT__URL``."""

    kind: Kind
    detail: str = ""
    line: int = 0
    """Of a file."""

    def __str__(self) -> str:
        return self.detail or self.kind.value


_OVER_FILE = {Kind.FLAG, Kind.ENVIRONMENT}

Origins: TypeAlias = "Mapping[Key, Origin]"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    origin: Origin
    text: str

    @property
    def order(self) -> tuple[int, int]:
        """For sorting: by kind of origin, then by line."""
        return list(Kind).index(self.origin.kind), self.origin.line

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}"


def origin_of(path: Key, origins: Origins) -> Origin:
    """The origin of the value at ``path``, else of what it stands in, else the defaults.

    Of a section that does not hold together the origins of all its parts, file first.
    """
    found = (origins.get(path[:length]) for length in range(len(path), -1, -1))
    at = next((origin for origin in found if origin), Origin(Kind.DEFAULT))
    parts = {origin for key, origin in origins.items() if key[: len(path)] == path != key}
    over = {origin for origin in parts if origin.kind in _OVER_FILE}
    if not path or not over or at.kind in _OVER_FILE:
        return at
    names = sorted(str(origin) for origin in over)
    if path in origins:
        return Origin(Kind.FILE, ", ".join([str(at), *names]), at.line)
    kinds = {origin.kind for origin in over}
    return Origin(kinds.pop() if len(kinds) == 1 else Kind.ENVIRONMENT, ", ".join(names))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that ``name`` most likely meant; None where none is near."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def table(path: Key) -> str:
    """The header of the table at ``path``, as a file writes it."""
    names = [str(part) for part in path if isinstance(part, str)]
    header = ".".join(names)
    return f"[[{header}]]" if isinstance(path[-1], int) else f"[{header}]"


def describe(error: ErrorDetails, origins: Origins) -> Fault:
    """``error``, as pydantic found it in the settings, in genred's own words."""
    path: Key = error["loc"]
    origin = origin_of(path, origins)
    name = ".".join(key_to_toml(str(part)) for part in path)
    return Fault(origin, f"{name}: {_what(error, path)}" if name else _own_words(error))


def _what(error: ErrorDetails, path: Key) -> str:
    match error["type"]:
        case "extra_forbidden":
            return _unknown(path)
        case "missing":
            return f"is missing; every {table(path[:-1])} needs it"
        case "value_error" | "feeds":
            return _own_words(error)
    return wrong_value(path, error["input"])


def _own_words(error: ErrorDetails) -> str:
    return mask(error["msg"].removeprefix("Value error, "))


def wrong_value(path: Key, value: Any) -> str:
    """That ``value`` cannot be at ``path``, and what can."""
    found = lookup(path)
    if isinstance(found, FieldInfo) and section_of(found) is None:
        return f"must be {allowed(found)}, not {show(value)}"
    if isinstance(found, FieldInfo) and is_array(found):
        return f"must be tables, each under a [[{dotted(path)}]] of its own, not {show(value)}"
    return f"must be a table, under {table(path)}, not {show(value)}"


def show(value: Any) -> str:
    """``value`` for a message: short, one line, nothing secret in it."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    if value is None:
        return "nothing"
    if not isinstance(value, str | int | float | datetime | date | time):
        return f"a {type(value).__name__}"
    text = to_toml(mask(value) if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _unknown(path: Key) -> str:
    name = str(path[-1])
    inside = lookup(path[:-1])
    known = list(inside.model_fields) if isinstance(inside, type) else []
    what = "unknown section" if len(path) == 1 and name not in _leaves() else "unknown key"
    meant = nearest(name, known)
    if meant is None and (home := _leaves().get(name)):
        return f"{what} here; it belongs in {home}"
    if meant is None:
        return f"{what}; known are {', '.join(known)}"
    if len(path) == 1:
        return f"{what}; the nearest is {_header(meant)}"
    return f"{what}; the nearest is {meant}"


def _header(name: str) -> str:
    found = lookup((name,))
    return f"[[{name}]]" if isinstance(found, FieldInfo) else f"[{name}]"


def _leaves() -> dict[str, str]:
    """Header of the first section that has a key of a name, by that name."""
    homes: dict[str, str] = {}
    for path, _ in keys():
        homes.setdefault(str(path[-1]), table(path[:-1]))
    return homes
