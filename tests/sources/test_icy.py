"""ICY metadata, playlists and text that strangers send: parsed with care."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genred.sources.icy import IcyReader, interval, title_of
from genred.sources.playlist import first_stream, is_hls, is_playlist
from genred.sources.text import LONGEST_TEXT, clean, song


@pytest.mark.parametrize(
    ("block", "title"),
    [
        (b"StreamTitle='A - B';", "A - B"),
        (b"StreamTitle='A - B';\0\0\0", "A - B"),
        (b"StreamTitle='It's a 'song';';StreamUrl='http://x';\0", "It's a 'song';"),
        (b"StreamTitle='A';adw_ad='true';durationMs='1';", "A"),
        (b"StreamUrl='x';StreamTitle='K\xfcnstler';", "Künstler"),
        ("StreamTitle='音楽 - Ü';".encode(), "音楽 - Ü"),
        (b"StreamTitle='';StreamUrl='';", None),
        (b"StreamTitle='no end", "no end"),
        (b"StreamTitle='\x1b[2J\x07bell';", "bell"),
        (b"StreamTitle='a\r\nb';", "a b"),
        (b"nothing of the kind", None),
        (b"", None),
    ],
)
def test_titles(block, title):
    assert title_of(block) == title


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=4080))
def test_any_block_gives_a_line_or_nothing(block):
    for title in (title_of(block), title_of(b"StreamTitle='" + block)):
        assert title is None or (title.isprintable() and 0 < len(title) <= LONGEST_TEXT)


@pytest.mark.parametrize(
    ("header", "number"),
    [
        *[("16000", 16000), (" 8192 ", 8192), (None, None), ("", None), ("0", None)],
        *[("-1", None), ("1e3", None), ("9" * 50, None), ("99999999", None), ("²", None)],
    ],
)
def test_intervals(header, number):
    assert interval(header) == number


class Portions(io.BytesIO):
    """Gives bytes in the portions of a network."""

    def __init__(self, data, sizes):
        super().__init__(data)
        self._sizes = sizes
        self._turn = 0

    def read1(self, size=-1):
        self._turn += 1
        return super().read1(min(size, self._sizes[self._turn % len(self._sizes)]))


@settings(max_examples=150, deadline=None)
@given(
    every=st.integers(1, 300),
    blocks=st.lists(st.text("abc äß'", max_size=40), max_size=8),
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    reads=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    cut=st.integers(0, 50),
)
def test_audio_comes_out_whole_and_titles_in_order(every, blocks, sizes, reads, cut):
    """However the network portions it out, and wherever it breaks off."""
    audio = bytes(range(256)) * 12
    data, wanted = b"", []
    pieces = [audio[at : at + every] for at in range(0, len(audio), every)]
    for number, piece in enumerate(pieces):
        data += piece
        if len(piece) == every:
            block = b""
            if number < len(blocks):
                block = f"StreamTitle='{blocks[number]}';".encode()
                wanted.append(clean(blocks[number]))
            padded = block + b"\0" * (-len(block) % 16)
            data += bytes([len(padded) // 16]) + padded
    titles = []
    reader = IcyReader(Portions(data[: len(data) - cut], sizes), every, titles.append)
    heard, turn = b"", 0
    while part := reader.read1(reads[turn % len(reads)]):
        heard, turn = heard + part, turn + 1
    assert audio.startswith(heard)
    assert titles == wanted[: len(titles)]
    if cut == 0:
        assert heard == audio
        assert titles == wanted


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000), st.integers(1, 64))
def test_rubbish_ends(data, every):
    """Any bytes at all: no more comes out than went in, and it ends."""
    reader = IcyReader(io.BufferedReader(io.BytesIO(data)), every, lambda title: None)
    total = 0
    while part := reader.read1(100):
        total += len(part)
    assert total <= len(data)


def test_what_is_a_playlist():
    assert is_playlist("audio/x-scpls", "/x", b"")
    assert is_playlist("application/octet-stream", "/x", b"\xef\xbb\xbf#EXTM3U\n")
    assert is_playlist("text/plain", "/listen.PLS", b"File1=")
    assert not is_playlist("audio/mpeg", "/listen.m3u", b"\xff\xfb\x90")
    assert is_hls("#EXTM3U\n#EXT-X-VERSION:3\n")
    assert not is_hls("#EXTM3U\n#EXTINF:-1,x\n")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("#EXTM3U\n#EXTINF:-1,x\nhttp://a/b\nhttp://c/d\n", "http://a/b"),
        ("[playlist]\r\nTitle1=x\r\nFile1=https://a/b \r\n", "https://a/b"),
        ("live.mp3", "http://base/dir/live.mp3"),
        ("file:///etc/passwd\nconcat:a|b\nrtmp://a/b\nhttp://a/b", "http://a/b"),
        ("", None),
        ("#only remarks\n", None),
    ],
)
def test_the_first_stream_of_a_playlist(text, url):
    assert first_stream(text, "http://base/dir/list.m3u") == url


def test_text():
    """One printable line of bounded length, or nothing."""
    assert clean("  a\tb\n c ") == "a b c"
    assert clean("\x00\x1b\u202e") is None
    assert len(clean("x" * 10_000_000)) == LONGEST_TEXT
    assert song({"TITLE": "T", "Artist": "A"}) == "A - T"
    assert song({"title": "T"}) == "T"
    assert song({"artist": "A"}) is None
