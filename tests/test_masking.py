"""What must never be shown is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genred.masking import mask


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mqtt://genred:secret@host:1883", "mqtt://***@host:1883"),
        ("mqtt://genred@host", "mqtt://***@host"),
        ("mqtt://host:1883", "mqtt://host:1883"),
        ("http://host:8000/live@night", "http://host:8000/live@night"),
        ("http://u:p/q@host/live", "http://***@host/live"),
        ("http://u:p@q@host/live", "http://***@host/live"),
        ("http://u:p?q#r@host", "http://***@host"),
        ("rtsp://[::1]:554/a@b", "rtsp://[::1]:554/a@b"),
        ("http://h/?token=abc&x=1&API_Key=zz#top", "http://h/?token=***&x=1&API_Key=***#top"),
        ("http://u:p@a failed, http://v:q@b too", "http://***@a failed, http://***@b too"),
        ("nothing to hide: a@b.example", "nothing to hide: a@b.example"),
    ],
)
def test_what_is_masked(text, shown):
    assert mask(text) == shown


@given(
    user=st.text("abc%", max_size=5),
    password=st.text("xyz/?#@:%&=", min_size=1, max_size=12),
    rest=st.sampled_from(["", ":8000", "/live", ":8000/live?a=b"]),
)
def test_no_password_is_shown(user, password, rest):
    """Whatever it holds: reserved characters as well, which should be escaped and often are not."""
    password = f"s3cr{password}et"
    assert "s3cr" not in mask(f"http://{user or 'u'}:{password}@host{rest}")


def test_long_text_takes_no_long_time():
    for text in ("?" + "key" * 50_000, "http://" + "a:" * 50_000, "://" * 50_000):
        assert isinstance(mask(text), str)
