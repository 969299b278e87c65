"""The synthesised station: genred's own demo radio, made of numpy alone.

``styles/`` holds one file for each style; ``synth.py``, ``drums.py`` and ``theory.py`` are what
they are built from; ``programme.py`` decides what plays when.
"""

from genred.station.programme import NAME, Passage, Station, render
from genred.station.style import Style
from genred.station.styles import STYLES

__all__ = ["NAME", "STYLES", "Passage", "Station", "Style", "render"]
