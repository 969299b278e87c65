"""The parts of the dashboard: colours, words, picture, strip, letters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fakeviews import KINDS, LABELS, NOON, RATE, feed, logmel
from rich.cells import cell_len

from genred.dashboard import words
from genred.dashboard.cells import Ink, cut, fit, line
from genred.dashboard.colours import PICTURE_LEVELS, heat, label_colour, label_fill
from genred.dashboard.lettering import HEIGHT, lettering
from genred.dashboard.meter import gauge
from genred.dashboard.panel import room_for
from genred.dashboard.picture import COLUMN_SECONDS, picture, pooled
from genred.dashboard.strip import DEAD_AIR, legend, stretches, strip
from genred.labels import SILENCE, UNKNOWN
from genred.text import MAX_CHARACTERS, clean
from genred.views import Segment

GROUND = (21, 22, 28)


def luminance(colour):
    """Relative luminance of sRGB, as WCAG 2 has it."""
    parts = [each / 255 for each in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    "label", [*LABELS, "k-pop", "trance", "шансон", "ambient", "drum and bass"]
)
def test_labels_are_readable_on_a_dark_ground_and_their_names_on_them(label):
    assert contrast(label_colour(label).triplet, GROUND) >= 4.5  # WCAG 2, AA
    fill = label_fill(label)
    assert contrast(fill.color.triplet, fill.bgcolor.triplet) >= 4.5


@pytest.mark.parametrize("label", [SILENCE, UNKNOWN])
def test_silence_and_unknown_are_dim_and_still_readable(label):
    brightness = contrast(label_colour(label).triplet, GROUND)
    assert 3.0 <= brightness < min(contrast(label_colour(each).triplet, GROUND) for each in LABELS)


def test_no_two_known_labels_look_alike():
    colours = [label_colour(label).triplet for label in LABELS]
    for at, one in enumerate(colours):
        for other in colours[at + 1 :]:
            assert np.linalg.norm(np.subtract(one, other)) > 35, (one, other)


def test_no_label_is_red():
    for label in [*LABELS, *(f"made-up-{at}" for at in range(200))]:
        red, green, blue = label_colour(label).triplet
        assert not (red > 200 and green < 100 and blue < 110), label


def test_a_label_keeps_its_colour_for_ever():
    assert label_colour("k-pop").triplet.hex == "#4ac6fa"


def test_the_pictures_colours_grow_lighter_evenly():
    lights = [luminance(heat(level).triplet) ** (1 / 3) for level in range(PICTURE_LEVELS)]
    steps = np.diff(lights)
    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.mean()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-3, "0:00"),
        (47.9, "0:47"),
        (725, "12:05"),
        (11564, "3:12:44"),
        (12 * 86400 + 3 * 3600 + 720, "12 d 3:12"),
        (1e300, "11574 d 1:46"),
    ],
)
def test_lengths_of_time(seconds, told):
    assert words.length(seconds) == told


def test_other_words():
    assert words.clock_time(NOON + 3723) == "13:02:03"
    assert words.clock_time(1e18) == words.NO_TIME
    assert words.share(0.834) == " 83%"
    assert words.share(1.0) == "100%"
    assert words.level(-120) == "-120.0"
    assert words.minutes(5.0) == "5 min"
    assert words.minutes(0.5) == "30 s"
    assert words.provider("CPUExecutionProvider") == "CPU"
    assert words.provider("cuda") == "CUDA"
    assert words.provider("TensorrtExecutionProvider") == "Tensorrt"


@pytest.mark.parametrize(
    ("dirty", "tidy"),
    [
        ("a\tb\r\nc", "a b c"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x9b31mx", "31mx"),
        ("ab\u202egnp.exe", "abgnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("e\u0301", "é"),
        ("Z" + "\u0335" * 30, "Z\u0335\u0335"),
        ("\u0335alone", "alone"),
        ("👨\u200d👩\u200d👧", "👨👩👧"),
        ("🇳🇴", "NO"),
        ("👍🏽", "👍"),
        ("❤\ufe0f", "❤"),
        ("\ue000private\U0010ffff", "private"),
        ("[bold]kept[/]", "[bold]kept[/]"),
        ("", ""),
    ],
)
def test_text_from_outside_becomes_one_printable_line(dirty, tidy):
    assert clean(dirty) == tidy


def test_no_text_from_outside_is_longer_than_it_may_be():
    assert len(clean("x" * 10**6)) == MAX_CHARACTERS


def test_text_is_fitted_by_cells_not_by_characters():
    assert fit("日本放送", 6) == "日本… "
    assert fit("日本放送", 5) == "日本…"
    assert fit("jazz", 6) == "jazz  "
    assert cut("jazz", 6) == "jazz"
    assert cut("electronic", 6) == "elect…"
    assert fit("x", 0) == ""


def test_a_line_cuts_its_left_and_keeps_its_right():
    joined = "".join(part.text for part in line(12, [("left and more", None)], [("right", None)]))
    assert joined == "left…  right"


def test_a_sound_keeps_its_look_while_it_moves():
    """Columns are cut at fixed moments: one hop later the same dots stand two columns left."""
    hop = 0.25
    shift = round(hop / COLUMN_SECONDS)
    rate = 80.0  # a whole number of frames in a column
    steps = round(hop * rate)
    frames = logmel(40.0)[:2000]
    before = pooled(frames[:-steps], rate, NOON, 60, 12)
    after = pooled(frames, rate, NOON + hop, 60, 12)
    np.testing.assert_allclose(before[shift:], after[:-shift], rtol=1e-5)


def test_the_newest_column_is_a_finished_one():
    rate = 80.0
    frames = np.zeros((105, 8), np.float32)
    frames[-5:] = 100.0  # half a column that is still being heard
    assert pooled(frames, rate, NOON + 5 / rate, 40, 4).max() == 0


def test_high_sounds_are_at_the_top_and_bands_are_averaged():
    frames = np.tile(np.arange(8, dtype=np.float32), (100, 1))
    dots = pooled(frames, 80.0, NOON, 10, 4)
    np.testing.assert_allclose(dots[0], [6.5, 4.5, 2.5, 0.5])
    wide = pooled(frames, 80.0, NOON, 10, 16)
    np.testing.assert_allclose(wide[0], np.repeat(np.arange(8), 2)[::-1])
    uneven = pooled(frames, 80.0, NOON, 10, 3)
    assert uneven.mean() == pytest.approx(3.5)


def test_digital_silence_and_room_noise_stay_dark():
    brightest = max(each.red + each.green + each.blue for each in [heat(23).triplet])
    for floor in (np.log(0.01), np.log(1e-6)):
        noise = np.random.default_rng(0).normal(floor + 0.5, 0.2, (400, 64)).astype(np.float32)
        block = picture(feed(logmel=noise), 60, 5, Ink.COLOUR)
        shown = [
            sum(colour.triplet)
            for row in block.lines
            for part in row
            for colour in (part.style and part.style.bgcolor,)
            if colour
        ]
        assert max(shown) < brightest / 2


def test_louder_is_brighter_in_shades():
    frames = np.full((400, 64), -4.0, np.float32)
    frames[:, :32] = 5.0
    top, bottom = (
        "".join(part.text for part in row)
        for row in (picture(feed(logmel=frames), 20, 2, Ink.MONO)).lines
    )
    assert set(top) == {" "}
    assert set(bottom) == {"█"}


def stretch_texts(view, width=60, seconds=300, ink=Ink.COLOUR):
    (cells,) = strip(view, width, seconds, ink).lines
    return [part.text for part in cells]


def test_the_strip_gives_each_label_its_share():
    cells = stretch_texts(feed())
    assert sum(map(len, cells)) == 60
    by_label = {text.strip(): len(text) for text in cells if text.strip()}
    assert by_label["rock"] == 20  # 100 s at 5 s a cell
    assert by_label["electronic"] == 14
    assert abs(by_label["jazz"] - 47 / 5) <= 1
    assert cells[0] == "··"  # 10 s of which nothing is known


def test_the_strip_moves_by_whole_cells():
    def middle(now):
        view = dataclasses.replace(feed(), now=now)
        return [text for text in stretch_texts(view) if "electronic" in text]

    assert middle(NOON) == middle(NOON + 2.4) == middle(NOON + 41.3)


def test_dead_air_lies_red_on_the_silence_it_is_part_of():
    view = feed()
    assert (DEAD_AIR, NOON - 180, NOON - 160) in stretches(view)
    over = [part for part in strip(view, 100, 300, Ink.COLOUR).lines[0] if part.style.bgcolor]
    reds = [len(part.text) for part in over if part.style.bgcolor.triplet == (196, 33, 47)]
    assert reds == [pytest.approx(20 / 3, abs=1)]
    now = feed(label="silence", dead_air=True)
    assert stretches(now)[-1] == (DEAD_AIR, NOON - 47, None)


def test_the_legend_adds_up_what_the_strip_shows():
    told = "".join(part.text for part in legend(feed(), 120, 300).lines[0])
    assert "■ rock 1:40" in told
    assert "■ silence 0:30" in told
    assert "■ dead air 0:20" in told
    assert told.rstrip().endswith("last 5 min")
    short = "".join(part.text for part in legend(feed(), 120, 60).lines[0])
    assert "rock" not in short
    assert "■ electronic 0:10" in short


def test_a_short_stretch_that_is_on_now_is_seen():
    view = feed()
    view = dataclasses.replace(view, segments=(Segment("jazz", "music", view.now, None, 0.9),))
    (cells,) = strip(view, 40, 300, Ink.COLOUR).lines
    assert cells[-1].style == label_fill("jazz")


def test_the_meter_marks_level_and_peak():
    parts = gauge(-30, -6, 60)
    drawn = "".join(text for text, _ in parts)
    assert drawn == "━" * 30 + "─" * 23 + "┃" + "─" * 6
    assert "".join(text for text, _ in gauge(-120, -120, 10)) == "─" * 10
    assert "".join(text for text, _ in gauge(3, 3, 10)) == "━" * 10


def test_all_known_labels_have_large_letters_that_fit():
    for word in [*KINDS, SILENCE, UNKNOWN, "dead air", "reconnecting", "hip-hop", "80s"]:
        drawn = lettering(word)
        assert drawn is not None
        assert len(drawn) == HEIGHT
        assert len({len(row) for row in drawn}) == 1
        assert cell_len(drawn[0]) <= 48
    assert lettering("шансон") is None
    assert lettering("") is None


@pytest.mark.parametrize("height", range(80))
def test_a_panel_uses_every_line_it_has(height):
    room = room_for(height)
    assert sum(room.values()) == height
    assert min(room.values()) >= 0


def test_a_panel_of_twenty_lines_has_every_section():
    assert set(room_for(20)) >= {
        *("identity", "heard", "level", "picture", "strip", "legend", "events"),
    }
    assert RATE > 0


@pytest.mark.parametrize("width", range(20, 130))
def test_the_legend_leaves_out_what_does_not_fit_whole(width):
    told = "".join(part.text for part in legend(feed(), width, 300).lines[0])
    assert "…" not in told
    assert told.count("■") == told.count(":")
