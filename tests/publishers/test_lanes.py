"""What waits to be sent, within bounds."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from genred.publishers.lanes import Lanes, Parcel


def event(number: int) -> Parcel:
    return Parcel("e", str(number).encode(), qos=1, retain=False)


def drain(lanes: Lanes) -> list[tuple[str, bytes]]:
    taken = []
    while (parcel := lanes.take()) is not None:
        taken.append((parcel.topic, parcel.body))
    return taken


def test_of_a_retained_topic_only_the_newest_word_is_sent():
    """A topic that is told a hundred times while nobody listens waits once."""
    lanes = Lanes(10)
    for number in range(100):
        lanes.retain("a", b"%d" % number)
        lanes.retain("b", b"%d" % -number)
    assert lanes.waiting == 2
    assert drain(lanes) == [("a", b"99"), ("b", b"-99")]
    assert lanes.dropped == 0


def test_too_many_events_push_out_the_oldest():
    """The newest events are kept, in order; the others are counted."""
    lanes = Lanes(3)
    for number in range(5):
        lanes.append(event(number))
    assert [body for _, body in drain(lanes)] == [b"2", b"3", b"4"]
    assert lanes.dropped == 2


def test_what_comes_back_goes_first():
    """Events that did not arrive stand before those that came since, and the bound holds."""
    lanes = Lanes(4)
    for number in (3, 4, 5):
        lanes.append(event(number))
    lanes.give_back([event(1), event(2)])
    assert [body for _, body in drain(lanes)] == [b"2", b"3", b"4", b"5"]
    assert lanes.dropped == 1


def test_order_of_the_lanes():
    """First what is emptied, then retained topics, events, scores; a retelling has its order."""
    lanes = Lanes(10)
    lanes.stream(Parcel("s", b"", qos=0, retain=False))
    lanes.append(event(1))
    for topic in "abc":
        lanes.retain(topic, topic.encode())
    lanes.tell_again(["c", "a"])
    lanes.empty(["old"])
    assert [topic for topic, _ in drain(lanes)] == ["old", "c", "a", "b", "e", "s"]


@given(
    st.lists(st.sampled_from(["retain", "append", "stream", "take", "back"]), max_size=200),
    st.integers(1, 5),
)
def test_whatever_happens_the_bound_holds_and_nothing_is_lost_uncounted(steps: list, limit: int):
    """Events taken, waiting and dropped always add up, and never more wait than may."""
    lanes = Lanes(limit)
    told, sent, out = 0, 0, deque()
    for step in steps:
        match step:
            case "retain":
                lanes.retain("a", b"x")
            case "append":
                lanes.append(event(told))
                told += 1
            case "stream":
                lanes.stream(Parcel("s", b"", qos=0, retain=False))
                told += 1
            case "take":
                parcel = lanes.take()
                if parcel is not None and not parcel.retain:
                    sent += 1
                    out.append(parcel)
            case "back" if out and out[-1].topic == "e":
                lanes.give_back([out.pop()])
                sent -= 1
        assert lanes.waiting <= 2 * limit + 1
    waiting = sum(not parcel.retain for parcel in iter(lanes.take, None))
    assert told == sent + waiting + lanes.dropped
