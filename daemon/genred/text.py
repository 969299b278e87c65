"""Text from outside (titles, station names, errors) made safe to show on a terminal."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_CHARACTERS = 500
"""More of a title is never shown; bounds the work that a hostile stream can cause."""

MAX_MARKS = 2
"""Combining marks kept on one letter: enough for every written language, not for stacks that
bleed over the lines above and below."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # strings: window title, clipboard
    r"|\x1b[ -/]*[0-~]",  # all shorter ones
    re.DOTALL,
)
_REGIONAL_A = 0x1F1E6
_REGIONAL_Z = 0x1F1FF


def _variation_or_modifier(code: int) -> bool:
    """Does ``code`` change the look of the character before, in widths terminals differ on."""
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x1F3FB <= code <= 0x1F3FF


@lru_cache(maxsize=512)
def clean(text: str) -> str:
    """``text`` as one printable line.

    Escape sequences go as a whole; control, formatting (direction overrides, joiners), private
    and unassigned characters go; white space of any kind becomes single spaces; flags become
    letters. What is left has a width that terminals agree on. Nothing is markup here, so that
    brackets stay.
    """
    kept: list[str] = []
    marks = 0
    shortened = _ESCAPES.sub("", text[: 4 * MAX_CHARACTERS])
    for character in unicodedata.normalize("NFC", shortened):
        code = ord(character)
        category = unicodedata.category(character)
        if character.isspace() or category[0] == "Z":
            kept.append(" ")
        elif category[0] == "C" or _variation_or_modifier(code):
            continue
        elif category in ("Mn", "Me"):
            marks += 1
            if marks <= MAX_MARKS and kept:
                kept.append(character)
            continue
        elif _REGIONAL_A <= code <= _REGIONAL_Z:
            kept.append(chr(ord("A") + code - _REGIONAL_A))
        else:
            kept.append(character)
        marks = 0
    return " ".join("".join(kept).split())[:MAX_CHARACTERS]
