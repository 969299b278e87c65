"""The model that is shipped is what its papers say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from genred import station
from genred.model.metadata import METADATA_KEY, ModelMetadata
from genred_train import card
from genred_train.export import macs, model_file
from genred_train.judging import softmax
from genred_train.recipe import Recipe

REPOSITORY = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (REPOSITORY / "models").glob("*/model.onnx"))

# A seed of the station that neither training nor the demonstration plays.
UNHEARD = 20_071


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request) -> Path:
    return request.param


@pytest.fixture
def metadata(folder) -> ModelMetadata:
    properties = {p.key: p.value for p in onnx.load(folder / "model.onnx").metadata_props}
    return ModelMetadata.from_json(properties[METADATA_KEY])


@pytest.fixture
def metrics(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_there_is_a_model():
    """At least the compact one is shipped."""
    assert "compact" in [folder.name for folder in FOLDERS]


def test_it_is_small(folder, metadata):
    """Under a megabyte, and under 25 million multiply-adds a second of audio."""
    assert (folder / "model.onnx").stat().st_size < 1_000_000
    assert metadata.macs_per_second < 25e6


def test_file_metrics_and_card_agree(folder, metadata, metrics):
    """The card is what the code writes from the metrics; the metrics are this very file's."""
    recipe = Recipe.model_validate_json(metadata.training.recipe)
    assert (folder / "MODEL_CARD.md").read_text() == card.write(metrics, recipe)
    assert metrics["model"]["bytes"] == (folder / "model.onnx").stat().st_size
    assert metrics["created"] == metadata.training.created
    assert metrics["data"]["fingerprint"] == metadata.training.data_fingerprint
    assert metrics["model"]["parameters"] == metadata.network.parameters
    assert (folder / "confusion.png").is_file()


def test_the_card_tells_how_this_file_is_judged_by(folder, metadata, metrics):
    """What the daemon takes from the file is what the figures were measured with."""
    judging = metadata.judging.model_dump() if metadata.judging else None
    assert metrics.get("judging") == judging
    text = (folder / "MODEL_CARD.md").read_text()
    for picture in re.findall(r"\]\(([a-z]+\.png)\)", text):
        assert (folder / picture).is_file()


def test_its_cost_is_that_of_its_graph(folder, metadata):
    """The multiply-adds in the metadata are those counted from the graph in the file."""
    counted = macs.count(onnx.load(folder / "model.onnx"))
    assert counted.network == metadata.network.network_macs_per_step
    assert counted.front_end == metadata.network.front_end_macs_per_step


def test_nothing_generated_was_scored(metrics):
    """Machine-made and synthesised material takes no part in any figure."""
    for row in metrics["data"]["datasets"]:
        if row["dataset"].startswith(("generated", "genred-station")):
            assert not row["scored"]


@pytest.mark.parametrize(
    "style", [name for name, style in station.STYLES.items() if style.label != "silence"]
)
def test_it_hears_the_station(folder, metadata, style):
    """Of passages it was not trained on, most windows get the passage's own label."""
    audio = station.render(style, 20.0, seed=UNHEARD, rate=metadata.sample_rate)
    session = model_file.session(folder / "model.onnx")
    logits, _ = model_file.stream(session, audio[None].astype(np.float32), metadata)
    full = metadata.window // metadata.hop - 1
    mean = softmax(logits[full:, 0], metadata.calibration.temperature).mean(axis=0)
    assert metadata.label_names[mean.argmax()] == station.STYLES[style].label
