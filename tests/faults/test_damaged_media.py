"""Media files by random damage, and files that claim what they are not, through the decoder."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sources.listener import tone, write_audio

SEEDS = 40
"""Damaged copies of each file."""
GROWTH_MB = 100.0
"""A decoder's buffers; what is claimed in a damaged header would be gigabytes."""
FORMATS = ("wav", "flac", "mp3", "ogg", "m4a", "aac", "opus")


def decode(sound, *paths):
    """Decode in a process of its own; what came of it."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("decode.py"), sound, *paths],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two seconds in each format."""
    folder = tmp_path_factory.mktemp("media")
    codecs = {"ogg": "flac", "opus": "libopus"}
    return [
        write_audio(
            folder / f"sound.{each}", tone(440, 2, 48_000), 48_000, codecs.get(each),
            tags={"title": "A title", "artist": "Somebody"},
        )
        for each in FORMATS
    ]  # fmt: skip


def damaged(data, seed):
    """A copy with bytes changed, cut out, doubled or cut off, above all near its beginning."""
    dice = random.Random(seed)
    out = bytearray(data)
    for _ in range(dice.choice([1, 3, 10, 100])):
        at = min(int(dice.expovariate(1 / 200)) if dice.random() < 0.5 else
                 dice.randrange(len(out)), len(out) - 1)  # fmt: skip
        match dice.randrange(4):
            case 0 | 1:
                out[at] = dice.randrange(256)
            case 2:
                out[at : at + 4] = b"\xff\xff\xff\x7f"
            case 3:
                piece = out[at : at + dice.randrange(1, 50)]
                out[at:at] = piece
    return bytes(out[: dice.randrange(1, len(out))] if dice.random() < 0.2 else out)


def test_damaged_files_are_decoded_or_refused(corpus, tmp_path, record_fault):
    """Nothing crashes, hangs, makes up hours or fills the memory."""
    paths = []
    for number, sound in enumerate(corpus):
        for seed in range(SEEDS):
            path = tmp_path / f"{seed}{sound.suffix}"
            path.write_bytes(damaged(sound.read_bytes(), 1000 * number + seed))
            paths.append(path)
    result = decode(corpus[0], *paths)
    assert result["decoded"] + result["refused"] == len(paths) + 1
    assert result["decoded"] > SEEDS
    assert result["refused"] > SEEDS // 4
    assert result["not_finite"] == 0
    assert result["grown_mb"] < GROWTH_MB
    record_fault(
        f"{len(paths)} damaged media files ({', '.join(FORMATS)})",
        f"{result['decoded'] - 1} heard, {result['refused']} refused with a line;"
        f" {result['grown_mb']:.0f} MB more memory at most",
        None,
        "what is damaged",
    )


def wav(channels=1, rate=16_000, bits=16, claimed=0xFFFFFFFF, data=b"\0\1" * 4000):
    block = min(channels * bits // 8, 0xFFFF)
    head = struct.pack(
        "<HHIIHH", 1, min(channels, 0xFFFF), rate, min(rate * block, 0xFFFFFFFF), block, bits
    )
    return (
        b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", claimed) + data
    )  # fmt: skip


def id3(size):
    """An MP3's tag whose title is claimed to be of ``size`` bytes, and is."""

    def safe(number):
        return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))

    frame = b"TIT2" + safe(size) + b"\0\0\0"
    return b"ID3\4\0\0" + safe(size + 10) + frame + b"x" * (size - 1)


def caf(channels):
    """A Core Audio file, whose header has room for any number of channels."""
    head = struct.pack(
        ">d4sIIIII", 16_000.0, b"lpcm", 0, 2 * channels & 0xFFFFFFFF, 1, channels, 16
    )
    return (
        b"caff\0\1\0\0desc" + struct.pack(">q", len(head)) + head
        + b"data" + struct.pack(">q", 8004) + b"\0\0\0\0" + b"\0\1" * 4000
    )  # fmt: skip


CLAIMS = {
    "4 GB of samples": (wav(), True),
    "65535 channels": (wav(channels=65_535), False),
    "a million channels": (caf(1_000_000), False),
    "4 billion Hz": (wav(rate=0xFFFFFFFF), False),
    "no channels": (wav(channels=0), False),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_header_that_claims_too_much(claim, corpus, tmp_path):
    """Read as far as it goes, or refused; memory is not taken on trust."""
    data, heard = CLAIMS[claim]
    path = tmp_path / ("claim.caf" if data.startswith(b"caff") else "claim.wav")
    path.write_bytes(data)
    result = decode(corpus[0], path)
    assert result["decoded"] == 1 + heard
    assert result["grown_mb"] < GROWTH_MB


def test_a_title_of_a_hundred_megabytes(corpus, tmp_path):
    """Longer than any tag is, and really there: FFmpeg holds it once or twice, no more."""
    sound = next(path for path in corpus if path.suffix == ".mp3").read_bytes()
    path = tmp_path / "long.mp3"
    path.write_bytes(id3(100 * 2**20) + sound)
    result = decode(corpus[0], path)
    assert result["decoded"] + result["refused"] == 2
    assert result["grown_mb"] < 3 * GROWTH_MB
