"""Level and gate: is there anything to hear at all?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred.settings.judgement import JudgementSettings

FLOOR_DBFS: Final = -120.0
"""Digital silence is said to be this, never minus infinity and never 0."""

_FLOOR: Final = np.float32(FLOOR_DBFS)
_FLOOR_POWER: Final = np.float32(10 ** (FLOOR_DBFS / 10))
_FLOOR_PEAK: Final = np.float32(10 ** (FLOOR_DBFS / 20))


def rms_dbfs(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """RMS level of each row of ``audio`` ``[feeds, samples]`` in dB re full scale 1.0."""
    power = np.vecdot(audio, audio) / np.float32(audio.shape[1])
    level: NDArray[np.float32] = np.maximum(10 * np.log10(np.maximum(power, _FLOOR_POWER)), _FLOOR)
    return level


def peak_dbfs(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Highest sample of each row of ``audio`` ``[feeds, samples]`` in dB re full scale 1.0."""
    peak = np.maximum(audio.max(axis=1), -audio.min(axis=1))
    level: NDArray[np.float32] = np.maximum(20 * np.log10(np.maximum(peak, _FLOOR_PEAK)), _FLOOR)
    return level


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of one feed: open while there is sound. Times are those of the audio, seconds."""

    open: bool = True
    since: float | None = None
    """Since when it is as it is; None before the first audio."""
    dead_air: bool = False

    def step(self, level: float, start: float, end: float, by: JudgementSettings) -> Gate:
        """The gate after audio of ``level`` dBFS from ``start`` to ``end``."""
        threshold = by.silence_dbfs + (0.0 if self.open else by.silence_hysteresis_db)
        is_open = level >= threshold
        if self.since is None or is_open != self.open:
            gate, since = Gate(open=is_open, since=start, dead_air=self.dead_air), start
        else:
            gate, since = self, self.since
        lasted = end - since
        if not gate.open and not gate.dead_air and lasted >= by.dead_air_after_s:
            return replace(gate, dead_air=True)
        if gate.open and gate.dead_air and lasted >= by.recover_after_s:
            return replace(gate, dead_air=False)
        return gate

    def silent(self, end: float, by: JudgementSettings) -> bool:
        """Has the gate been closed for long enough to speak of silence at ``end``?"""
        return not self.open and self.since is not None and end - self.since >= by.silence_after_s
