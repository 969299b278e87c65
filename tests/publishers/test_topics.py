"""Where things stand on a broker."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from genred.messages import FEED_MESSAGES, NodeInfo
from genred.publishers.discovery import object_id
from genred.publishers.topics import Topics, clean_id


def test_topics_are_those_of_the_conventions():
    """Every topic is spelled as documented."""
    topics = Topics("genred", "studio")
    assert topics.status == "genred/studio/status"
    assert topics.info == f"genred/studio/{NodeInfo.topic}"
    assert [topics.of_feed("fm", each.topic) for each in FEED_MESSAGES] == [
        "genred/studio/fm/state",
        "genred/studio/fm/event",
        "genred/studio/fm/scores",
        "genred/studio/fm/health",
    ]


@given(st.text(max_size=40))
def test_ids_hold_only_what_is_allowed(text: str):
    """Whatever a node is called, its topic has one level for it and no wildcard."""
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", clean_id(text))
    assert Topics("genred", text).status.count("/") == 2


ids = st.text("ab_-", min_size=1, max_size=6)
bases = st.lists(st.text("ab_-", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)


@given(st.tuples(bases, ids, st.none() | ids), st.tuples(bases, ids, st.none() | ids))
def test_discovery_ids_never_collide(one: tuple, other: tuple):
    """Two devices have the same discovery topic only if they are the same."""
    names = [object_id(Topics(base, node), feed) for base, node, feed in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", names[0])
