"""Reading recordings: folders, manifests, every common format, and files that are none."""

from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from train_data import ENCODERS, encode, sound, write_wav

from genred.errors import InputError, OutputError
from genred_train.data import catalogue
from genred_train.data.cache import WORTH_PROCESSES, Cache
from genred_train.data.decoding import Settings, UnusableError, decode, digest

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = Settings(sample_rate=16_000, max_seconds=60.0)


def manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def row(path: str, **columns: str) -> dict[str, str]:
    return {"path": path, "label": "low", "group": "g", "split": "train"} | columns


def test_a_folder_of_genre_folders(folder):
    """Each file is a group of its own, labelled by its folder; other files are passed over."""
    (folder / "low" / "cover.jpg").write_bytes(b"picture")
    (folder / "low" / ".hidden.wav").write_bytes(b"")
    (folder / ".git").mkdir()
    clips = catalogue.read(folder)
    assert len(clips) == 18
    assert len({clip.group for clip in clips}) == 18
    assert {clip.label for clip in clips} == {"high", "low", "noise"}
    assert clips[0].name == "high/high.00000.wav"


def test_sub_folders_are_groups(tmp_path):
    """A sub-folder of a genre is an artist, and the same artist under another genre too."""
    for name in ("rock/anna/one.wav", "rock/anna/live/two.wav", "pop/anna/three.wav", "pop/x.wav"):
        write_wav(tmp_path / name, sound("low", 1.5, seed=0))
    groups = {clip.name: clip.group for clip in catalogue.read(tmp_path)}
    assert groups == {
        "rock/anna/one.wav": "anna",
        "rock/anna/live/two.wav": "anna",
        "pop/anna/three.wav": "anna",
        "pop/x.wav": "pop/x.wav",
    }


def test_a_manifest_is_preferred_and_its_columns_kept(tmp_path):
    """Paths are found beside the manifest or in audio/; other columns may stand in it."""
    write_wav(tmp_path / "audio" / "a.wav", sound("low", 1.5, seed=0))
    write_wav(tmp_path / "b.wav", sound("low", 1.5, seed=0))
    manifest(
        tmp_path,
        [
            row("a.wav", dataset="d", license="CC0", seconds="2"),
            row("b.wav", split="unlabelled", group="", dataset="", license="", seconds=""),
        ],
    )
    first, second = catalogue.read(tmp_path)
    assert first.path == tmp_path / "audio" / "a.wav"
    assert (first.split, first.dataset, first.license) == ("train", "d", "CC0")
    assert second.path == tmp_path / "b.wav"
    assert (second.split, second.group) == (None, "b.wav")


def test_manifests_that_are_none(tmp_path):
    """A missing column, an empty label and bytes that are no text each get their line."""
    manifest(tmp_path, [{"path": "a.wav", "label": "low"}])
    with pytest.raises(InputError, match="no column 'group'"):
        catalogue.read(tmp_path)
    manifest(tmp_path, [row("a.wav"), row("b.wav", label="")])
    with pytest.raises(InputError, match="line 3: path and label"):
        catalogue.read(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(b"path,label,group,split\n\xff\xfe,x,y,z\n")
    with pytest.raises(InputError, match="cannot read"):
        catalogue.read(tmp_path)


def test_no_folder_and_no_audio(tmp_path):
    """A folder that is not there and one with nothing in it are told apart."""
    with pytest.raises(InputError, match="there is no folder"):
        catalogue.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no audio"):
        catalogue.read(tmp_path)


@pytest.mark.parametrize("suffix", sorted(ENCODERS))
def test_every_common_format_is_decoded(tmp_path, suffix):
    """A stereo file at another rate becomes the same mono tone at 16 kHz."""
    seconds, rate = 2.0, 48_000 if suffix in {".ogg", ".opus"} else 44_100
    time = np.arange(round(seconds * rate)) / rate
    path = encode(tmp_path / f"a{suffix}", np.float32(0.5) * np.sin(6000 * time), rate, channels=2)
    samples = decode(path, SETTINGS)
    assert samples.dtype == np.int16
    assert abs(samples.size / 16_000 - seconds) < 0.1
    middle = samples[4_000:20_000] / 32768.0
    spectrum = np.abs(np.fft.rfft(middle))
    assert abs(spectrum.argmax() - 6000 / (2 * np.pi)) <= 1.5
    assert 0.3 < np.sqrt(2 * np.mean(middle**2)) < 0.75  # some codecs bring two alike channels up


def test_long_files_are_cut(tmp_path):
    """Only the first ``max_seconds`` are taken."""
    path = write_wav(tmp_path / "long.wav", sound("low", 5.0, seed=0))
    assert decode(path, Settings(16_000, 2.0)).size == 32_000


def test_a_truncated_file_gives_what_is_there(tmp_path):
    """Half an MP3 is half a recording, not an error."""
    path = encode(tmp_path / "a.mp3", sound("low", 6.0, seed=0, rate=44_100))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 2.0 < decode(path, SETTINGS).size / 16_000 < 4.0


def test_files_that_cannot_be_used_say_why(tmp_path):
    """Empty, missing, text, sound-less and enormous files are each told apart."""
    empty = tmp_path / "empty.wav"
    empty.touch()
    with pytest.raises(UnusableError, match="empty file"):
        digest(empty)
    with pytest.raises(UnusableError, match="no such file"):
        digest(tmp_path / "missing.wav")
    text = tmp_path / "text.mp3"
    text.write_text("this is no audio\n" * 100)
    with pytest.raises(UnusableError, match="invalid data"):
        decode(text, SETTINGS)
    header = write_wav(tmp_path / "header.wav", np.empty(0, np.float32))
    with pytest.raises(UnusableError):
        decode(header, SETTINGS)
    sparse = tmp_path / "sparse.wav"
    with sparse.open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(UnusableError, match=r"too large \(10\.0 GiB\)"):
        digest(sparse)


def fetch(cache: Cache, paths: list[Path]):
    told: list[tuple[int, int]] = []
    found, unusable = cache.fetch(paths, lambda done, total: told.append((done, total)))
    return found, unusable, told


def test_the_cache_decodes_once(folder, tmp_path, monkeypatch):
    """A second run and a renamed copy take the samples that are there."""
    paths = sorted(folder.rglob("*.wav"))[:4]
    cache = Cache(tmp_path / "cache", SETTINGS)
    found, unusable, told = fetch(cache, paths)
    assert not unusable
    assert told[-1] == (4, 4)
    for path in paths:
        stored = found[path]
        kept = cache.samples()[stored.start : stored.start + stored.length]
        np.testing.assert_array_equal(kept, decode(path, SETTINGS))

    copy = tmp_path / "renamed.wav"
    shutil.copy(paths[0], copy)
    monkeypatch.setattr("genred_train.data.cache._job", None)
    again, _, told = fetch(Cache(tmp_path / "cache", SETTINGS), [*paths, copy])
    assert again[copy] == found[paths[0]]
    assert told == [(5, 5)]


def test_many_files_are_decoded_in_parallel(folder, tmp_path):
    """Worker processes give the same samples, tell bad files and count up to the end."""
    paths = sorted(folder.rglob("*.wav"))
    for number in range(WORTH_PROCESSES):
        name = folder / "low" / f"more.{number}.wav"
        paths.append(write_wav(name, sound("low", 0.5, seed=50 + number)))
    paths[3].write_bytes(b"no wave" * 50)
    cache = Cache(tmp_path / "cache", SETTINGS)
    found, unusable, told = fetch(cache, paths)
    assert [item.path for item in unusable] == [paths[3]]
    assert [done for done, _ in told] == list(range(len(paths) + 1))
    for path, stored in found.items():
        kept = cache.samples()[stored.start : stored.start + stored.length]
        np.testing.assert_array_equal(kept, decode(path, SETTINGS))


def test_other_settings_have_a_cache_of_their_own(folder, tmp_path):
    """The rate is part of the key."""
    path = min(folder.rglob("*.wav"))
    lengths = []
    for rate in (16_000, 8_000):
        cache = Cache(tmp_path / "cache", Settings(rate, 60.0))
        lengths.append(fetch(cache, [path])[0][path].length)
    assert lengths == [48_000, 24_000]


def test_what_a_killed_run_leaves_is_written_over(folder, tmp_path):
    """Samples without a line in the index, and half a line, do no harm."""
    first, second, third = sorted(folder.rglob("*.wav"))[:3]
    cache = Cache(tmp_path / "cache", SETTINGS)
    fetch(cache, [first])
    with next((tmp_path / "cache").glob("*.s16")).open("ab") as file:
        file.write(b"\x01" * 999)
    with next((tmp_path / "cache").glob("*.jsonl")).open("a") as file:
        file.write('{"digest": "abc", "sta\n')
    found, _, _ = fetch(cache, [first, second, third])
    for path, stored in found.items():
        kept = cache.samples()[stored.start : stored.start + stored.length]
        np.testing.assert_array_equal(kept, decode(path, SETTINGS))


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path):
    """A file where the folder should be gets one line that says what to do."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="--cache"):
        Cache(tmp_path / "taken" / "cache", SETTINGS)


def test_unusable_files_are_listed_with_reasons(folder, tmp_path):
    """What is skipped is named, the rest is decoded."""
    good = min(folder.rglob("*.wav"))
    bad, empty = tmp_path / "bad.mp3", tmp_path / "empty.au"
    bad.write_bytes(b"nothing" * 500)
    empty.touch()
    found, unusable, _ = fetch(Cache(tmp_path / "cache", SETTINGS), [good, bad, empty])
    assert list(found) == [good]
    assert {item.path: item.reason for item in unusable} == {
        bad: "invalid data found when processing input",
        empty: "empty file",
    }
