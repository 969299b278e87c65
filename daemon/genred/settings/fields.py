"""What there is to set: every key by its path, and what it may be, in words."""

from __future__ import annotations

import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin

from genred.settings.root import Settings
from genred.settings.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from genred.settings.lines import Key

Found: TypeAlias = "FieldInfo | type[Section] | None"


def dotted(path: Key) -> str:
    """``mqtt.url``, ``feeds.0.id``."""
    return ".".join(str(part) for part in path)


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that ``field`` holds, or holds an array of; None for a value."""
    kind = field.annotation
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def is_array(field: FieldInfo) -> bool:
    """Whether ``field`` holds an array of sections."""
    return get_origin(field.annotation) is tuple


def lookup(path: Key) -> Found:
    """The key at ``path``, or the section; None where the settings have nothing of that name."""
    section: type[Section] = Settings
    rest = list(path)
    while rest:
        name = rest.pop(0)
        field = section.model_fields.get(name) if isinstance(name, str) else None
        if field is None:
            return None
        inner = section_of(field)
        if inner is None:
            return None if rest else field
        if is_array(field):
            if not rest:
                return field
            if not isinstance(rest.pop(0), int):
                return None
        section = inner
    return section


def keys(section: type[Section] = Settings, prefix: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key that holds a value, with its path; arrays of sections as their element 0."""
    for name, field in section.model_fields.items():
        inner = section_of(field)
        path: Key = (*prefix, name)
        if inner is None:
            yield path, field
        else:
            yield from keys(inner, (*path, 0) if is_array(field) else path)


def plain_type(field: FieldInfo) -> tuple[Any, bool]:
    """The type of ``field`` without ``None``, and whether ``None`` was allowed."""
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        members = [each for each in get_args(kind) if each is not type(None)]
        return (members[0] if len(members) == 1 else kind), len(members) < len(get_args(kind))
    return kind, False


def allowed(field: FieldInfo) -> str:
    """What ``field`` may be set to: ``a whole number from 5 to 3600``."""
    kind, _ = plain_type(field)
    if get_origin(kind) is Literal:
        *most, last = (f'"{each}"' for each in get_args(kind))
        return f"{', '.join(most)} or {last}" if most else last
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _bounds(field)
    if kind is Path:
        return "a path"
    return "text" + _shape(field)


def _constraint(field: FieldInfo, name: str) -> Any:
    for each in field.metadata:
        if (value := getattr(each, name, None)) is not None:
            return value
    return None


def _bounds(field: FieldInfo) -> str:
    low = _constraint(field, "ge")
    high = _constraint(field, "le")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = [
        f"{word} {value}"
        for name, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
        if (value := _constraint(field, name)) is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def _shape(field: FieldInfo) -> str:
    parts = []
    pattern = _constraint(field, "pattern")
    if pattern:
        parts.append(f" of the form {pattern}")
    longest = _constraint(field, "max_length")
    if longest:
        parts.append(f" of at most {longest} characters")
    elif _constraint(field, "min_length") and not pattern:
        parts.append(", not empty")
    return "".join(parts)
