"""What a run leaves to look at is whole, true to its figures, and needs nothing else."""

from __future__ import annotations

import csv
import json
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tiny_run import EPOCHS, quiet

from genred.errors import InputError, OutputError
from genred.model.metadata import ModelMetadata
from genred.model.session import load_model
from genred_train.report import comparison, page, pictures, speed
from genred_train.report import folder as report
from genred_train.report.__main__ import main
from genred_train.report.recorder import Recorder
from genred_train.training import Epoch

PICTURES = ("confusion.png", "curves.png", "reliability.png", "spectrograms.png")


class Page(HTMLParser):
    """Everything of a page that matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in {"meta", "link", "img", "source", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, *names: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check_page(text: str) -> Page:
    """The rules that hold for every page of ours."""
    found = Page(text)
    assert found.open == []
    for _, attributes in found.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            if name in attributes:
                assert attributes[name].startswith("data:"), (name, attributes[name][:60])
        assert not [name for name in attributes if name.startswith("on")]
    assert not found.all("script", "iframe", "object", "embed", "base", "form")
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"https?://", text)
    assert found.all("html")[0]["lang"] == "en"
    assert any(meta.get("name") == "viewport" for meta in found.all("meta"))
    assert len(found.all("h1")) == 1
    assert all(image["alt"] for image in found.all("img"))
    assert all(cell.get("scope") in {"row", "col"} for cell in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert "prefers-color-scheme: dark" in text
    return found


def test_the_page_is_whole_in_itself(tiny_run):
    """No address leads outside, pictures are inside, names are escaped, tables have heads."""
    found = check_page((tiny_run.out / "report.html").read_text("utf-8"))
    assert len(found.all("img")) == len(PICTURES)
    dark = [each for each in found.all("source") if "dark" in each["media"]]
    assert len(dark) == len(PICTURES)
    assert "odd & <broken>.mp3" in found.text
    assert "CC0 <b>" in found.text
    assert not found.all("b", "broken")
    assert "test accuracy 76 % (GTZAN)" in found.text
    test = tiny_run.metrics["test"]
    for unit in ("window", "track"):
        assert f"{test[unit]['macro_f1']:.3f}" in found.text
    assert tiny_run.metrics["data"]["fingerprint"] in found.text


def test_hostile_names_stay_text(tiny_run):
    """Whatever data sets, files and runs are called, nothing of it becomes a tag."""
    bad = '"><script>alert(1)</script><img src=x>'
    metrics = json.loads(json.dumps(tiny_run.metrics))
    metrics["name"] = bad
    metrics["data"]["datasets"][0].update(dataset=bad, license=bad)
    metrics["data"]["unusable"] = [{"file": bad, "reason": bad}]
    timed = speed.Speed(1.0, 9, bad)
    check_page(page.of_run(metrics, tiny_run.recipe, timed, []))
    check_page(page.of_comparison([bad, bad], [[bad, bad]], [bad]))


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_show_something(tiny_run, name):
    """They can be decoded, are large enough to read, and are not one colour."""
    with Image.open(tiny_run.out / name) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 250
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 30
    # The ground is light: a dark one is for dark pages alone.
    assert pixels[0, 0].min() > 200
    assert not list(tiny_run.out.glob("*dark*"))


def test_dark_pages_have_dark_pictures(tmp_path):
    """The same drawing on the two grounds."""
    means = []
    for dark in (False, True):
        with pictures.theme(dark=dark):
            pictures.curves(HISTORY, 2, tmp_path / "c.png")
        with Image.open(tmp_path / "c.png") as picture:
            means.append(np.asarray(picture.convert("L")).mean())
    assert means[0] > 200
    assert means[1] < 60


def test_the_gallery_shows_every_label(tiny_run):
    """One row a label, of different groups, each with sound in it."""
    model = load_model(tiny_run.out).metadata
    from genred_train.evaluation.subject import select

    corpus = select(model, tiny_run.data, tiny_run.cache, quiet(), split="all").corpus
    rows = report.spectrograms(corpus, tiny_run.recipe)
    assert [label for label, _ in rows] == ["high", "low", "noise"]
    frames = round(report.GALLERY_SECONDS * 16_000 - 512) // 200 + 1
    for _, images in rows:
        assert len(images) == report.GALLERY_COLUMNS
        assert all(image.shape == (64, frames) for image in images)
        assert all(image.max() - image.min() > 1.0 for image in images)
    # What tells the labels apart can be seen: a low tone lies in lower bands than a high chord.
    low, high = (rows[n][1][0].mean(axis=1).argmax() for n in (1, 0))
    assert low < high


def test_the_loudest_part_is_shown():
    """A clip that is silent in the middle is not shown there."""
    samples = np.zeros(1000, np.float32)
    samples[700:800] = 0.5
    start = report._loudest(samples, 200, 50)
    assert 600 <= start <= 700
    assert report._loudest(samples[:100], 200, 50) == 0


def test_flat_figures_are_those_of_the_run(tiny_run):
    """One level, numbers and words, the same as in metrics.json and history.csv."""
    flat = json.loads((tiny_run.out / "performance_metrics.json").read_text())
    assert all(isinstance(value, int | float | str) for value in flat.values())
    metrics = tiny_run.metrics
    assert flat["test_track_macro_f1"] == metrics["test"]["track"]["macro_f1"]
    low, high = metrics["val"]["window"]["intervals"]["accuracy"]
    assert [flat["val_window_accuracy_low"], flat["val_window_accuracy_high"]] == [low, high]
    assert flat["data_fingerprint"] == metrics["data"]["fingerprint"]
    assert flat["cpu_ms_per_window"] > 0
    with (tiny_run.out / "history.csv").open() as file:
        lines = list(csv.DictReader(file))
    best = max(lines, key=lambda line: float(line["val_macro_f1"]))
    assert flat["best_val_macro_f1"] == float(best["val_macro_f1"])
    assert flat["best_epoch"] == int(best["epoch"])


def test_the_config_is_the_models(tiny_run):
    """It says what the model file says, with the recipe spelt out."""
    told = json.loads((tiny_run.out / "model_config.json").read_text())
    recipe = told["training"].pop("recipe")
    assert recipe == tiny_run.recipe.model_dump(mode="json")
    inside = load_model(tiny_run.out).metadata
    told["training"].update(recipe=inside.training.recipe, heard=inside.training.heard)
    assert ModelMetadata.model_validate(told) == inside


def scalars(folder) -> dict[str, dict[int, float]]:
    """TensorBoard's curves, as TensorBoard itself reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports warn of each other
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_reads_the_curves(tiny_run):
    """Every epoch of every curve, with the values of history.csv."""
    with (tiny_run.out / "history.csv").open() as file:
        lines = list(csv.DictReader(file))
    found = scalars(tiny_run.out / "tensorboard")
    assert list(found["loss/training"]) == list(range(1, EPOCHS + 1))
    for tag, key in (("loss/training", "train_loss"), ("validation/macro_f1", "val_macro_f1")):
        for line in lines:
            assert found[tag][int(line["epoch"])] == pytest.approx(float(line[key]), abs=1e-6)


def test_the_log_tells_the_run(tiny_run):
    """What was skipped, what the data were, each epoch, each line with its time."""
    lines = (tiny_run.out / "training.log").read_text("utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d  ", line) for line in lines)
    text = "\n".join(lines)
    assert "odd & <broken>.mp3" in text
    assert "3 labels" in text
    assert len(re.findall(r"epoch +\d+/", text)) == EPOCHS


def epoch(number: int, **values: float) -> Epoch:
    told = {"train_loss": 1 / number, "val_loss": 1.2 / number, "val_accuracy": 0.5}
    return Epoch(
        epoch=number,
        learning_rate=0.1,
        seconds=1.0,
        **{"val_macro_f1": 0.4, **told, **values},
    )


HISTORY = [
    {"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 0.5, "val_macro_f1": 0.4}
    for n in (1, 2, 3)
]


def test_a_resumed_run_has_no_epoch_twice(tmp_path):
    """A killed run is taken up: what it wrote of later epochs is gone from table and curves."""
    with Recorder(tmp_path) as recorder:
        for count in (1, 2, 3):
            recorder.epoch([epoch(n, val_accuracy=0.1) for n in range(1, count + 1)])
    # The checkpoint was that of epoch 2; epoch 3 is trained again.
    with Recorder(tmp_path) as recorder:
        again = [epoch(1, val_accuracy=0.1), epoch(2, val_accuracy=0.1), epoch(3, val_accuracy=0.9)]
        recorder.epoch(again)
    with (tmp_path / "history.csv").open() as file:
        assert [line["epoch"] for line in csv.DictReader(file)] == ["1", "2", "3"]
    assert scalars(tmp_path / "tensorboard")["validation/accuracy"] == {
        1: pytest.approx(0.1),
        2: pytest.approx(0.1),
        3: pytest.approx(0.9),
    }


def test_a_history_that_cannot_be_written(tmp_path):
    """The line names the file; the old one survives."""
    (tmp_path / "history.csv").write_text("old")
    (tmp_path / "history.new").mkdir()
    with Recorder(tmp_path) as recorder, pytest.raises(OutputError, match=r"history\.csv"):
        recorder.epoch([epoch(1)])
    assert (tmp_path / "history.csv").read_text() == "old"


def test_a_window_is_timed(tiny_run):
    """A median of enough steps of the model file, on a processor with a name."""
    timed = speed.measure(tiny_run.out)
    assert timed.windows >= speed.FEWEST
    assert 0 < timed.milliseconds < 100
    assert timed.processor


def read(folder):
    return replace(comparison.read(folder), speed=speed.Speed(1.234, 9, "a processor"))


def test_runs_side_by_side(tiny_run, tmp_path):
    """Cells are the run's figures; other data and published figures are told of."""
    other = tmp_path / "other"
    other.mkdir()
    metrics = json.loads(json.dumps(tiny_run.metrics))
    metrics.update(name="other", published=[])
    metrics["data"]["fingerprint"] = "f" * 64
    del metrics["test"]["track"]
    (other / "metrics.json").write_text(json.dumps(metrics))
    one, two = read(tiny_run.out), comparison.read(other)
    test = tiny_run.metrics["test"]["window"]
    low, high = test["intervals"]["macro_f1"]
    assert one.cells[0] == "tiny"
    assert one.cells[1] == f"{test['macro_f1']:.3f} [{low:.3f}, {high:.3f}]"
    assert one.cells[7] == "1.23"
    assert one.cells[-1] == "test accuracy 76 % (GTZAN)"
    # No model file to time, no tracks: said, not guessed.
    assert two.cells[2] == two.cells[4] == two.cells[7] == "not measured"
    told = " ".join(comparison.notes([one, two]))
    assert "not judged on the same recordings" in told
    assert "a processor" in told
    assert "Published figures are of other data" in told
    assert comparison.notes([one])[0].startswith("All on data")
    assert [row[0] for row in comparison.rows([one, two])] == ["tiny", "other"]
    twice = [row[0] for row in comparison.rows([one, one])]
    assert twice == [f"tiny ({tiny_run.out})"] * 2
    table = comparison.markdown([one, two]).splitlines()
    assert {line.count("|") for line in table[:4]} == {len(comparison.HEADERS) + 1}


def test_the_table_is_put_between_its_markers(tmp_path):
    """What stands around it stays; twice is once."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{comparison.BEGIN}\nold\n{comparison.END}\nafter\n")
    for _ in range(2):
        comparison.put_into(path, "| new |\n")
    expected = f"before\n{comparison.BEGIN}\n| new |\n{comparison.END}\nafter\n"
    assert path.read_text() == expected
    path.write_text("nothing here")
    with pytest.raises(InputError, match="no place for a table"):
        comparison.put_into(path, "x")


def test_the_readme_of_the_lab_has_a_place_for_the_table(request):
    """The markers that --update looks for."""
    text = (request.config.rootpath / "train" / "README.md").read_text("utf-8")
    assert text.index(comparison.BEGIN) < text.index(comparison.END)


def test_the_command_reports(tiny_run, tmp_path, capsys):
    """On the terminal, as a page, as Markdown and into a file."""
    html, readme = tmp_path / "runs.html", tmp_path / "README.md"
    readme.write_text(f"{comparison.BEGIN}\n{comparison.END}\n")
    words = [str(tiny_run.out), str(tiny_run.out), "--html", str(html), "--update", str(readme)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "ms a window, one core" in printed
    assert printed.count(f"{tiny_run.metrics['model']['parameters']:,}") == 2
    found = check_page(html.read_text("utf-8"))
    assert "2 runs side by side" in found.text
    assert readme.read_text().count("| tiny (") == 2
    assert main([str(tiny_run.out), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| run | window macro F1 |")


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ([], 64, "RUN"),
        (["nowhere"], 66, "name the folder of a run"),
        (["text"], 66, "holds no figures of a run"),
        (["evaluation"], 66, "holds no figures of a run"),
        (["RUN", "--html", "nowhere/x.html"], 74, "cannot write"),
        (["RUN", "--update", "missing.md"], 66, "cannot read"),
    ],
)
def test_what_people_get_wrong_is_one_line(
    tiny_run, tmp_path, monkeypatch, capsys, words, code, line
):
    """A clear line and the right exit code, never a traceback."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("text", "no JSON"), ("evaluation", '{"model": {"name": "x"}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(text)
    assert main([str(tiny_run.out) if word == "RUN" else word for word in words]) == code
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("genred report: ")
    assert line in said


def test_a_run_folder_that_cannot_be_written(tiny_run, tmp_path):
    """The line says so."""
    (tmp_path / "model.onnx").write_bytes((tiny_run.out / "model.onnx").read_bytes())
    (tmp_path / "model_config.json").mkdir()
    metadata = load_model(tiny_run.out).metadata
    run = report.Finished(tiny_run.recipe, None, metadata, tiny_run.metrics, [epoch(1)])  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="cannot write into"):
        report.write_all(tmp_path, run)
