"""Genres in the tags of real files of every format; all else stays as it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import mutagen
import numpy as np
import pytest
from mutagen import id3

from genred.archive import tags
from genred.archive.jobs import listing
from genred.errors import InputError, OutputError
from genred.sources.files import decode
from rigs import clips

ENDINGS = {
    "mp3": ["-b:a", "64k"],
    "flac": [],
    "ogg": ["-c:a", "libvorbis"],
    "opus": ["-c:a", "libopus"],
    "m4a": ["-c:a", "aac"],
}
THEN = 1_234_567_890_123_456_789
"""A time in nanoseconds that no file of today has."""


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """The same passage in every format, with tags."""
    folder = tmp_path_factory.mktemp("songs")
    wav = clips.write_wav(folder / "strings.wav", clips.style("strings", 3))
    for ending, options in ENDINGS.items():
        told = ["-metadata", "title=Más", "-metadata", "artist=Σ & Söhne", "-metadata", "date=1999"]
        command = ["ffmpeg", "-v", "error", "-i", wav, *told, *options, folder / f"song.{ending}"]
        subprocess.run(command, check=True)
    wav.unlink()
    return folder


def own(songs, ending, folder):
    """A copy to work on, of an odd time and mode."""
    path = folder / f"song.{ending}"
    path.write_bytes((songs / path.name).read_bytes())
    path.chmod(0o640)
    os.utime(path, ns=(THEN + 1, THEN))
    return path


def job(path):
    return listing([path])[0][0]


def change(path, label="hiphop"):
    (found,) = tags.plan([(job(path), label)]).changes
    return found


def other_tags(path):
    """All tags but the genre."""
    file = mutagen.File(path)
    return {
        key: str(value)
        for key, value in file.tags.items()
        if key.lower() not in {"genre", "tcon", "\xa9gen"}
    }


def samples(path):
    return np.concatenate(list(decode(path, 16_000)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_genre_is_written_and_nothing_else_is_touched(ending, songs, tmp_path):
    path = own(songs, ending, tmp_path)
    others, sound = other_tags(path), samples(path)
    assert len(others) >= 3
    for label, genre in (("hiphop", "Hip-Hop"), ("classical", "Classical")):
        tags.write(change(path, label))
        assert tags.genres(path) == (genre,)
        assert other_tags(path) == others
        np.testing.assert_array_equal(samples(path), sound)
        status = path.stat()
        assert (status.st_mtime_ns, status.st_mode & 0o777) == (THEN, 0o640)
    # Another program reads it too.
    probe = ["ffprobe", "-v", "error", "-show_entries", "format_tags:stream_tags", str(path)]
    said = subprocess.run(probe, capture_output=True, text=True, check=True).stdout
    assert "genre=Classical" in said.replace("GENRE", "genre")
    assert list(tmp_path.iterdir()) == [path]
    assert tags.plan([(job(path), "classical")]).same == 1


def test_an_old_id3_tag_keeps_its_version_and_its_frames(songs, tmp_path):
    path = own(songs, "mp3", tmp_path)
    path.write_bytes(path.read_bytes()[mutagen.File(path).tags.size :])
    old = id3.ID3()
    old.add(id3.TIT2(encoding=1, text="Más"))
    old.add(id3.TYER(encoding=0, text="1984"))
    old.add(id3.TDAT(encoding=0, text="3112"))
    old.add(id3.TCON(encoding=0, text="(17)"))
    old.add(id3.APIC(encoding=0, mime="image/png", type=3, desc="", data=b"\x89PNG" * 500))
    old.add(id3.PRIV(owner="somebody", data=b"\0\1\2"))
    old.save(path, v1=2, v2_version=3)
    assert tags.genres(path) == ("Rock",)
    tags.write(change(path, "jazz"))
    now = id3.ID3(path, translate=False)
    assert now.version == (2, 3, 0)
    assert now.pop("TCON").text == ["Jazz"]
    old.delall("TCON")
    assert {key: repr(frame) for key, frame in now.items()} == {
        key: repr(frame) for key, frame in old.items()
    }
    assert path.read_bytes()[-128:-125] == b"TAG"  # ID3v1, told of the same genre
    assert path.read_bytes()[-1] == id3.TCON.GENRES.index("Jazz")


def test_files_without_tags_get_them(songs, tmp_path):
    for ending in ENDINGS:
        path = own(songs, ending, tmp_path)
        mutagen.File(path).delete()
        tags.write(change(path, "rock"))
        assert tags.genres(path) == ("Rock",)


def test_what_fails_leaves_the_file_as_it_was(songs, tmp_path, monkeypatch):
    path = own(songs, "flac", tmp_path)
    before = path.read_bytes()
    found = change(path)

    def no_room(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", no_room)
        with pytest.raises(OutputError, match="No space left"):
            tags.write(found)
    with monkeypatch.context() as patched:
        patched.setattr(tags, "_set", lambda copy, *_: copy.write_bytes(before[:-2000]))
        with pytest.raises(OutputError, match="audio would change"):
            tags.write(found)
    assert path.read_bytes() == before
    os.utime(path)
    with pytest.raises(InputError, match="has changed"):
        tags.write(found)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(songs, tmp_path):
    path = own(songs, "ogg", tmp_path)
    link = tmp_path / "link.ogg"
    link.symlink_to(path.name)
    tags.write(change(link))
    assert link.is_symlink()
    assert tags.genres(path) == ("Hip-Hop",)


def test_plans_leave_out_what_is_no_genre_and_what_takes_none(songs, tmp_path):
    song = own(songs, "mp3", tmp_path)
    wav = clips.write_wav(tmp_path / "a.wav", np.zeros(100))
    text = tmp_path / "b.mp3"
    text.write_text("no sound")
    heard = [(job(song), "silence"), (job(song), "noise"), (job(wav), "rock"), (job(text), "rock")]
    plan = tags.plan(heard)
    assert (plan.changes, plan.same, plan.unfit) == ((), 0, 4)
    tags.write(change(song, "rock"))
    assert len(tags.plan([(job(song), "jazz")]).changes) == 1
    assert tags.plan([(job(song), "jazz")], keep=True).same == 1
