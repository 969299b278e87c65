"""Files: every common format, in real time or fast, and everything that is no audio file."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import time

import av
import numpy as np
import pytest

from genred.clock import FakeClock, SystemClock
from genred.errors import InputError
from genred.messages import SourceStatus
from genred.sources.decoder import samples_of
from genred.sources.files import FileSource, audio_files, decode
from sources.listener import HOP, RATE, Ear, loudest_hz, tone, write_audio

FORMATS = [
    ("a.wav", 44_100, 1, None, None),
    ("a.wav", 48_000, 2, "pcm_s24le", None),
    ("a.wav", 96_000, 2, "pcm_f32le", None),
    ("a.wav", 8_000, 1, "pcm_u8", None),
    ("a.wav", 8_000, 1, "pcm_mulaw", None),
    ("a.wav", 44_100, 1, "pcm_f64le", None),
    ("a.flac", 44_100, 2, None, None),
    ("a.flac", 96_000, 1, None, "s32"),
    ("a.mp3", 44_100, 2, None, None),
    ("a.mp3", 22_050, 1, None, None),
    ("a.ogg", 44_100, 2, "libvorbis", None),
    ("a.opus", 48_000, 2, "libopus", None),
    ("a.m4a", 44_100, 2, "aac", None),
    ("a.aac", 44_100, 1, "aac", None),
    ("a.au", 22_050, 1, "pcm_s16be", None),
    ("a.aiff", 44_100, 2, "pcm_s16be", None),
    ("a.webm", 48_000, 2, "libopus", None),
    ("a.mka", 48_000, 6, "flac", None),
    ("a.wma", 44_100, 2, "wmav2", None),
    ("a.ac3", 48_000, 2, "ac3", None),
]


@pytest.mark.parametrize(
    ("name", "rate", "channels", "codec", "sample_format"),
    FORMATS,
    ids=[f"{f[0]}-{f[1]}-{f[2]}-{f[3] or ''}" for f in FORMATS],
)
def test_formats(tmp_path, name, rate, channels, codec, sample_format):
    """The tone that was encoded comes out, as long and as loud as it went in."""
    path = write_audio(
        tmp_path / name, tone(440, 3, rate, channels), rate, codec, None, sample_format
    )
    heard = np.concatenate(list(decode(path, RATE, "left")))
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(3 * RATE, abs=0.06 * RATE)
    inner = heard[RATE // 2 : RATE // 2 + 2 * RATE]
    assert loudest_hz(inner) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(inner**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)


def test_lossless_formats_are_exact(tmp_path):
    """At the model's own rate nothing is changed but the sample format."""
    signal = tone(440, 1, RATE)
    for codec, tolerance in (("pcm_s16le", 2e-5), ("pcm_s24le", 3e-7), ("pcm_f32le", 0)):
        path = write_audio(tmp_path / f"{codec}.wav", signal, RATE, codec)
        heard = np.concatenate(list(decode(path, RATE)))
        assert np.abs(heard - signal[:, 0]).max() <= tolerance


def test_channel_choice(tmp_path):
    """Left is 440 Hz, right 880 Hz, and the mix has both."""
    path = write_audio(tmp_path / "stereo.wav", tone(440, 1, RATE, 2), RATE)
    left, right, mix = (
        np.concatenate(list(decode(path, RATE, channel))) for channel in ("left", "right", "mix")
    )
    assert loudest_hz(left) == pytest.approx(440, abs=1)
    assert loudest_hz(right) == pytest.approx(880, abs=1)
    np.testing.assert_allclose(mix, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "sample_format", ["u8", "u8p", "s16", "s16p", "s32", "s32p", "flt", "dblp"]
)
def test_full_scale_of_every_sample_format(sample_format):
    """Full scale is 1.0 whatever the decoder hands out."""
    frame = av.AudioFrame(format=sample_format, layout="stereo", samples=4)
    raw = frame.to_ndarray()
    values = {"u": (0, 128, 192), "s": None, "f": (-1, 0, 0.5), "d": (-1, 0, 0.5)}[sample_format[0]]
    if values is None:
        top = 2 ** (8 * raw.dtype.itemsize - 1)
        values = (-top, 0, top // 2)
    flat = np.zeros(8, raw.dtype)
    flat[:3] = values
    frame = av.AudioFrame.from_ndarray(flat.reshape(raw.shape), sample_format, "stereo")
    block = samples_of(frame)
    assert block.shape == (4, 2)
    order = block.T.reshape(-1) if sample_format.endswith("p") else block.reshape(-1)
    assert order[:3].tolist() == [-1.0, 0.0, 0.5]


def test_in_real_time(tmp_path):
    """A file plays as long as it is, block by block, and then it has ended."""
    path = write_audio(tmp_path / "a.wav", tone(440, 2.0), 44_100, tags={"title": "Lied"})
    began = time.monotonic()
    with Ear(FileSource(path, SystemClock())) as ear:
        ear.listen()
    assert time.monotonic() - began == pytest.approx(2.0, abs=0.3)
    assert len(ear.chunks) == 8
    assert ear.intake.status is SourceStatus.ENDED
    assert ear.chunks[0].info.title == "Lied"
    assert all(not chunk.fresh for chunk in ear.chunks[1:])
    arrivals = np.diff([chunk.arrived for chunk in ear.chunks])
    assert np.abs(arrivals - 0.25).max() < 0.15


def test_pacing_does_not_drift():
    """An hour of playing ends after an hour, however many waits it took."""
    import threading

    from genred.intake import FeedIntake
    from genred.sources.pace import Pacer

    clock = FakeClock()
    intake = FeedIntake("x", RATE, HOP, 1.0, threading.Event(), clock)
    pacer = Pacer(intake, clock)
    for _ in range(3600):
        assert pacer.put(np.zeros(RATE, np.float32))
    assert clock.monotonic() == pytest.approx(3600, abs=1e-6)


def test_falling_behind_for_long_is_a_gap():
    """After a suspended night, playing goes on from here instead of rushing through the hours."""
    import threading

    from genred.intake import FeedIntake
    from genred.sources.pace import BLOCK_S, Pacer

    clock = FakeClock()
    intake = FeedIntake("x", RATE, HOP, 5.0, threading.Event(), clock)
    pacer = Pacer(intake, clock)
    pacer.put(np.zeros(RATE, np.float32))
    clock.advance(1.0)
    pacer.put(np.zeros(RATE, np.float32))
    assert intake.gaps == 0
    clock.advance(3600)
    before = clock.monotonic()
    pacer.put(np.zeros(2 * RATE, np.float32))
    assert intake.gaps == 1
    assert clock.monotonic() - before == pytest.approx(2 - BLOCK_S)


def test_pieces_end_with_hops():
    """Whatever the blocks, and after a gap, a hop is handed on when its last sample is heard."""
    import threading

    from genred.intake import FeedIntake
    from genred.sources.pace import Pacer

    clock = FakeClock()
    intake = FeedIntake("x", RATE, HOP, 5.0, threading.Event(), clock)
    pacer, late = Pacer(intake, clock), []
    out, played = np.empty(HOP, np.float32), 0
    for size in (700, 3 * HOP + 11, 1, 5000, 900, 2 * HOP):
        pacer.put(np.zeros(size, np.float32))
        while chunk := intake.take(out):
            played += HOP
            late.append(chunk.arrived - played / RATE)
    assert len(late) >= 6
    np.testing.assert_allclose(late, 0, atol=1e-9)


def test_fast_is_fast_and_loses_nothing(tmp_path):
    """A minute of audio in a moment, through a ring of one second."""
    signal = tone(440, 60, RATE)
    path = write_audio(tmp_path / "a.flac", signal, RATE)
    began = time.monotonic()
    with Ear(FileSource(path, SystemClock(), fast=True), buffer_s=1.0) as ear:
        ear.listen(seconds=30)
    assert time.monotonic() - began < 15
    assert ear.intake.overflows == 0
    np.testing.assert_allclose(ear.samples, signal[: len(ear.samples), 0], atol=1e-4)
    assert len(ear.samples) == 60 * RATE


def test_a_folder_plays_in_order_without_a_gap(tmp_path):
    """Sorted, subfolders too; other files are passed over; titles are tags or names."""
    (tmp_path / "b").mkdir()
    write_audio(tmp_path / "1.wav", tone(400, 1, RATE), RATE)
    write_audio(tmp_path / "b" / "2.mp3", tone(800, 1), 44_100, tags={"title": "T", "artist": "A"})
    write_audio(tmp_path / "c.FLAC", tone(1200, 1, RATE), RATE)
    (tmp_path / "cover.jpg").write_bytes(b"no sound")
    assert [path.name for path in audio_files(tmp_path)] == ["1.wav", "2.mp3", "c.FLAC"]
    with Ear(FileSource(tmp_path, SystemClock(), fast=True)) as ear:
        ear.listen()
    middle = [loudest_hz(ear.audio[index]) for index in (1, 5, 10)]
    assert middle == pytest.approx([400, 800, 1200], abs=5)
    titles = list(dict.fromkeys(chunk.info.title for chunk in ear.chunks))
    assert titles == ["1.wav", "A - T", "c.FLAC"]
    assert {chunk.info.station for chunk in ear.chunks} == {tmp_path.name}
    assert sum(chunk.fresh for chunk in ear.chunks) == 1


def test_loop(tmp_path):
    """At the end it begins again, until told to stop."""
    path = write_audio(tmp_path / "a.wav", tone(440, 0.5, RATE), RATE)
    with Ear(FileSource(path, SystemClock(), fast=True, loop=True)) as ear:
        ear.hear(40)
    assert ear.intake.status is SourceStatus.LISTENING


def test_a_bad_file_among_good_ones_is_passed_over(tmp_path, caplog):
    """One warning, and the music goes on."""
    write_audio(tmp_path / "1.wav", tone(400, 1, RATE), RATE)
    (tmp_path / "2.mp3").write_bytes(b"")
    write_audio(tmp_path / "3.wav", tone(400, 1, RATE), RATE)
    with Ear(FileSource(tmp_path, SystemClock(), fast=True)) as ear:
        ear.listen()
    assert len(ear.chunks) == 8
    assert ear.intake.status is SourceStatus.ENDED
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"{tmp_path / '2.mp3'}: the file is empty"
    ]


# ---- what is no audio ----------------------------------------------------------------------------


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        list(decode(path, RATE))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 66
    return caught.value.message


def test_missing(tmp_path):
    assert refusal(tmp_path / "gone.mp3").endswith("gone.mp3: No such file or directory")


def test_empty(tmp_path):
    path = tmp_path / "a.wav"
    path.touch()
    assert refusal(path).endswith("the file is empty")


def test_unreadable(tmp_path):
    path = write_audio(tmp_path / "a.wav", tone(440, 1), 44_100)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything; a folder on the way that is none does not
        path = path / "a.wav"
        assert "Not a directory" in refusal(path)
    else:
        assert "Permission denied" in refusal(path)


def test_a_folder_where_a_file_is_meant(tmp_path):
    assert refusal(tmp_path).endswith("this is a folder, not a file")


def test_a_device_file():
    assert refusal("/dev/zero").endswith("this is not a regular file")


@pytest.mark.parametrize("name", ["a.txt", "a.mp3", "a.wav", "a.flac", "a.ogg"])
def test_text(tmp_path, name):
    path = tmp_path / name
    path.write_text("This is no sound, only words about sound.\n" * 200)
    assert "not audio" in refusal(path) or "no audio" in refusal(path)


def test_a_picture(tmp_path):
    """Something FFmpeg can decode, but without audio."""
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="image2") as out:
        stream = out.add_stream("png", rate=1)
        stream.width = stream.height = 32
        stream.pix_fmt = "rgb24"
        out.mux(stream.encode(av.VideoFrame(32, 32, "rgb24")))
        out.mux(stream.encode(None))
    assert refusal(path).endswith("there is no audio in it")


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.au", "a.flac", "a.m4a", "a"])
def test_ten_gigabytes_of_nothing(tmp_path, name):
    """A sparse file is refused at once, and never read into memory."""
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    refusal(path)
    assert time.monotonic() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_ten_gigabytes_after_a_true_header(tmp_path):
    """A file that is huge, but sound: it is read as it plays, block by block."""
    path = write_audio(tmp_path / "a.au", tone(440, 1), 44_100, "pcm_s16be")
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\xff\xff\xff\xff")  # "as long as the file is"
        file.truncate(10 * 1024**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    heard = 0
    blocks = decode(path, RATE)
    for block in blocks:
        heard += len(block)
        if heard > 60 * RATE:
            break
    blocks.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_truncated_mp3_plays_as_far_as_it_goes(tmp_path):
    path = write_audio(tmp_path / "a.mp3", tone(440, 10), 44_100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 - 77])
    heard = np.concatenate(list(decode(path, RATE)))
    assert len(heard) == pytest.approx(5 * RATE, rel=0.05)
    assert loudest_hz(heard[RATE : 4 * RATE]) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.wav", "a.opus"])
def test_other_truncated_files(tmp_path, name):
    codec = "libvorbis" if name == "a.ogg" else None
    path = write_audio(tmp_path / name, tone(440, 10, 48_000), 48_000, codec)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    heard = sum(len(block) for block in decode(path, RATE))
    assert heard == pytest.approx(5 * RATE, rel=0.25)  # Ogg loses a page


def test_a_truncated_m4a_is_refused(tmp_path):
    """Its index stands at the end: without it nothing can be played."""
    path = write_audio(tmp_path / "a.m4a", tone(440, 10), 44_100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "not audio that can be decoded" in refusal(path)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_damage_in_the_middle_is_passed_over(tmp_path, name, caplog):
    """What lies around it is heard; at most one line is said."""
    codec = "libvorbis" if name == "a.ogg" else None
    path = write_audio(tmp_path / name, tone(440, 10), 44_100, codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(3).bytes(3000)
    path.write_bytes(data)
    heard = np.concatenate(list(decode(path, RATE)))
    assert len(heard) > 6.5 * RATE
    assert loudest_hz(heard[RATE : 3 * RATE]) == pytest.approx(440, abs=1)
    assert loudest_hz(heard[-3 * RATE : -RATE]) == pytest.approx(440, abs=1)
    assert len(caplog.records) <= 1


@pytest.mark.parametrize("seed", range(12))
def test_damage_everywhere_never_crashes(tmp_path, seed):
    """Random bytes changed all over a file: audio or a clear refusal, nothing else."""
    rng = np.random.default_rng(seed)
    name, codec = [("a.mp3", None), ("a.flac", None), ("a.ogg", "libvorbis"), ("a.m4a", "aac")][
        seed % 4
    ]
    path = write_audio(tmp_path / name, tone(440, 3), 44_100, codec)
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    hit = rng.integers(0, len(data), max(1, len(data) // 50))
    data[hit] = rng.integers(0, 256, len(hit))
    path.write_bytes(data.tobytes())
    with contextlib.suppress(InputError):
        for block in decode(path, RATE):
            assert np.isfinite(block).all()


def test_a_header_that_lies(tmp_path):
    """65535 channels, or 4 GB in a file of 1 kB."""
    path = write_audio(tmp_path / "a.wav", tone(440, 0.1), 44_100)
    data = bytearray(path.read_bytes())
    data[22:24] = b"\xff\xff"
    path.write_bytes(data)
    assert refusal(path)
    data[22:24] = b"\x01\x00"
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert sum(len(block) for block in decode(path, RATE)) == pytest.approx(0.1 * RATE, abs=2)


def test_names_that_look_like_something_else(tmp_path):
    """Colons, percent signs, spaces, quotes, line breaks: all of them are names of files."""
    for name in (
        "12:30 news.wav",
        "http:x.wav",
        "100% 'so'.wav",
        "%03d.wav",
        "a\nb.wav",
        "üö音.wav",
    ):
        path = write_audio(tmp_path / "plain.wav", tone(440, 0.5, RATE), RATE).rename(
            tmp_path / name
        )
        assert sum(len(block) for block in decode(path, RATE)) == RATE // 2


def test_a_playlist_that_poses_as_audio_reads_no_other_file(tmp_path):
    """ffconcat and HLS texts could name any file of this machine, or the network."""
    write_audio(tmp_path / "secret.wav", tone(440, 1), 44_100)
    concat = tmp_path / "a.mp3"
    concat.write_text(f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n")
    assert refusal(concat)
    remote = tmp_path / "b.mp3"
    remote.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    assert refusal(remote)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="no audio files"):
        audio_files(tmp_path)


def test_a_missing_file_fails_with_its_reason(tmp_path):
    """As a feed: failed, and the reason is kept for the exit code."""
    path = write_audio(tmp_path / "a.wav", tone(440, 1), 44_100)
    source = FileSource(path, SystemClock())
    path.unlink()
    with Ear(source, retry=True) as ear:
        ear.listen()
    assert ear.intake.status is SourceStatus.FAILED
    assert ear.runner.error.exit_code == 66
