"""Pitches, scales and chords: just enough harmony for the station's styles."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
HARMONIC_MINOR = (0, 2, 3, 5, 7, 8, 11)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
PHRYGIAN = (0, 1, 3, 5, 7, 8, 10)
BLUES = (0, 3, 5, 6, 7, 10)

MAJOR_7 = (0, 4, 7, 11)
MINOR_7 = (0, 3, 7, 10)
DOMINANT_7 = (0, 4, 7, 10)
HALF_DIMINISHED = (0, 3, 6, 10)


def hertz(pitch: float) -> float:
    """Frequency of a MIDI pitch (69 is 440 Hz), equal temperament."""
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


def degree(scale: Sequence[int], step: int) -> int:
    """Semitones above the tonic of the scale's ``step``, counted from 0, over any octave."""
    octave, index = divmod(step, len(scale))
    return 12 * octave + scale[index]


def triad(scale: Sequence[int], step: int) -> tuple[int, int, int]:
    """Pitch classes, above the tonic, of the triad on the scale's ``step``."""
    return (
        degree(scale, step) % 12,
        degree(scale, step + 2) % 12,
        degree(scale, step + 4) % 12,
    )


def nearest(target: float, classes: Iterable[int], tonic: int) -> int:
    """The pitch nearest to ``target`` whose class above ``tonic`` is among ``classes``."""
    best = None
    for pitch_class in classes:
        base = tonic + pitch_class
        pitch = base + 12 * round((target - base) / 12)
        if best is None or abs(pitch - target) < abs(best - target):
            best = pitch
    assert best is not None, "a chord has at least one pitch class"
    return best
