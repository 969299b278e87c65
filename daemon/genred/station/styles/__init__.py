"""The station's styles, one file each. A new style is a new file and two lines here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from genred.station.styles.applause import STYLE as APPLAUSE
from genred.station.styles.blues import STYLE as BLUES
from genred.station.styles.dead_air import STYLE as DEAD_AIR
from genred.station.styles.electronic import STYLE as ELECTRONIC
from genred.station.styles.jazz import STYLE as JAZZ
from genred.station.styles.metal import STYLE as METAL
from genred.station.styles.rain import STYLE as RAIN
from genred.station.styles.reggae import STYLE as REGGAE
from genred.station.styles.speech import STYLE as SPEECH
from genred.station.styles.static import STYLE as STATIC
from genred.station.styles.strings import STYLE as STRINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genred.station.style import Style

STYLES: Mapping[str, Style] = MappingProxyType(
    {
        style.name: style
        for style in (
            STRINGS,
            ELECTRONIC,
            METAL,
            JAZZ,
            REGGAE,
            BLUES,
            SPEECH,
            RAIN,
            APPLAUSE,
            STATIC,
            DEAD_AIR,
        )
    }
)
"""Every style by its name."""
