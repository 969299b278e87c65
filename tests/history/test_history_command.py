"""``genred history`` on a week of two made-up stations whose programme is known."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from itertools import pairwise

import pytest
import sample
from PIL import Image
from rich.console import Console

from genred.commands import main
from genred.dashboard.colours import label_colour
from genred.history import drawn
from genred.history.reader import Reader
from genred.history.recorder import Recorder
from genred.history.report import day_of, moment, report
from genred.history.store import Store
from rigs.messages import event, info

MONDAY = 1_769_990_400.0  # 2026-02-02T00:00:00Z
UNTIL = "2026-02-09T00:00:00+00:00"


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def week():
    """The events of the week, by feed."""
    return {feed: sample.week(feed, MONDAY, seed=at) for at, feed in enumerate(("fm", "am"), 1)}


@pytest.fixture(scope="module")
def path(tmp_path_factory, week):
    path = tmp_path_factory.mktemp("history") / "week.sqlite3"
    recorder = Recorder(Store(path, 1e10, 50_000_000), "studio")
    recorder.start(info(started_at=MONDAY))
    for events in week.values():
        for each in events:
            recorder.offer(each)
        last = [each for each in events if each.event_type in ("started", "changed")][-1]
        end = {"start": last.start, "end": MONDAY + 7 * 86400, "label": last.label}
        recorder.offer(event(99999, "ended", feed=last.feed, ts=end["end"], **end))
    assert recorder.flush(30)
    recorder.stop()
    return path


@pytest.fixture
def ask(path, capsys):
    def ask(*arguments, file=path, code=0):
        assert main(["history", "--file", str(file), *arguments]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return ask


def test_json_tells_what_the_week_was(ask, week):
    told = json.loads(ask("--since", "2026-02-02", "--until", UNTIL, "--format", "json"))
    assert [each["feed"] for each in told] == ["am", "fm"]
    fm = told[1]
    events = week["fm"]
    changed = [each for each in events if each.event_type == "changed"]
    dead = [each for each in events if each.event_type == "dead_air"]
    assert fm["heard_seconds"] == pytest.approx(7 * 86400)
    assert sum(each["share"] for each in fm["shares"]) == pytest.approx(1, abs=1e-4)
    assert [each["label"] for each in fm["played"][1:]] == [each.label for each in changed]
    assert sum(each["changes"] for each in fm["changes"]) == len(changed)
    assert fm["changes_an_hour"] == pytest.approx(len(changed) / 168, abs=0.001)
    assert len(fm["changes"]) == 168
    assert len(fm["dead_air"]) == len(dead) > 0
    assert len(fm["events"]) == len(events)  # the end is told at the end, which is beyond
    spans = zip(changed, [*(each.start for each in changed[1:]), MONDAY + 7 * 86400], strict=True)
    pop = sum(end - each.start for each, end in spans if each.label == "pop")
    assert [each["seconds"] for each in fm["shares"] if each["label"] == "pop"] == [
        pytest.approx(pop, abs=0.01)
    ]


@pytest.mark.parametrize("what", ["played", "shares", "changes", "dead-air", "events"])
def test_csv_has_the_same_rows(ask, what):
    span = ("--feed", "fm", "--since", "2026-02-03T06:00", "--until", "2026-02-04")
    rows = list(csv.DictReader(io.StringIO(ask(*span, "--format", "csv", "--what", what))))
    (told,) = json.loads(ask(*span, "--format", "json", "--what", what))
    (part,) = [told[key] for key in told if key.replace("_", "-") == what]
    assert len(rows) == len(part) > 0
    for row, one in zip(rows, part, strict=True):
        assert row.pop("feed") == "fm"
        assert row == {key: "" if value is None else str(value) for key, value in one.items()}


def test_the_tables_say_the_same_for_people(ask):
    out = ask("--feed", "am", "--since", "2026-02-03", "--until", "2026-02-04")
    for title in ("what played", "share of the time heard", "changes an hour: ", "dead air"):
        assert title in out
    assert "before: --what played" in out
    rows = json.loads(ask("--since", "2026-02-03", "--until", "2026-02-04", "--format", "json"))
    for each in rows[0]["shares"]:
        assert f"{each['share']:.1%}" in out
    whole = ask(
        "--feed", "am", "--since", "2026-02-03", "--until", "2026-02-04", "--what", "played"
    )
    assert len(whole.splitlines()) == len(rows[0]["played"]) + 2


def test_a_day_a_week_and_shares_as_pictures(ask, tmp_path, path):
    out = tmp_path / "plot.png"
    at = ("--feed", "fm", "--until", "2026-02-04")
    ask(*at, "--plot", "day", "--out", str(out))
    played = report(Reader(path), "fm", MONDAY + 86400, MONDAY + 2 * 86400).played
    with Image.open(out) as picture:
        scale = picture.width // 1100
        for each in played:
            if each.seconds > 200:
                middle = (each.start + each.end) / 2 - MONDAY - 86400
                x = (36 + middle / 86400 * (1100 - 72)) * scale
                ink = picture.getpixel((round(x), (36 + 44 + 26 + 20) * scale))
                assert ink == tuple(label_colour(each.label).get_truecolor()), each
    ask(*at, "--plot", "week", "--out", str(out))
    with Image.open(out) as picture:
        colours = picture.getcolors(1 << 16)
        assert len(colours) > 100
        assert (255, 59, 71) in [colour for _, colour in colours]  # dead air
    ask(*at, "--since", "2026-02-02", "--plot", "share", "--out", str(out))
    shares = Reader(path).shares("fm", MONDAY, MONDAY + 2 * 86400)
    with Image.open(out) as picture:
        counted = {colour: number for number, colour in picture.getcolors(1 << 16)}
        for one, other in pairwise(shares):
            if one.share > other.share + 0.005:
                inks = [tuple(label_colour(each.label).get_truecolor()) for each in (one, other)]
                assert counted[inks[0]] > counted[inks[1]]


def test_the_same_in_the_terminal(ask, path):
    at = ("--feed", "fm", "--until", "2026-02-04")
    day = ask(*at, "--plot", "day").splitlines()
    assert day[0] == "fm  Tue 03 Feb, heard 1 d 0:00"
    assert day[2].startswith("00:00")
    assert day[2].endswith("00:00")
    week = ask("--feed", "fm", "--until", UNTIL, "--plot", "week").splitlines()
    days = [line for line in week if line[:3] in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")]
    assert [line[:7] for line in days] == [
        f"{day} 0{at} "
        for at, day in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), 2)
    ]
    hours = report(Reader(path), "fm", MONDAY, MONDAY + 7 * 86400)
    assert {len(line) for line in days} == {79}
    silent = {
        hour
        for dead in hours.dead_air
        for hour in range(int(dead.start // 3600), int(dead.end // 3600) + 1)
    }
    assert sum(line.count("!") for line in days) == len(silent) > 0
    shares = ask("--feed", "fm", "--since", "2026-02-02", "--until", UNTIL, "--plot", "share")
    assert [line.split()[0] for line in shares.splitlines()[1:]] == [
        each.label for each in hours.shares
    ]
    console = Console(
        record=True, width=90, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(drawn.day(hours, 90))
    assert max(len(line) for line in console.export_text().splitlines()) <= 90


def test_what_cannot_be_answered_is_said_in_one_line(ask, tmp_path, monkeypatch, path):
    for arguments, code, said in [
        (["--feed", "tv"], 64, "nothing is kept of feed 'tv' (there is am, fm)"),
        (["--since", "soon"], 64, "'soon' is no time"),
        (["--since", "2026-02-09", "--until", "2026-02-01"], 64, "not after"),
        (["--out", "x.png"], 64, "--out needs --plot"),
        (["--plot", "day", "--format", "csv"], 64, "goes with neither"),
        (["--plot", "day", "--out", str(tmp_path / "no" / "x.png")], 74, "No such file"),
    ]:
        line = ask(*arguments, code=code)
        assert said in line
        assert line.count("\n") == 1
    assert "no history there" in ask(file=tmp_path / "none", code=66)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "needs Pillow" in ask("--plot", "day", "--out", str(tmp_path / "x.png"), code=69)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GENRED_HISTORY__PATH", str(path))
    assert main(["history", "--what", "shares"]) == 0
    monkeypatch.setenv("GENRED_HISTORY__PATH", str(tmp_path / "other"))
    assert main(["history", "--what", "shares"]) == 66


def test_times_as_people_say_them(monkeypatch):
    noon = MONDAY + 12 * 3600
    assert moment("90m", noon) == noon - 5400
    assert moment("1.5h", noon) == noon - 5400
    assert moment("7d", noon) == noon - 7 * 86400
    assert moment("today", noon) == MONDAY
    assert moment("yesterday", noon) == MONDAY - 86400
    assert moment("2026-02-02T13:00+01:00", 0) == noon
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    start, end = day_of(1_774_742_400.0)  # 2026-03-29: clocks go forward
    assert end - start == 23 * 3600
