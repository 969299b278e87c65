"""The station's programme: order, boundaries, reproducibility, cost."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genred.errors import UsageError
from genred.labels import SILENCE
from genred.station import NAME, STYLES, Passage, Station
from genred.station.programme import CROSSFADE_S, DEAD_AIR_S

RATE = 16_000
SHORT = (1.0, 2.0)
SPEED = 40
"""Times faster than real time that the station must be on one core: a fast one does 200, a slow one
that is shared 80."""
FIRST_AUDIO_S = 0.3


def passages(station: Station, count: int) -> list[Passage]:
    found, sample = [], 0
    for _ in range(count):
        found.append(station.passage_at(sample))
        sample = found[-1].end
    return found


def dbfs(sound: np.ndarray) -> float:
    return float(10.0 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-12))


def test_the_station_says_that_it_is_synthetic():
    assert "synthetic" in NAME


@pytest.mark.parametrize("sizes", [(160,), (4000,), (1, 7777, 333), (16_001, 5)])
def test_block_sizes_do_not_change_a_sample(sizes):
    whole = Station(3, RATE, SHORT).read(25 * RATE)
    station, parts, left = Station(3, RATE, SHORT), [], 25 * RATE
    for size in itertools.cycle(sizes):
        if not left:
            break
        parts.append(station.read(min(size, left)))
        left -= parts[-1].size
    assert np.array_equal(np.concatenate(parts), whole)


def test_position_counts_what_was_read():
    station = Station()
    assert station.position == 0
    sound = station.read(1234)
    station.read(0)
    assert sound.shape == (1234,)
    assert sound.dtype == np.float32
    assert station.position == 1234


def test_another_seed_is_another_programme():
    one, other = Station(1).read(20 * RATE), Station(2).read(20 * RATE)
    likeness = np.corrcoef(one, other)[0, 1]
    assert abs(likeness) < 0.2
    assert [p.style for p in passages(Station(1), 11)] != [
        p.style for p in passages(Station(2), 11)
    ]


@given(seed=st.integers(0, 10_000), shortest=st.floats(1.0, 30.0), extra=st.floats(0.0, 30.0))
def test_every_style_is_visited_before_one_returns(seed, shortest, extra):
    station = Station(seed, RATE, (shortest, shortest + extra))
    found = passages(station, 4 * len(STYLES))
    names = [p.style for p in found]
    for start in range(0, len(names), len(STYLES)):
        assert set(names[start : start + len(STYLES)]) == set(STYLES)
    assert all(a != b for a, b in itertools.pairwise(names))
    assert [p.index for p in found] == list(range(len(found)))
    assert found[0].start == 0
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    assert found[0].label not in {SILENCE, "speech", "noise"}
    for p in found:
        low, high = DEAD_AIR_S if p.label == SILENCE else (shortest, shortest + extra)
        assert round(low * RATE) <= p.frames <= round(high * RATE)
        assert (p.title, p.label) == (STYLES[p.style].title, STYLES[p.style].label)


def test_a_passage_owns_its_samples_and_no_others():
    station = Station(5)
    for p in passages(station, 30):
        assert station.passage_at(p.start) == p
        assert station.passage_at(p.end - 1) == p
        assert station.passage_at(p.end).index == p.index + 1


def test_boundaries_years_ahead_are_found_at_once():
    station = Station(5)
    sample = 3 * 365 * 86_400 * RATE
    began = time.process_time()
    far = station.passage_at(sample)
    assert time.process_time() - began < 0.1
    assert far.start <= sample < far.end
    assert Station(5).passage_at(far.start) == far


def test_asking_ahead_does_not_disturb_the_sound():
    asked, plain = Station(4, RATE, SHORT), Station(4, RATE, SHORT)
    asked.passage_at(10**9)
    assert np.array_equal(asked.read(5 * RATE), plain.read(5 * RATE))


def test_a_passage_is_heard_where_it_is_announced():
    """Between crossfades the station plays what the announced style renders, to the sample."""
    station = Station(6, RATE, SHORT)
    fade = round(CROSSFADE_S * RATE)
    sound = station.read(passages(station, 6)[-1].end)
    for p in passages(station, 6):
        rng = np.random.default_rng((6, 1, p.index))
        pieces, have = [], 0
        for piece in STYLES[p.style].render(rng, RATE):
            pieces.append(piece)
            have += piece.size
            if have >= p.frames:
                break
        alone = np.concatenate(pieces)[: p.frames]
        assert np.array_equal(sound[p.start + fade : p.end], alone[fade:])


def test_boundaries_neither_click_nor_gape():
    station = Station(8, RATE, SHORT)
    found = passages(station, 2 * len(STYLES))
    sound = station.read(found[-1].end)
    for before, after in itertools.pairwise(found):
        if SILENCE in {before.label, after.label}:
            continue
        around = sound[after.start - RATE // 2 : after.start + RATE // 2]
        assert dbfs(around) > -45.0
        # The first sample of a crossfade is the passage before, going on.
        assert abs(sound[after.start] - sound[after.start - 1]) < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_dead_air_is_far_below_any_gate_for_longer_than_ten_seconds(seed):
    station = Station(seed, RATE, SHORT)
    quiet = next(p for p in passages(station, len(STYLES)) if p.label == SILENCE)
    sound = station.read(quiet.end)
    fade = round(CROSSFADE_S * RATE)
    inside = sound[quiet.start + fade : quiet.end]
    assert inside.size > 11 * RATE
    assert max(dbfs(second) for second in np.array_split(inside, 12)) < -70.0
    assert dbfs(sound[quiet.start - RATE : quiet.start]) > -45.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rate": 4000}, "4000 Hz"),
        ({"rate": 1_000_000}, "1000000 Hz"),
        ({"passage_s": (30.0, 20.0)}, "cannot be played"),
        ({"passage_s": (0.1, 20.0)}, "cannot be played"),
        ({"passage_s": (1.0, float("inf"))}, "cannot be played"),
        ({"seed": -1}, "seed"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, said):
    with pytest.raises(UsageError, match=said) as caught:
        Station(**arguments)
    assert caught.value.hint


def test_nothing_plays_before_the_start():
    with pytest.raises(ValueError, match="starts at sample 0"):
        Station().passage_at(-1)


def test_the_station_costs_a_few_hundredths_of_a_core_at_most():
    station, worst = Station(9, RATE, (4.0, 6.0)), 0.0
    seconds = 60
    began = time.process_time()
    for _ in range(4 * seconds):
        before = time.process_time()
        station.read(RATE // 4)
        worst = max(worst, time.process_time() - before)
    assert time.process_time() - began < seconds / SPEED
    assert worst < FIRST_AUDIO_S, "a style's first piece must not stall a real-time reader"


def test_memory_stays_where_it_was():
    """After the first cycle has met every style, further cycles need no more memory."""
    station = Station(10, RATE, SHORT)
    cycle = passages(station, len(STYLES))[-1].end
    tracemalloc.start()
    try:
        peaks = []
        for _ in range(3):
            tracemalloc.reset_peak()
            for _ in range(cycle // RATE):
                station.read(RATE)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert max(peaks) < 40e6
    assert peaks[2] < 1.5 * peaks[0]
