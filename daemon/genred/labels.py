"""What a label can be: a model's own labels, each of a kind, and the two that genred adds."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The coarse answer: what sort of sound it is."""

    MUSIC = "music"
    SPEECH = "speech"
    NOISE = "noise"
    SILENCE = "silence"
    UNKNOWN = "unknown"


SILENCE = "silence"
"""Said when the level gate is closed; never a label of a model."""

UNKNOWN = "unknown"
"""Said rather than a weak guess; never a label of a model."""
