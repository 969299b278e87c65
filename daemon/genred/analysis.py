"""From samples to what is said, for many feeds at once: model, gate, smoother and judges.

The pure middle of genred: no threads, no clock, no outside. The daemon's engine and
``genred tag`` both work through it, so that a file and a live feed are judged alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.judgement.gate import peak_dbfs, rms_dbfs
from genred.judgement.judge import Change, Judge
from genred.judgement.smoother import Smoother

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genred.model.session import Model
    from genred.settings.judgement import JudgementSettings

    Floats = NDArray[np.float32]


LOUDEST: Final = np.float32(1000.0)
"""A sample beyond this (60 dB over full scale) is no sound."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one hop of one feed came to."""

    row: int
    end: float
    """Capture time of the end of the window, Unix seconds."""
    level_dbfs: float
    peak_dbfs: float
    logmel: Floats
    """The new frames, ``[n_mels, frames]``."""
    raw: Floats | None
    """The network's calibrated probabilities ``[labels]``; None before a whole window of real
    audio and while the gate is closed."""
    smoothed: Floats | None
    """The calibrated belief ``[labels]``; None before a whole window."""
    changes: tuple[Change, ...]


class Analyser:
    """Judges some feeds, each a row with a state of its own; rows may come and go."""

    def __init__(self, model: Model, by: Sequence[JudgementSettings]) -> None:
        self.model = model
        self.judges: list[Judge] = []
        metadata = model.metadata
        self._smoother = Smoother(metadata.labels)
        advice = metadata.judging
        self._advice = advice.settings() if advice else {}
        self._temperatures = (
            (advice.kind_temperature, advice.label_temperature) if advice else (1.0, 1.0)
        )
        self._state: Floats
        self._belief: Floats
        self._heard: NDArray[np.int64]
        self.arrange([None] * len(by), by)

    def arrange(self, rows: Sequence[int | None], by: Sequence[JudgementSettings]) -> None:
        """Have ``len(rows)`` rows from now on, each judged by one of ``by``.

        A number takes a row on with all that it remembers, None begins a new one; a row that is
        not named is forgotten. What a model recommends holds where ``by`` leaves it open.
        """
        metadata = self.model.metadata
        by = [each.suited(self._advice) for each in by]
        state = self.model.new_state(len(rows))
        belief = self._smoother.unknowing(len(rows))
        heard = np.zeros(len(rows), np.int64)
        judges = []
        for row, (former, each) in enumerate(zip(rows, by, strict=True)):
            if former is None:
                judges.append(Judge(metadata, each))
                continue
            state[row] = self._state[former]
            belief[row] = self._belief[former]
            heard[row] = self._heard[former]
            judges.append(self.judges[former])
            judges[-1].by = each
        self._state, self._belief, self._heard, self.judges = state, belief, heard, judges
        hop_s = metadata.hop / metadata.sample_rate
        self._change = np.array(
            [min(hop_s / each.mean_duration_s, 0.5) for each in by], np.float32
        ).reshape(-1, 1)
        self._evidence = np.array([each.evidence for each in by], np.float32).reshape(-1, 1)
        self._kind_evidence = np.array([each.kind_evidence for each in by], np.float32).reshape(
            -1, 1
        )

    def reset(self, row: int) -> list[Change]:
        """Begin anew on ``row``, as after a gap; tells what has ended by that."""
        self._state[row] = 0
        self._heard[row] = 0
        self._belief[row] = self._smoother.prior
        return self.judges[row].reset()

    def step(self, rows: Sequence[int], audio: Floats, ends: Sequence[float]) -> list[Decision]:
        """Take one hop of each of ``rows``: ``audio`` ``[len(rows), hop]``, ending at ``ends``.

        A row may stand in ``rows`` only once.
        """
        model = self.model
        index = np.asarray(rows)
        # A source may deliver what is no number, or so large that its square is none; let it be
        # silence rather than poison the state.
        sound = np.abs(audio) <= LOUDEST
        if not sound.all():
            audio = np.where(sound, audio, np.float32(0))
        logits, logmel, self._state[index] = model.step(audio, self._state[index])
        self._heard[index] += model.metadata.hop
        levels = rms_dbfs(audio).tolist()
        peaks = peak_dbfs(audio).tolist()
        raw = model.probabilities(logits)
        judges = [self.judges[row] for row in rows]
        dead_before = [judge.gate.dead_air for judge in judges]
        gates = [
            judge.listen(level, end) for judge, level, end in zip(judges, levels, ends, strict=True)
        ]
        whole = self._heard[index] >= model.metadata.window
        heard = whole & np.array([gate.open for gate in gates])
        belief = self._belief[index]
        smoother, change = self._smoother, self._change[index]
        weighed = smoother.update(
            belief, raw, change, self._evidence[index], self._kind_evidence[index]
        )
        moved = smoother.predict(belief, change)
        belief = np.where(heard[:, None], weighed, np.where(whole[:, None], moved, belief))
        for position, judge in enumerate(judges):
            if judge.gate.silent(ends[position], judge.by):
                belief[position] = smoother.prior
        self._belief[index] = belief
        belief = smoother.shown(belief, *self._temperatures)
        decisions = []
        for position, (row, judge) in enumerate(zip(rows, judges, strict=True)):
            probabilities = raw[position] if heard[position] else None
            changes: list[Change] = []
            if whole[position]:
                changes = judge.decide(probabilities, belief[position], dead_before[position])
            decisions.append(
                Decision(
                    row=row,
                    end=ends[position],
                    level_dbfs=levels[position],
                    peak_dbfs=peaks[position],
                    logmel=logmel[position],
                    raw=probabilities,
                    smoothed=belief[position] if whole[position] else None,
                    changes=tuple(changes),
                )
            )
        return decisions
