"""The real teacher, and the commands that hold a student against it."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rich.console
import torch
from ai_edge_litert import interpreter
from musicnn_wheel import drawn, write_wheel
from test_passages import OPTIONS, REMEMBERING
from train_data import recipe, sound, write_wav

from genred.errors import InputError
from genred_train import ablation, run, yardstick
from genred_train.console import Console
from genred_train.judging import Scored, judge
from genred_train.recipe import load
from genred_train.teacher.frames import FRAME, HOP
from genred_train.teacher.yamnet import CLASSES, WIDTH, Teacher

RECIPE = Path(__file__).parents[2] / "configs" / "train" / "compact.toml"


def teacher_file() -> Path:
    """Where the teacher is: named, or beside the recordings."""
    data = os.environ.get("GENRED_DATA", "")
    beside = Path(data).parent / "teacher" / "yamnet.tflite"
    path = Path(os.environ.get("GENRED_TEACHER", beside if data else ""))
    if not path.is_file():
        pytest.skip("GENRED_TEACHER names no yamnet.tflite, and none is beside GENRED_DATA")
    return path


def test_embeddings_are_of_the_samples_that_are_said():
    """Frame k heard FRAME samples from k * HOP on; short recordings are filled with silence."""
    teacher = Teacher(teacher_file())
    random = np.random.default_rng(1)
    tone = np.sin(np.arange(3 * HOP + FRAME) * 0.1) * np.repeat(
        [1, 0, 1, 0], [HOP, HOP, HOP, FRAME]
    )
    samples = (9000 * tone + random.normal(size=tone.size) * 50).astype(np.int16)
    heard = teacher.embed(samples)
    assert heard.shape == (4, WIDTH)
    second = teacher.embed(samples[HOP : HOP + FRAME])
    assert second.shape == (1, WIDTH)
    np.testing.assert_allclose(heard[1], second[0], atol=0.02)
    assert np.abs(heard[0].astype(float) - second[0]).max() > 0.1
    assert teacher.embed(samples[:1000]).shape == (1, WIDTH)


def test_genres_are_what_the_teacher_says_itself():
    """Its last layer upon the embedding gives the scores of its own output, for genres alone."""
    path = teacher_file()
    teacher = Teacher(path)
    random = np.random.default_rng(2)
    time = np.arange(4 * HOP + FRAME) / 16_000
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    beat = (np.sin(2 * np.pi * 2 * time) > 0) * random.normal(size=time.size)
    samples = (5000 * chord + 4000 * beat).astype(np.int16)
    said = teacher.genres().logits(teacher.embed(samples).astype(np.float32))
    assert said.shape == (5, 66)

    whole = interpreter.Interpreter(model_content=path.read_bytes())
    whole.resize_tensor_input(whole.get_input_details()[0]["index"], [samples.size])
    whole.allocate_tensors()
    whole.set_tensor(whole.get_input_details()[0]["index"], samples.astype(np.float32) / 32768)
    whole.invoke()
    outputs = {int(out["shape"][-1]): out["index"] for out in whole.get_output_details()}
    scores = whole.get_tensor(outputs[CLASSES])[:, 211:277]
    # The interpreter computes in 8 bits.
    np.testing.assert_allclose(1 / (1 + np.exp(-said)), scores, atol=0.02)
    heard = np.log(scores[scores > 1e-3] / (1 - scores[scores > 1e-3]))
    assert np.corrcoef(said[scores > 1e-3], heard)[0, 1] > 0.98


@pytest.mark.slow
def test_a_run_with_a_teacher(folder, tmp_path):
    """The real one, and another beside it: what is to be predicted of them is learnt."""
    made = recipe(
        **REMEMBERING,
        teaching={"opinions": 1.0, "genres": 0.5, "components": 8},
        settling={"epochs": 1, "seconds": 4.0, "crops_per_epoch": 16, "batch_size": 8},
    )
    network = made.network.model_copy(update={"options": {**OPTIONS, "opinions": 1.0}})
    made = made.model_copy(update={"network": network})
    teachers = (write_wheel(tmp_path / "m.whl", drawn(3)), teacher_file())
    chosen = run.Options(folder, tmp_path / "out", tmp_path / "cache", "cpu", 1, teachers=teachers)
    metrics = run.train(made, chosen, Console(rich.console.Console(file=io.StringIO())))
    assert list(metrics["teachers"]) == ["YAMNet", "musicnn"]
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert f"taught by YAMNet (`{metrics['teachers']['YAMNet']}`) and musicnn (`" in card
    state = torch.load(tmp_path / "out" / "best.pt", weights_only=True)["network"]
    assert state["opinion.weight"].abs().max() > 0
    pupil = torch.load(tmp_path / "out" / "last.pt", weights_only=True)["pupil"]
    assert pupil["view.weight"].shape[0] == 8 + 66
    assert pupil["view.weight"][8:].abs().max() > 0

    write_wav(tmp_path / "library" / "a.wav", sound("low", 3.0, 7))
    for other in ({"teachers": teachers[1:]}, {"unlabelled": tmp_path / "library"}):
        again = replace(chosen, resume=True, **other)
        with pytest.raises(InputError, match="another teacher, or from other music"):
            run.train(made, again, Console(rich.console.Console(file=io.StringIO())))


def rows(right: float, seed: int) -> dict:
    """Figures of somebody who is right so often."""
    random = np.random.default_rng(seed)
    truth = np.arange(300) % 3
    guess = np.where(random.random(300) < right, truth, (truth + 1) % 3)
    scored = Scored(np.eye(3)[guess], truth, np.arange(300) // 10)
    figures = judge(scored, ["music"] * 3, 0)
    return {"window": figures, "track": figures}


def test_the_tables_say_who_is_better():
    """Figures with intervals in the one, and what a change does in the other."""
    both = {"remembered": rows(0.8, 1), "yardstick": rows(0.6, 2)}
    found = {
        "folds": 4,
        "folds_judged": 2,
        "epochs": 3,
        "groups": 30,
        "labels": ["a", "b", "c"],
        "rows": both,
        "better": {
            "remembered less yardstick": {
                unit: {name: [0.02, -0.01, 0.053] for name in yardstick.FIGURES}
                for unit in ("window", "track")
            }
        },
    }
    table = yardstick.render(found)
    row = next(line for line in table.splitlines() if "remembered less yardstick" in line)
    assert row.count("+2.0 [-1.0, +5.3]") == 6
    assert table.startswith("2 of 4 folds of whole groups, 30 groups judged, 3 epochs a fold.")
    assert "By data set" not in table
    found["by_dataset"] = {name: {"here": row, "there": row} for name, row in both.items()}
    told = yardstick.render(found)
    assert told.startswith(table)
    cells = [
        f"{row[unit]['accuracy']:.2f} [{low:.2f}, {high:.2f}]"
        for row in both.values()
        for unit in ("window", "track")
        for low, high in [row[unit]["intervals"]["accuracy"]]
    ]
    assert told.splitlines()[-1] == f"| there | 30 | 300 | {' | '.join(cells)} |"
    recall = both["yardstick"]["window"]["macro_recall"]
    assert f"| yardstick | {recall:.3f} [" in table
    parts = {"the recipe": both["remembered"], "without memory": both["yardstick"]}
    moved = recall - both["remembered"]["window"]["macro_recall"]
    assert moved < -0.1
    told = ablation.render({"epochs": 3, "folds": 4, "rows": parts})
    assert f"| without memory | {recall:.3f} ({moved:+.3f})" in told


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_every_variant_is_a_recipe(name):
    """Each changes what it names, and nothing else."""
    shipped = load(RECIPE)
    made = ablation.changed(shipped, ablation.VARIANTS[name])
    different = {
        table
        for table in type(shipped).model_fields
        if getattr(made, table) != getattr(shipped, table)
    }
    assert different == set(ablation.VARIANTS[name])


def test_options_of_the_network_are_changed_one_by_one():
    """What a variant does not name stays."""
    tables = {"network": {"options": {"widths": [4, 4, 8, 8, 8, 8], "hidden": 5}}}
    made = ablation.changed(recipe(), tables)
    assert made.network.options == tables["network"]["options"]
    again = ablation.changed(made, {"network": {"options": {"hidden": 7}}})
    assert again.network.options == {"widths": [4, 4, 8, 8, 8, 8], "hidden": 7}
