"""``genred picture``: the station really heard, as SVG and as text."""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET

import pytest
from fakeviews import feed, node

from genred.commands import picture
from genred.commands.common import complain
from genred.commands.picture import BEGIN, draw, listen
from genred.dashboard.layout import render
from genred.dashboard.svg import svg
from genred.errors import GenredError, OutputError
from genred.model.session import load_model
from genred.station import Station
from rigs import tiny_model


def main(argv):
    parser = argparse.ArgumentParser()
    picture.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except GenredError as error:
        return complain(error)


SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """The tiny model at a rate that the station plays at."""
    built = tiny_model.build(tiny_model.metadata(sample_rate=8000))
    return tiny_model.write(tmp_path_factory.mktemp("model") / "model.onnx", built)


def test_the_svg_is_whole_and_refers_to_nothing_from_elsewhere():
    document = svg(render(node(feed(synthetic=True, truth="jazz")), 80, 24), "genred <demo> & more")
    root = ET.fromstring(document)
    assert root.tag == f"{SVG}svg"
    assert document.replace('xmlns="http://www.w3.org/2000/svg"', "").count("://") == len(
        ["the broker's address"]
    )
    assert "@import" not in document
    assert "@font-face" not in document
    assert "url(#" in document
    assert "url(h" not in document
    said = [each.text.replace("\xa0", " ") for each in root.iter(f"{SVG}text") if each.text]
    assert "synthetic station" in said
    assert "jazz" in said
    assert not any(char in text for text in said for char in "▀▄█━┃")
    rects = list(root.iter(f"{SVG}rect"))
    assert len(rects) > 300  # the picture's dots


def test_spaces_around_words_are_not_left_to_the_reader_of_the_svg():
    root = ET.fromstring(svg(render(node(feed()), 80, 24), "genred"))
    group = next(g for g in root.iter(f"{SVG}g") if g.get("class") == "genred-matrix")
    texts = [each.text for each in group.iter(f"{SVG}text") if each.text]
    assert texts
    assert all(text == text.strip("\xa0 \n") or not text.strip() for text in texts)


def test_the_station_is_really_heard(model_file):
    model = load_model(model_file)
    view = listen(model, 30.0, seed=7)
    (one,) = view.feeds
    passage = Station(7, 8000).passage_at(round(30.0 * 8000) - 1)
    assert one.synthetic
    assert one.truth == passage.label
    assert one.state.title == passage.title
    assert one.now == pytest.approx(BEGIN + 30.0)
    assert one.health.heard_seconds == 30.0
    assert one.health.decisions > 0
    assert one.logmel.shape == (30 * 8000 // 20, tiny_model.MELS)
    assert one.segments
    assert one.events
    assert set(one.state.scores) == {"rock", "speech", "noise"}
    # The lag is that of judging one hop, not of a queue.
    assert one.health.lag_ms < 100


def test_the_command_writes_both(model_file, tmp_path, capsys):
    out = tmp_path / "dashboard.svg"
    code = main(
        [
            *("picture", "--out", str(out), "--text", "--model", str(model_file)),
            *("--seconds", "12", "--width", "100", "--height", "30"),
        ]
    )
    assert code == 0
    ET.parse(out)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30
    assert "synthetic station" in lines[2]
    assert "connected" in lines[-1]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], 64, "give --out FILE.svg, or --text"),
        (["--text", "--width", "3"], 64, "give 20 to 500 columns"),
        (["--text", "--seconds", "-1"], 64, "cannot be heard"),
        (["--text", "--model", "/nowhere/model.onnx"], 66, "/nowhere/model.onnx"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(options, code, told, capsys):
    assert main(["picture", *options]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_picture_that_cannot_be_written_is_an_error_of_output(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        draw(node(feed()), 80, 24, out=tmp_path / "no" / "such" / "folder.svg")
