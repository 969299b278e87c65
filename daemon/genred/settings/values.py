"""Values as TOML writes them."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SURROGATES = re.compile("[\ud800-\udfff]")


def to_toml(value: Any) -> str:
    """``value`` as one line of TOML: text, number, boolean, path, date, or arrays of those.

    Raises ``TypeError`` for anything else; TOML has no ``None``.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)  # inf and nan are spelt alike in both
    if isinstance(value, str | Path):
        # JSON's escapes are TOML's too. Beyond those TOML asks for DEL alone, but what is not
        # printable may steer a terminal or turn the direction of writing.
        quoted = json.dumps(_SURROGATES.sub("\ufffd", str(value)), ensure_ascii=False)
        return "".join(each if each.isprintable() else _escape(each) for each in quoted)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_toml(each) for each in value)}]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def key_to_toml(name: str) -> str:
    """``name`` bare where TOML allows it, quoted otherwise."""
    return name if _BARE.fullmatch(name) else to_toml(name)
