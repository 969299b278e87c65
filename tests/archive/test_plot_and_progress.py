"""What is shown of a collection: a picture of its labels, and how far it is."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from genred.archive import progress
from genred.archive.collection import Collection
from genred.archive.jobs import Fault, Job, Outcome
from genred.archive.journal import Journal
from genred.archive.plot import SCALE, Distribution, draw
from genred.commands import tag_collection
from genred.commands.tag import show_table
from genred.dashboard.colours import label_colour


def test_bars_are_as_long_as_the_labels_are_frequent(tmp_path):
    counts = {"rock": 30, "jazz": 15, "speech": 3, "\x1b[31mvery long and hostile\n": 1}
    found = Distribution()
    for label, count in counts.items():
        for _ in range(count):
            found.add({"label": label, "duration": 600.0})
    path = tmp_path / "shares.png"
    draw(found, "a/very/" + "long/" * 50 + "path", path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        picture = image.convert("RGB")
    widths = {}
    for label in counts:
        colour = label_colour(label).get_truecolor()
        rows = [
            sum(picture.getpixel((x, y)) == tuple(colour) for x in range(picture.width))
            for y in range(0, picture.height, 8)
        ]
        widths[label] = max(rows)
    assert widths["rock"] / SCALE > 300
    for label, count in counts.items():
        assert widths[label] == pytest.approx(widths["rock"] * count / 30, abs=4 * SCALE)
    assert found.summary() == "49 files, 8.2 h"


def test_nothing_heard_is_a_picture_too(tmp_path):
    draw(Distribution(), "empty", tmp_path / "empty.png")
    with Image.open(tmp_path / "empty.png") as image:
        image.verify()


def test_without_a_terminal_there_are_lines_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    jobs = [Job(f"/{n}.wav", f"{n}.wav", 100, n) for n in range(4)]
    stream = io.StringIO()
    with Journal(None, "by") as journal:
        journal.add(jobs[0], {"duration": 1.0})
        collection = Collection(jobs, [], journal)
        with progress.Watcher(collection, stream) as watcher:
            watcher.saw(Outcome(jobs[1], {"duration": 7.0}, warnings=("1.wav: \x1b[2Jdamaged",)))
            watcher.saw(Outcome(jobs[2], None, Fault("2.wav", "2.wav: bad", 66)))
    first, second, third = stream.getvalue().splitlines()
    assert first == "genred tag: 1.wav: damaged"
    assert second.startswith("genred tag: 2 of 4 files, ")
    assert third.startswith("genred tag: 3 of 4 files, 1 unusable, ")
    assert third.endswith(" left")


def test_names_of_files_do_not_steer_the_terminal(capsys):
    show_table([("a\x1b[2J\r\nb.wav", 1.0, "rock", 1.0, [])])
    tag_collection._say("\x1b]0;title\x07a\x1b[31mb.wav: \udcff is not audio")
    printed = capsys.readouterr()
    assert "a\\x1b[2J\\r\\nb.wav" in printed.out
    assert printed.err == "genred tag: \\x1b]0;title\\x07a\\x1b[31mb.wav: \\udcff is not audio\n"
