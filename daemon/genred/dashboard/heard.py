"""What is heard on a feed, how sure and since when; for the synthesised station, what is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.dashboard.cells import Block, Ink, line, padded
from genred.dashboard.colours import ALARM, BAD, GOOD, MUTED, WARN, label_style
from genred.dashboard.lettering import HEIGHT, lettering
from genred.dashboard.words import clock_time, length
from genred.labels import SILENCE, UNKNOWN
from genred.messages import SourceStatus
from genred.text import clean

if TYPE_CHECKING:
    from rich.style import Style

    from genred.dashboard.cells import Part
    from genred.views import FeedView

OFFLINE = "offline"
"""What a watcher says of a feed whose daemon is not heard of; no source says so itself."""

_AWAY: dict[str, tuple[str, Style]] = {
    SourceStatus.STARTING: ("starting", MUTED),
    SourceStatus.STALLED: ("stalled", WARN),
    SourceStatus.RECONNECTING: ("reconnecting", WARN),
    SourceStatus.RETRYING: ("retrying", BAD),
    SourceStatus.ENDED: ("ended", MUTED),
    SourceStatus.FAILED: ("failed", BAD),
    OFFLINE: ("offline", BAD),
}


def headline(feed: FeedView) -> tuple[str, Style]:
    """The word that says it all, and its colour: a label, dead air, or what the source does."""
    if feed.health.status in _AWAY:
        return _AWAY[feed.health.status]
    if feed.state.dead_air:
        return "dead air", ALARM
    if feed.state.label == UNKNOWN and not feed.state.scores:
        return "listening", MUTED
    return clean(feed.state.label), label_style(feed.state.label, bold=True)


def heard(feed: FeedView, width: int, height: int, ink: Ink) -> Block:
    """``height`` lines: the headline, how sure and since when, and what is really on if known.

    The headline is in large letters where they fit.
    """
    word, style = headline(feed)
    details, truth = _details(feed), _truth(feed)
    rest = [details, truth] if truth else [details]
    rows: list[list[Part]]
    drawn = lettering(word) if ink is not Ink.ASCII else None
    if drawn and height >= HEIGHT + len(rest) and len(drawn[0]) <= width:
        colour = BAD if style is ALARM else style
        rows = [*(_one(row, colour) for row in drawn), *rest]
    elif height > len(rest):
        rows = [[_plate(word, style)], *rest]
    else:
        rows = [[_plate(word, style), ("  ", None), *details], truth]
        if truth and height == 1:
            rows = [[_plate(word, style), ("  ", None), *truth]]
    block = Block(width, [line(width, row) for row in rows])
    return Block(width, padded(block, height))


def _plate(word: str, style: Style) -> Part:
    return (f" {word} ", style) if style is ALARM else (word, style)


def _one(text: str, style: Style) -> list[Part]:
    return [(text, style)]


def _details(feed: FeedView) -> list[Part]:
    if feed.health.status in _AWAY:
        return [(clean(feed.health.last_error), MUTED)] if feed.health.last_error else []
    state = feed.state
    parts: list[Part] = []
    if feed.health.status == SourceStatus.SILENT:
        parts.append(("nothing but zeros", WARN))
    elif state.label not in (SILENCE, UNKNOWN):
        parts.append((f"{state.confidence:.0%} sure", None))
    if state.since is not None:
        parts += [
            (", " if parts else "", None),
            (f"for {length(feed.now - state.since)}", None),
            (f"  since {clock_time(state.since)}", MUTED),
        ]
    return parts


def _truth(feed: FeedView) -> list[Part]:
    if feed.truth is None:
        return []
    truth = clean(feed.truth)
    parts: list[Part] = [("on air ", MUTED), (truth, label_style(feed.truth, bold=True))]
    if feed.health.status in _AWAY or (feed.state.label == UNKNOWN and not feed.state.scores):
        return parts
    if agrees(feed):
        return [*parts, ("  ✓ heard so", GOOD)]
    return [*parts, (f"  ✗ heard {clean(feed.state.label)}", WARN)]


def agrees(feed: FeedView) -> bool:
    """Is what is heard what the synthesised station says is on."""
    return feed.truth == feed.state.label
