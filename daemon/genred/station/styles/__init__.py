"""The station's styles, one file each. A new style is a new file and a line in this list."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from genred.station.styles import (
    applause,
    blues,
    dead_air,
    electronic,
    jazz,
    metal,
    rain,
    reggae,
    speech,
    static,
    strings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genred.station.style import Style

STYLES: Mapping[str, Style] = MappingProxyType(
    {
        module.STYLE.name: module.STYLE
        for module in (
            strings,
            electronic,
            metal,
            jazz,
            reggae,
            blues,
            speech,
            rain,
            applause,
            static,
            dead_air,
        )
    }
)
"""Every style by its name."""
