"""The history as PNG pictures, drawn with Pillow: a day's strip, a week's map, a share chart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from genred.dashboard.colours import label_colour
from genred.dashboard.words import length
from genred.errors import OutputError, UnavailableError
from genred.history.drawn import HOURS, days_until
from genred.history.report import strongest, touched
from genred.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genred.history.reader import Share
    from genred.history.report import FeedReport

SCALE: Final = 2
"""Pixels for each unit of the drawing: sharp on a dense screen."""

WIDTH: Final = 1100
MARGIN: Final = 36
DAY: Final = 150
"""Height of a feed's day; its legend may take two lines."""
STRIP: Final = 44
ROW: Final = 30
"""Height of a line of the week's map, and of a bar."""
NAMES: Final = 120
FIGURES: Final = 190

GROUND: Final = "#15161c"
INK: Final = "#e6e8ec"
MUTED: Final = "#9096a0"
TRACK: Final = "#22242c"
ALARM: Final = "#ff3b47"

FAINTEST: Final = 0.35
"""How strongly a label is drawn in an hour that it had almost nothing of."""


class Canvas:
    """A picture ``height`` units high to draw on.

    Raises :class:`UnavailableError` where Pillow is not installed.
    """

    def __init__(self, height: float) -> None:
        try:
            from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - needed by few
        except ImportError:
            raise UnavailableError(
                "--out needs Pillow, which is not installed",
                "pip install 'genred[web]' or pillow, or leave --out away to see it here",
            ) from None
        self._image = Image.new("RGB", (WIDTH * SCALE, round(height) * SCALE), GROUND)
        self._pen = ImageDraw.Draw(self._image)
        self._fonts: dict[int, Any] = {
            size: ImageFont.load_default(size * SCALE) for size in (11, 13, 14, 20)
        }

    def text(
        self, x: float, y: float, what: str, ink: str = INK, size: int = 14, at: str = "lm"
    ) -> float:
        """Write; returns how wide it is. ``at`` is Pillow's anchor."""
        font = self._fonts[size]
        self._pen.text((x * SCALE, y * SCALE), what, fill=ink, font=font, anchor=at)
        return float(font.getlength(what)) / SCALE

    def box(self, x: float, y: float, width: float, height: float, ink: str) -> None:
        """Fill a rectangle, at least one pixel wide."""
        left, right = round(x * SCALE), round((x + width) * SCALE) - 1
        corners = [left, round(y * SCALE), max(left, right), round((y + height) * SCALE) - 1]
        self._pen.rectangle(corners, fill=ink)

    def save(self, path: Path) -> None:
        """Write it as a PNG. Raises :class:`OutputError`."""
        try:
            self._image.save(path, "PNG", optimize=True)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}") from None


def day(reports: Sequence[FeedReport], path: Path) -> None:
    """A strip of the span for each feed, its dead air in red above it, its shares below.

    Raises :class:`UnavailableError` without Pillow, :class:`OutputError` for what it cannot write.
    """
    first = reports[0]
    canvas = Canvas(2 * MARGIN + 40 + DAY * len(reports))
    canvas.text(MARGIN, MARGIN, _span(first.since, first.until), INK, 20)
    width = WIDTH - 2 * MARGIN
    for index, report in enumerate(reports):
        top = MARGIN + 44 + DAY * index
        _feed_line(canvas, top, report)
        strip = top + 26
        canvas.box(MARGIN, strip, width, STRIP, TRACK)
        unit = width / (report.until - report.since)
        for each in report.played:
            x = MARGIN + (each.start - report.since) * unit
            canvas.box(x, strip, each.seconds * unit, STRIP, _ink(each.label))
        for dead in report.dead_air:
            x = MARGIN + (dead.start - report.since) * unit
            canvas.box(x, strip - 7, max(dead.seconds * unit, 2), 5, ALARM)
        for part in range(9):
            x = MARGIN + part * width / 8
            ts = report.since + part * (report.until - report.since) / 8
            at = "la" if part == 0 else "ra" if part == 8 else "ma"
            canvas.text(x, strip + STRIP + 6, _clock(ts), MUTED, 11, at)
        _legend(canvas, strip + STRIP + 34, report.shares)
    canvas.save(path)


def week(reports: Sequence[FeedReport], path: Path) -> None:
    """Seven days of each feed, hour by hour: the label that had most of it, the stronger the more.

    An hour with dead air has a red edge. Raises as :func:`day`.
    """
    tall = 44 + 8 * ROW + 44
    canvas = Canvas(2 * MARGIN + tall * len(reports) - 20)
    left = MARGIN + NAMES
    cell = (WIDTH - MARGIN - left) / HOURS
    for index, report in enumerate(reports):
        top = MARGIN + tall * index
        _feed_line(canvas, top, report, 20)
        for hour in range(0, HOURS, 3):
            canvas.text(left + hour * cell, top + 36, f"{hour:02}:00", MUTED, 11)
        for row, (start, end) in enumerate(days_until(report.until)):
            y = top + 46 + row * ROW
            told = time.strftime("%a %d %b", time.localtime(start))
            canvas.text(MARGIN, y + ROW / 2 - 1, told, MUTED, 13)
            hours = strongest(report.played, start, end, HOURS)
            dead = touched(report.dead_air, start, end, HOURS)
            for hour, (what, silent) in enumerate(zip(hours, dead, strict=True)):
                x = left + hour * cell
                ink = TRACK if what is None else _mixed(*what)
                canvas.box(x, y, cell - 2, ROW - 2, ink)
                if silent:
                    canvas.box(x, y, cell - 2, 4, ALARM)
        _legend(canvas, top + 46 + 7 * ROW + 16, report.shares)
    canvas.save(path)


def share(reports: Sequence[FeedReport], path: Path) -> None:
    """A bar for each label of each feed: its share of the time heard. Raises as :func:`day`."""
    heights = [60 + ROW * max(1, len(report.shares)) for report in reports]
    canvas = Canvas(2 * MARGIN + sum(heights))
    top = float(MARGIN)
    left, room = MARGIN + NAMES, WIDTH - 2 * MARGIN - NAMES - FIGURES
    for report, tall in zip(reports, heights, strict=True):
        _feed_line(canvas, top, report, 20)
        for row, each in enumerate(report.shares):
            y = top + 36 + row * ROW
            canvas.text(left - 12, y + 9, _cut(each.label, 16), INK, 14, "rm")
            canvas.box(left, y, room, 18, TRACK)
            canvas.box(left, y, room * each.share, 18, _ink(each.label))
            canvas.text(left + room + 12, y + 9, f"{each.share:.1%}")
            canvas.text(WIDTH - MARGIN, y + 9, length(each.seconds), MUTED, 14, "rm")
        if not report.shares:
            canvas.text(left, top + 45, "nothing was heard", MUTED)
        top += tall
    canvas.save(path)


def _feed_line(canvas: Canvas, y: float, report: FeedReport, size: int = 14) -> None:
    """The feed's name, and how much of it there is."""
    wide = canvas.text(MARGIN, y + 10, _cut(report.feed, 30), INK, size)
    told = f"heard {length(report.heard_seconds)}, {report.changes_an_hour:.0f} changes an hour"
    wide += canvas.text(MARGIN + wide + 16, y + 10, told, MUTED, 13)
    if report.dead_air:
        times = f"{len(report.dead_air)} time{'s' if len(report.dead_air) > 1 else ''}"
        dead = f"dead air {times}, {length(report.dead_air_seconds)}"
        canvas.text(MARGIN + wide + 40, y + 10, dead, ALARM, 13)


def _legend(canvas: Canvas, y: float, shares: Sequence[Share]) -> None:
    x = float(MARGIN)
    for each in shares:
        words = f"{_cut(each.label, 16)} {each.share:.0%}"
        if x + 26 + 8 * len(words) > WIDTH - MARGIN:
            break
        canvas.box(x, y - 5, 10, 10, _ink(each.label))
        x += 16 + canvas.text(x + 16, y, words, INK, 13) + 18


def _span(since: float, until: float) -> str:
    start, end = time.localtime(since), time.localtime(until)
    if until - since <= 25 * 3600 and (start.tm_hour, start.tm_min) == (0, 0):
        return time.strftime("%A %d %B %Y", start)
    return f"{time.strftime('%d %b %Y %H:%M', start)} to {time.strftime('%d %b %Y %H:%M', end)}"


def _clock(ts: float) -> str:
    return time.strftime("%H:%M", time.localtime(ts))


def _ink(label: str) -> str:
    return label_colour(label).get_truecolor().hex


def _mixed(label: str, share: float) -> str:
    """The label's colour over the track, by its share."""
    weight = FAINTEST + (1 - FAINTEST) * share
    ink = label_colour(label).get_truecolor()
    track = tuple(int(TRACK[at : at + 2], 16) for at in (1, 3, 5))
    mixed = (round(weight * a + (1 - weight) * b) for a, b in zip(ink, track, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _cut(text: str, most: int) -> str:
    text = clean(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
