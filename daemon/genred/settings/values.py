"""Values as TOML writes them."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029]")


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
        text = _SURROGATES.sub("\ufffd", str(value))
        # JSON's escapes are TOML's too; TOML also forbids DEL, and C1 may steer a terminal.
        quoted = json.dumps(text, ensure_ascii=False)
        return _CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", quoted)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_toml(each) for each in value)}]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")


def key_to_toml(name: str) -> str:
    """``name`` bare where TOML allows it, quoted otherwise."""
    return name if _BARE.fullmatch(name) else to_toml(name)
