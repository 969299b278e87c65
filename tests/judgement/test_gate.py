"""Level and gate, with times that are those of the audio."""

from __future__ import annotations

import numpy as np
import pytest

from genred.judgement.gate import FLOOR_DBFS, Gate, peak_dbfs, rms_dbfs
from genred.settings.judgement import JudgementSettings

BY = JudgementSettings(
    silence_dbfs=-50,
    silence_hysteresis_db=6,
    silence_after_s=1,
    dead_air_after_s=3,
    recover_after_s=0.5,
)


def run(levels, gate=None, hop=0.25):
    gate = gate or Gate()
    history = []
    for index, level in enumerate(levels):
        gate = gate.step(level, index * hop, (index + 1) * hop, BY)
        history.append((gate, gate.silent((index + 1) * hop, BY)))
    return history


def test_levels_of_known_signals():
    sine = np.sin(np.arange(16_000) * 2 * np.pi * 440 / 16_000).astype(np.float32)
    audio = np.stack([sine, 0.1 * sine, np.zeros_like(sine)])
    np.testing.assert_allclose(rms_dbfs(audio), [-3.01, -23.01, FLOOR_DBFS], atol=0.01)
    np.testing.assert_allclose(peak_dbfs(audio), [0, -20, FLOOR_DBFS], atol=0.01)


def test_silence_and_dead_air_come_after_their_times():
    history = run([-20] * 4 + [-90] * 14)
    silent = [silent for _, silent in history]
    assert silent.index(True) == 4 + 3  # closed since 1.0 s, silent at 2.0 s
    dead = [gate.dead_air for gate, _ in history]
    assert dead.index(True) == 4 + 11  # 3 s after it closed


def test_hysteresis_keeps_the_gate_from_fluttering():
    history = run([-20, -51, -49, -51, -49, -43])
    assert [gate.open for gate, _ in history] == [True, False, False, False, False, True]


def test_dead_air_is_over_only_after_a_while_of_sound():
    history = run([-90] * 14 + [-20, -90] + [-20] * 4)
    dead = [gate.dead_air for gate, _ in history]
    assert dead[14]
    assert dead[15]
    assert not dead[-1]


def test_the_first_hop_counts_from_its_own_start():
    gate = Gate().step(-90, 100.0, 100.25, BY)
    assert gate.since == pytest.approx(100.0)
    assert not gate.dead_air
