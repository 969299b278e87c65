"""The ring: nothing torn, nothing repeated, and every frame that is lost is counted."""

from __future__ import annotations

import random
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genred.ring import Ring

STEP = 1 << 20  # float32 counts exactly up to here and beyond


def ramp(start: int, count: int, channels: int = 1) -> np.ndarray:
    """Frames that know their position; each channel a different multiple."""
    positions = (np.arange(start, start + count) % STEP).astype(np.float32)
    return np.stack([positions + channel * 0.25 for channel in range(channels)], axis=1)


@settings(max_examples=200, deadline=None)
@given(
    capacity=st.integers(1, 40),
    channels=st.integers(1, 3),
    piece=st.integers(0, 12),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 90)), max_size=60),
)
def test_any_order_of_writes_and_reads(capacity, channels, piece, steps):
    """Whatever is read is what stands at that position, and read + lost + waiting = written."""
    piece = min(piece, capacity)
    ring = Ring(capacity, channels, piece)
    seen = 0
    for is_write, count in steps:
        if is_write:
            ring.write(ramp(ring.written, count, channels))
        else:
            out = np.full((max(min(count, capacity), piece), channels), np.nan, np.float32)
            at, lost, laps = ring.position, ring.lost, ring.laps
            if ring.read(out):
                np.testing.assert_array_equal(out, ramp(at, len(out), channels))
                seen += len(out)
                assert ring.position == at + len(out)
            elif ring.laps > laps:
                assert ring.lost > lost
                assert ring.position == at + ring.lost - lost
            else:
                assert ring.position == at
        waiting = ring.written - ring.position
        assert seen + ring.lost + waiting == ring.written
        assert ring.available() == min(waiting, capacity)
        assert ring.room() == max(0, capacity - waiting)


def test_a_lapped_reader_lands_where_half_of_the_ring_is_unread():
    """It is not overtaken at once again, and it knows how much it missed."""
    ring = Ring(100)
    ring.write(ramp(0, 1000))
    out = np.empty((10, 1), np.float32)
    assert not ring.read(out)
    assert (ring.position, ring.lost, ring.laps) == (950, 950, 1)
    assert ring.read(out)
    np.testing.assert_array_equal(out, ramp(950, 10))


def test_exactly_full_is_not_lapped():
    """The oldest frame of a full ring is still good."""
    ring = Ring(100)
    ring.write(ramp(0, 150)[50:])
    out = np.empty((100, 1), np.float32)
    assert ring.read(out)
    np.testing.assert_array_equal(out, ramp(50, 100))
    assert ring.lost == 0


def test_one_channel_needs_no_second_dimension():
    """Plain vectors go in and out."""
    ring = Ring(8)
    ring.write(np.arange(5, dtype=np.float32))
    out = np.empty(5, np.float32)
    assert ring.read(out)
    assert out.tolist() == [0, 1, 2, 3, 4]


def test_skipping_never_goes_back_nor_beyond_what_is_there():
    """Positions only grow."""
    ring = Ring(8)
    ring.write(np.zeros(6, np.float32))
    ring.skip_to(4)
    ring.skip_to(2)
    assert ring.position == 4
    ring.skip_to(100)
    assert ring.position == 6


def test_what_can_never_work_is_refused():
    """A ring of nothing, or reading more than it can ever hold."""
    with pytest.raises(ValueError, match="at least one"):
        Ring(0)
    with pytest.raises(ValueError, match="never"):
        Ring(4).read(np.empty((5, 1), np.float32))
    with pytest.raises(ValueError, match="less than a piece"):
        Ring(4, piece=2).read(np.empty((1, 1), np.float32))


def test_a_ring_whose_reader_keeps_up_uses_its_beginning_alone():
    """Ten seconds may be held; what is never needed is never touched, and costs no memory."""
    ring = Ring(160_000, piece=4000)
    ring._data[:] = np.nan
    out = np.empty(4000, np.float32)
    for _ in range(400):
        ring.write(ramp(ring.written, 1024))
        at = ring.position
        if ring.read(out):
            np.testing.assert_array_equal(out, ramp(at, 4000)[:, 0])
    assert np.isnan(ring._data[3 * 4000 :]).all()
    ring.write(ramp(ring.written, 100_000))
    assert not np.isnan(ring._data[100_000])


@pytest.mark.parametrize("piece", [0, 1500])
@pytest.mark.parametrize("pause", [0.0, 0.002], ids=["reader keeps up", "reader is overtaken"])
def test_two_threads(pause, piece):
    """With real threads that switch at any moment, no frame is torn, repeated or uncounted."""
    ring = Ring(20_000, 2, piece)
    total = 2_000_000
    sizes = random.Random(5)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def produce():
        while ring.written < total:
            ring.write(ramp(ring.written, sizes.randint(1, 4000), 2))
            if not pause:
                while ring.room() < 4000:
                    time.sleep(0)

    producer = threading.Thread(target=produce)
    producer.start()
    seen = 0
    out = np.empty((1500, 2), np.float32)
    try:
        while producer.is_alive() or ring.available() >= len(out):
            at = ring.position
            if ring.read(out):
                np.testing.assert_array_equal(out, ramp(at, len(out), 2))
                seen += len(out)
                time.sleep(pause)
    finally:
        sys.setswitchinterval(interval)
        producer.join()
    assert seen + ring.lost + (ring.written - ring.position) == ring.written
    assert seen > 10_000
    assert (ring.laps > 0) == bool(pause)
