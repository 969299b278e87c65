"""Text that strangers send (tags, titles, station names), made fit to be told on."""

from __future__ import annotations

from genred import text

LONGEST_TEXT = 200
"""Characters of a title that are kept: several lines of a dashboard; more is no title."""


def clean(raw: str) -> str | None:
    """``raw`` in one printable line, at most 200 characters; None if nothing is left."""
    kept = text.clean(raw)
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
