"""Text that strangers send (tags, titles, station names), made fit to be shown."""

from __future__ import annotations

import unicodedata

LONGEST_TEXT = 200
"""Characters of a title that are kept: several lines of a dashboard; more is no title."""


def clean(text: str) -> str | None:
    """``text`` in one line without control characters, at most 200 long; None if nothing is left.

    Control and format characters could move a terminal's cursor or turn the direction of writing.
    """
    kept = "".join(
        " " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} else char
        for char in text[: 4 * LONGEST_TEXT]
        if unicodedata.category(char) not in {"Cf", "Cs", "Co", "Cn"}
    )
    kept = " ".join(kept.split())
    if len(kept) > LONGEST_TEXT:
        kept = kept[: LONGEST_TEXT - 1] + "…"
    return kept or None


def song(tags: dict[str, str]) -> str | None:
    """``Artist - Title`` out of a container's tags, whatever their case; None without a title."""
    lower = {key.lower(): value for key, value in tags.items()}
    title = clean(lower.get("title", ""))
    artist = clean(lower.get("artist", ""))
    if title is None:
        return None
    return f"{artist} - {title}" if artist else title
