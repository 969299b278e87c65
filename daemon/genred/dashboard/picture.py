"""The scrolling log-mel picture: time from left to right, low sounds at the bottom."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from rich.segment import Segment
from rich.style import Style

from genred.dashboard.cells import Block, Ink, line
from genred.dashboard.colours import FAINT, PICTURE_LEVELS, heat, heat_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.dashboard.cells import Line
    from genred.views import FeedView

COLUMN_SECONDS = 0.125
"""Audio that one column shows: beats stay visible, and 80 columns show ten seconds."""
WIDEST = 9.0
"""From the darkest to the brightest colour at most, natural logarithms of power: 39 dB."""
NARROWEST = 4.0
"""And at least (17 dB): a steady noise is not drawn as if it were full of contrast."""
LOUDEST_AT_LEAST = 0.0
"""The brightest colour never stands for less than this log-mel value, so that a quiet room's
noise stays dark."""
STEADY = 0.5
"""Both ends of the scale move in such steps: the picture does not flicker with every beat."""

_SHADES = " ░▒▓█"
_ASCII_SHADES = " .:-=+*#%@"


def picture(feed: FeedView, width: int, height: int, ink: Ink) -> Block:
    """``height`` lines of half blocks, two dots to a cell, the newest sound at the right edge.

    Expects natural logarithms of power (:attr:`FeedView.logmel`). Columns are cut at fixed
    moments of the audio, so that a sound keeps its look while it moves.
    """
    dots = pooled(feed.logmel, feed.frame_rate, feed.now, width, 2 * height)
    columns = dots.shape[0]
    if not columns:
        empty = line(width, [("·" * width, FAINT)])
        # Where sounds cannot come from there is no rate of them either: over a broker.
        why = "no sound so far" if feed.frame_rate else "no picture over MQTT"
        middle = line(width, [(" " * max((width - len(why)) // 2, 0), None), (why, FAINT)])
        return Block(width, [middle if at == height // 2 else empty for at in range(height)])
    brightest, span = _scale(float(dots.min()), float(dots.max()))
    scaled = np.clip((dots - brightest) / span + 1.0, 0.0, 1.0)
    margin = [Segment(" " * (width - columns))] if columns < width else []
    if ink is not Ink.COLOUR:
        shades = _ASCII_SHADES if ink is Ink.ASCII else _SHADES
        mean = (scaled[:, 0::2] + scaled[:, 1::2]) / 2
        steps = np.rint(mean * (len(shades) - 1)).astype(int).T.tolist()
        return Block(
            width, [[*margin, Segment("".join(shades[step] for step in row))] for row in steps]
        )
    levels = np.rint(scaled * (PICTURE_LEVELS - 1)).astype(np.intp)
    codes = (levels[:, 0::2] * PICTURE_LEVELS + levels[:, 1::2]).T
    return Block(width, [[*margin, *_runs(row)] for row in codes])


def _scale(lowest: float, highest: float) -> tuple[float, float]:
    """The value of the brightest colour, and how far below it the darkest is."""
    brightest = max(math.ceil(highest / STEADY) * STEADY, LOUDEST_AT_LEAST)
    span = brightest - math.floor(lowest / STEADY) * STEADY
    return brightest, min(max(span, NARROWEST), WIDEST)


def _runs(codes: NDArray[np.intp]) -> Line:
    """A line of cells: equal neighbours become one segment."""
    edges = np.flatnonzero(np.diff(codes)) + 1
    starts = [0, *edges.tolist()]
    ends = [*starts[1:], len(codes)]
    out: Line = []
    for start, end, code in zip(starts, ends, codes[starts].tolist(), strict=True):
        glyph, style = _cell(code)
        out.append(Segment(glyph * (end - start), style))
    return out


@lru_cache(maxsize=PICTURE_LEVELS * PICTURE_LEVELS)
def _cell(code: int) -> tuple[str, Style]:
    top, bottom = divmod(code, PICTURE_LEVELS)
    return ("▀", heat_pair(top, bottom)) if top != bottom else (" ", _ground(top))


@lru_cache(maxsize=PICTURE_LEVELS)
def _ground(level: int) -> Style:
    return Style(bgcolor=heat(level))


def pooled(
    logmel: NDArray[np.float32], frame_rate: float, now: float, columns: int, rows: int
) -> NDArray[np.float32]:
    """The newest frames ``[frames, mels]`` averaged to at most ``columns`` by ``rows`` dots.

    Returns ``[columns, rows]``, oldest column and highest frequency first; fewer columns where
    there are fewer frames. ``now`` is the audio's time at the end of the newest frame, seconds.
    """
    if logmel.ndim != 2 or not logmel.size or frame_rate <= 0 or rows <= 0 or columns <= 0:
        return np.zeros((0, max(rows, 0)), np.float32)
    frames, mels = logmel.shape
    each = max(round(frame_rate * COLUMN_SECONDS), 1)
    unfinished = round(now * frame_rate) % each
    count = min(columns, max(frames - unfinished, 0) // each)
    end = frames - unfinished
    newest = logmel[end - count * each : end].reshape(count, each, mels).mean(axis=1)
    return np.asarray(newest @ _pooling(mels, rows), np.float32)


@lru_cache(maxsize=16)
def _pooling(mels: int, rows: int) -> NDArray[np.float32]:
    """The matrix ``[mels, rows]`` that averages mel bands by the share each row overlaps."""
    edges = np.linspace(0.0, mels, rows + 1)
    bands = np.arange(mels)[:, None]
    overlap = np.minimum(bands + 1, edges[1:]) - np.maximum(bands, edges[:-1])
    weights = np.clip(overlap, 0.0, None)
    weights /= weights.sum(axis=0)
    return np.ascontiguousarray(weights[:, ::-1], np.float32)
