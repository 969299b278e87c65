"""Colours: one for each label, the same everywhere and for ever, and those of the pictures.

Colours are made in OKLCH (Björn Ottosson, "A perceptual color space for image processing",
2020), where equal steps look equal. Label colours have about the same lightness, readable on a
dark ground; red belongs to what is wrong (dead air, errors) and to no label.
"""

from __future__ import annotations

import math
from functools import lru_cache
from zlib import crc32

from rich.color import Color
from rich.style import Style

from genred.labels import SILENCE, UNKNOWN

MUTED = Style(color="#9096a0")
"""Words beside the point."""
FAINT = Style(color="#4c525c")
"""Tracks, scales and what is not there."""
STRONG = Style(bold=True)
GOOD = Style(color="#6fcf7f")
WARN = Style(color="#e8b339")
BAD = Style(color="#ff5f5f", bold=True)
ALARM = Style(color="#ffffff", bgcolor="#c4212f", bold=True)
"""Dead air."""
BADGE = Style(color="#15161c", bgcolor="#c3a6f2")
"""What must not be overlooked and is not wrong: the station is synthetic."""

_LABELS = {
    "blues": "#5d93f0",
    "classical": "#e0c36a",
    "country": "#b7cb4f",
    "disco": "#ee7fd3",
    "electronic": "#41cfe6",
    "hiphop": "#ab86f3",
    "jazz": "#f2a33c",
    "metal": "#b98d7c",
    "pop": "#ff9db4",
    "reggae": "#55c98a",
    "rock": "#f0805a",
    "speech": "#eae6d9",
    "noise": "#8fa3b8",
    SILENCE: "#6f7683",
    UNKNOWN: "#868d9b",
}
_DARK = "#15161c"
_HASHED_HUES = 36
_RED = (350, 40)
"""Hues, in degrees of OKLCH, left to what is wrong."""

PICTURE_LEVELS = 24
"""Steps of the log-mel picture: as many as the eye tells apart on so few cells; fewer styles."""


def oklch(lightness: float, chroma: float, hue: float) -> Color:
    """The sRGB colour nearest to an OKLCH one; ``hue`` in degrees, ``lightness`` 0 to 1."""
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (round(255 * _gamma(min(max(each, 0.0), 1.0))) for each in linear)
    return Color.from_rgb(red, green, blue)


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


@lru_cache(maxsize=512)
def label_colour(label: str) -> Color:
    """The colour of a label: from the table, or made from its name."""
    known = _LABELS.get(label)
    if known is not None:
        return Color.parse(known)
    start, length = _RED[1], _RED[0] - _RED[1]
    step = crc32(label.encode("utf-8", "replace")) % _HASHED_HUES
    return oklch(0.78, 0.13, start + length * step / _HASHED_HUES)


@lru_cache(maxsize=512)
def label_style(label: str, bold: bool = False) -> Style:
    """The label's colour for letters and bars."""
    return Style(color=label_colour(label), bold=bold or None)


@lru_cache(maxsize=512)
def label_fill(label: str) -> Style:
    """The label's colour as the ground for letters."""
    if label in (SILENCE, UNKNOWN):
        return Style(color="#9096a0", bgcolor="#2b2f37" if label == SILENCE else "#3a3f49")
    return Style(color=_DARK, bgcolor=label_colour(label))


@lru_cache(maxsize=PICTURE_LEVELS)
def heat(level: int) -> Color:
    """Step ``level`` of the picture's map: near-black indigo, violet, orange, pale yellow.

    Lightness rises evenly, so that it reads the same without colour vision; the chroma is
    smallest at both ends.
    """
    at = level / (PICTURE_LEVELS - 1)
    return oklch(
        lightness=0.16 + 0.80 * at,
        chroma=0.03 + 0.165 * math.sin(math.pi * at) ** 0.8,
        hue=285 + 165 * at,
    )


@lru_cache(maxsize=PICTURE_LEVELS * PICTURE_LEVELS)
def heat_pair(top: int, bottom: int) -> Style:
    """The style of an upper half block: ``top`` above, ``bottom`` below."""
    return Style(color=heat(top), bgcolor=heat(bottom))
