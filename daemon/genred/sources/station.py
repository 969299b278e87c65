"""The synthesised station as a source: in real time, saying at each moment what it really plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genred.sources.base import StreamInfo
from genred.sources.pace import BLOCK_S, Pacer
from genred.station import NAME, Station

if TYPE_CHECKING:
    from genred.clock import Clock
    from genred.sources.base import Intake


class StationSource:
    """The station of ``seed``, from its beginning; never ends."""

    live = True
    synthetic = True

    def __init__(self, clock: Clock, *, seed: int = 7) -> None:
        self._clock = clock
        self._seed = seed
        self.description = f"synthesised station (seed {seed})"

    def run(self, intake: Intake) -> None:
        """Play until told to stop."""
        station = Station(self._seed, intake.rate)
        pacer = Pacer(intake, self._clock)
        block = max(1, round(BLOCK_S * intake.rate))
        intake.listening()
        passage = station.passage_at(0)
        intake.info(StreamInfo(station=NAME, title=passage.title, truth=passage.label))
        while True:
            left = passage.end - station.position
            if left <= 0:
                # What is held back still belongs to the passage that is over.
                pacer.finish()
                passage = station.passage_at(station.position)
                intake.info(StreamInfo(station=NAME, title=passage.title, truth=passage.label))
                left = passage.end - station.position
            if not pacer.put(station.read(min(block, left))):
                return
