"""A collection whose content is known, and a model that hears it at once."""

from __future__ import annotations

import shutil

import pytest
from shelf_data import FILES, steady

from rigs import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The model's file."""
    return tiny_model.write(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """Forty files in folders, named after what is in them, two more that hold no audio."""
    folder = tmp_path_factory.mktemp("shelf")
    up, down = steady(folder / "up.wav", 0.4, 30), steady(folder / "down.wav", -0.4, 20)
    for number in range(FILES):
        inner = folder / f"{number % 3}" / "más [1]"
        inner.mkdir(parents=True, exist_ok=True)
        source = down if number % 4 == 0 else up
        shutil.copy(source, inner / f"{number:02} {source.stem}.wav")
    up.unlink()
    down.unlink()
    (folder / "1" / "text.mp3").write_text("no sound in here\n" * 100)
    (folder / "2" / "empty.flac").touch()
    return folder
