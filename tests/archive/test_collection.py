"""``genred tag`` for collections, as a person starts it: parallel, resumed, complete."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mutagen.flac import FLAC
from pyarrow import parquet
from shelf_data import FILES, LABELS, steady

from genred.commands.tag_collection import Interrupts

BAD = ["empty.flac", "text.mp3"]

MANY = 1500
"""Files of half a minute, for the tiny model: three seconds of a free core."""


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def whole(shelf, tiny, tmp_path_factory):
    """The result of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "whole.jsonl"
    command = [sys.executable, "-m", "genred", "tag", shelf, "--model", tiny, "--out", out]
    done = subprocess.run([*command, "--workers", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 66, done.stderr
    return out, done.stderr


def test_every_file_has_one_row_or_one_line_of_complaint(whole, shelf):
    out, said = whole
    rows = read(out)
    paths = [row["path"] for row in rows]
    assert len(rows) == FILES
    assert paths == sorted(map(str, shelf.rglob("*.wav")))
    for row in rows:
        stem = row["path"].rsplit(" ", 1)[1].removesuffix(".wav")
        assert row["label"] == LABELS[stem]
        assert row["duration"] == (20 if stem == "down" else 30)
        assert set(row) == {"path", "duration", "label", "confidence", "scores", "segments"}
    complaints = [line for line in said.splitlines() if any(name in line for name in BAD)]
    assert len(complaints) == 2
    assert f"2 of {FILES + 2} could not be heard" in said
    assert "Traceback" not in said


def journal_lines(journal):
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.parametrize("to", ["file", "standard output"])
def test_a_run_killed_in_the_middle_goes_on_to_the_same_result(
    to, genred, whole, shelf, tiny, tmp_path
):
    out = tmp_path / "all.jsonl"
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    where = ("--out", out) if to == "file" else ("--format", "jsonl")
    arguments = ("tag", shelf, "--model", tiny, *where, "--workers", "2")

    def journal():
        return next(tmp_path.rglob("*.journal"), tmp_path / "none")

    killed = genred.start(*arguments, **state)
    limit = time.monotonic() + 60
    while journal_lines(journal()) < 3:
        assert time.monotonic() < limit
        time.sleep(0.001)
    killed.end(signal.SIGKILL)
    done = journal_lines(journal())
    assert 3 <= done < FILES
    assert not out.exists()
    with journal().open("ab") as file:
        file.write(b'{"path": "/to')  # as if it had been writing
    again = genred(*arguments, **state)
    assert again.returncode == 66, again.stderr
    assert f"goes on: {done} of {FILES + 2} files" in again.stderr
    result = out.read_text("utf-8") if to == "file" else again.stdout
    assert result == whole[0].read_text("utf-8")
    if to == "file":
        assert journal_lines(journal()) == FILES
    else:
        assert not journal().exists()
    # Whoever worked for the killed run has left by itself.
    assert not working_on(str(tmp_path))


def working_on(text):
    """Processes whose command line holds ``text``."""
    return [
        entry.name
        for entry in os.scandir("/proc")
        if entry.name.isdigit() and text.encode() in command_line(entry.path)
    ]


def command_line(process):
    try:
        return Path(process, "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_later_run_hears_only_what_is_new_or_changed(genred, tiny, tmp_path):
    music, out = tmp_path / "music", tmp_path / "all.jsonl"
    music.mkdir()
    for name in ("a", "b", "c"):
        steady(music / f"{name}.wav", 0.4)
    arguments = ("tag", music, "--model", tiny, "--out", out)
    assert genred(*arguments).returncode == 0
    assert [row["label"] for row in read(out)] == ["rock", "rock", "rock"]
    journal = tmp_path / "all.jsonl.journal"
    # The journal is what it goes by: a word in it shows up again.
    journal.write_text(journal.read_text("utf-8").replace('"label": "rock"', '"label": "told"', 1))
    (music / "c.wav").unlink()
    steady(music / "b.wav", -0.4)
    steady(music / "d.wav", -0.4)
    assert genred(*arguments).returncode == 0
    rows = {row["path"][-5]: row["label"] for row in read(out)}
    told = [name for name, label in rows.items() if label == "told"]
    assert told in (["a"], [])  # workers are done in any order: it may have been b's or c's line
    assert rows == {"a": "told" if told else "rock", "b": "speech", "d": "speech"}


def test_without_a_place_to_remember_it_works_all_the_same(genred, whole, shelf, tiny):
    part = genred("tag", shelf / "1", "--model", tiny, "--format", "csv", XDG_STATE_HOME="/proc/no")
    assert [row["path"] for row in csv.DictReader(part.stdout.splitlines())] == [
        row["path"] for row in read(whole[0]) if row["path"].startswith(f"{shelf}/1/")
    ]


def rounded(value):
    """Single precision, as it stands in Parquet, to the digits that JSON has."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def test_formats_say_the_same(genred, whole, shelf, tiny, tmp_path):
    """From the journal of the whole run: nothing is heard anew for another format."""
    want = read(whole[0])
    for ending in ("csv", "parquet"):
        out = tmp_path / f"all.{ending}"
        journal = whole[0].with_name("whole.jsonl.journal").read_bytes()
        (tmp_path / f"all.{ending}.journal").write_bytes(journal)
        assert genred("tag", shelf, "--model", tiny, "--out", out).returncode == 66
    rows = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert [rounded({**row, "scores": dict(row["scores"])}) for row in rows] == want
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [row["path"] for row in want]


def test_an_interrupt_says_how_to_go_on(genred, shelf, tiny, tmp_path):
    out = tmp_path / "all.csv"
    many = tmp_path / "many"
    many.mkdir()
    one = next(shelf.rglob("*.wav"))
    # Some seconds of work: whatever the machine does, it is not through when it is asked to end.
    for number in range(MANY):
        os.link(one, many / f"{number}.wav")
    running = genred.start("tag", many, "--model", tiny, "--out", out, "--workers", "1")
    while journal_lines(tmp_path / "all.csv.journal") < 2:
        time.sleep(0.001)
    assert running.end(signal.SIGINT) == 130
    assert "the same again goes on" in running.lines[-1]
    assert not out.exists()


def test_an_interrupt_that_is_lost_comes_again(monkeypatch):
    """Raised in a finaliser it goes nowhere; the next look finds it."""

    class Final:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        interrupts.check()
        lost = []
        with monkeypatch.context() as patch:
            patch.setattr(sys, "unraisablehook", lost.append)
            Final()
        assert [each.exc_type for each in lost] == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--out", "x.txt"], 64, ".parquet"),
        (["--out", "none/x.csv"], 74, "no such folder"),
        (["--format", "parquet"], 64, "--out"),
        (["--out", "x.csv", "--format", "table"], 64, "table"),
        (["--out", "x.csv", "--decisions"], 64, "--decisions"),
        (["--write-tags"], 64, "--yes"),
        (["--yes"], 64, "--write-tags"),
        (["--workers", "0"], 64, "1 to"),
        (["--plot", "none/x.png"], 74, "no such folder"),
    ],
)
def test_what_cannot_be_is_told_before_any_work(
    arguments, code, word, tmp_path, capsys, monkeypatch
):
    from genred.commands import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    monkeypatch.setattr(sys, "stdin", Path(os.devnull).open())  # noqa: SIM115 - closed below
    try:
        found = main(["tag", "music", *arguments])
    except SystemExit as error:
        found = error.code
    sys.stdin.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert (found, word in line) == (code, True), line


@pytest.mark.parametrize("answer", ["n", "y"])
def test_tags_are_written_only_when_the_answer_is_yes(answer, tiny, tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    wav = steady(tmp_path / "up.wav", 0.4)
    song = music / "song.flac"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", wav, "-metadata", "genre=Polka", song], check=True
    )
    before = song.read_bytes()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "genred", "tag", music, "--model", tiny, "--write-tags"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        os.write(ours, f"{answer}\n".encode())
        said = process.communicate(timeout=60)[1]
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert "write the genre into 1 file (1 of them have another one, which is replaced)?" in said
    assert (song.read_bytes() == before) == (answer == "n")


def test_tags_are_whole_whenever_the_run_is_killed(genred, tiny, tmp_path):
    music, out = tmp_path / "music", tmp_path / "all.csv"
    music.mkdir()
    wav = steady(tmp_path / "up.wav", 0.4, 5)
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, music / "0.flac"], check=True)
    for number in range(1, 60):
        shutil.copy(music / "0.flac", music / f"{number}.flac")
    audio = FLAC(music / "0.flac").info.md5_signature
    arguments = ("tag", music, "--model", tiny, "--out", out, "--write-tags", "--yes")
    killed = genred.start(*arguments)
    limit = time.monotonic() + 60
    while not any(written(music)):
        assert time.monotonic() < limit
        time.sleep(0.002)
    killed.end(signal.SIGKILL)
    done = sum(written(music))
    assert 1 <= done < 60
    assert genred(*arguments).returncode == 0
    assert all(written(music))
    assert all(FLAC(each).info.md5_signature == audio for each in music.glob("*.flac"))
    assert len(out.read_text().splitlines()) == 61


def written(music):
    return [FLAC(each).get("genre") == ["Rock"] for each in music.glob("*.flac")]
