"""Other words for a trained model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from genred.model.session import load_model
from genred_train import reword

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "configs" / "train" / "compact.toml"


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(ROOT / "models" / "compact", tmp_path / "compact"))


def test_words_change_and_nothing_else(model, tmp_path):
    """The card has the new words, the file is the same network."""
    recipe = tmp_path / "compact.toml"
    recipe.write_text(RECIPE.read_text().replace("Nothing above 7.2 kHz", "No sound above 7.2 kHz"))
    before = load_model(model)
    assert reword.main([str(recipe), str(model)]) == 0
    after = load_model(model)
    assert "No sound above 7.2 kHz" in (model / "MODEL_CARD.md").read_text()
    assert after.metadata.model_copy(update={"training": before.metadata.training}) == (
        before.metadata
    )
    audio = np.zeros((1, before.metadata.hop), np.float32)
    logits = [each.step(audio, each.new_state(1))[0] for each in (before, after)]
    assert np.array_equal(*logits)


def test_another_recipe_is_refused(model, tmp_path, capsys):
    """A recipe that trains something else cannot speak for this model."""
    recipe = tmp_path / "compact.toml"
    recipe.write_text(RECIPE.read_text().replace("batch_size = 48", "batch_size = 49"))
    whole = (model / "model.onnx").read_bytes()
    assert reword.main([str(recipe), str(model)]) == 66
    assert "another [training]" in capsys.readouterr().err
    assert (model / "model.onnx").read_bytes() == whole
