"""Long stretches in parts side by side give what single steps give, or are not taken so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from genred.labels import Kind
from genred.model import shortcut, stretch
from genred.model.metadata import LabelInfo
from genred.model.session import Model, _piece, _read, load_model, shipped_model
from genred.model.stream import BATCH, Entry, HostStream
from genred.settings.judgement import JudgementSettings
from genred.station.programme import render
from genred.tagging import tag_blocks

STEPS = 150


def passage(meta, steps, seed=5):
    """Music, speech, silence and noise, one after the other: ``[steps, hop]``."""
    length = steps * meta.hop
    part = length / meta.sample_rate / 4
    random = np.random.default_rng(seed)
    played = [render(style, part, seed, meta.sample_rate) for style in ("metal", "speech")]
    played += [np.zeros(length // 8), random.normal(0, 0.1, length)]
    return np.concatenate(played)[:length].astype(np.float32).reshape(steps, meta.hop)


def step_by_step(model):
    """The same model without the way through stretches."""
    return Model(model.path, model.metadata, replace(model._entry, stretch=None), "cpu")


@pytest.fixture(scope="module")
def shipped():
    return load_model(shipped_model())


HOP, MELS, HIDDEN = 3200, 64, 24


def written(lasting, meta):
    """A network of its own kind, behind the front end: two steps are joined, one thing may last."""
    tail = meta.front_end.n_fft - meta.front_end.hop_length
    random = np.random.default_rng(8)
    cuts = {"old": (0, tail), "past": (tail, tail + 2 * MELS)}
    if lasting:
        cuts["memory"] = (tail + 2 * MELS, tail + 2 * MELS + HIDDEN)
    size = max(end for _, end in cuts.values())
    tensors = {
        "first": random.normal(0, 0.1, (3 * MELS, HIDDEN)).astype(np.float32),
        "second": random.normal(0, 1, (HIDDEN * (2 if lasting else 1), 3)).astype(np.float32),
        "slowly": np.array([0.03], np.float32),
        "column": np.array([1]),
        **{f"{name} from": np.array([begin]) for name, (begin, _) in cuts.items()},
        **{f"{name} to": np.array([end]) for name, (_, end) in cuts.items()},
        "new from": np.array([HOP]),
        "new to": np.array([HOP + tail]),
        "later from": np.array([MELS]),
        "later to": np.array([3 * MELS]),
    }

    def cut(of, name, made):
        return helper.make_node("Slice", [of, f"{name} from", f"{name} to", "column"], [made])

    nodes = [cut("state", name, name) for name in cuts]
    nodes += [
        helper.make_node("ReduceMean", ["logmel"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("Concat", ["past", "mean"], ["joined"], axis=1),
        helper.make_node("MatMul", ["joined", "first"], ["weighed"]),
        helper.make_node("Tanh", ["weighed"], ["hidden"]),
        cut("samples", "new", "new"),
        cut("joined", "later", "later"),
    ]
    if lasting:
        nodes += [
            helper.make_node("Sub", ["hidden", "memory"], ["away"]),
            helper.make_node("Mul", ["away", "slowly"], ["moved"]),
            helper.make_node("Add", ["memory", "moved"], ["kept"]),
            helper.make_node("Concat", ["hidden", "kept"], ["known"], axis=1),
        ]
    nodes += [
        helper.make_node("MatMul", ["known" if lasting else "hidden", "second"], ["logits"]),
        helper.make_node(
            "Concat", ["new", "later", *(["kept"] if lasting else [])], ["next_state"], axis=1
        ),
    ]
    frames = HOP // meta.front_end.hop_length
    shapes = {"samples": [tail + HOP], "logmel": [MELS, frames], "state": [size]}
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["feeds", *shape])
            for name, shape in shapes.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["feeds", width])
            for name, width in (("logits", 3), ("next_state", size))
        ],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    labels = tuple(LabelInfo(name=name, kind=Kind.MUSIC) for name in "abc")
    told = meta.model_copy(
        update={"hop": HOP, "state_size": size, "labels": labels, "judging": None}
    )
    return shortcut.Short(model.SerializeToString(), "samples"), told


@pytest.fixture(scope="module", params=[False, True], ids=["nothing lasts", "something lasts"])
def other(request, shipped):
    """Another network, at another hop."""
    short, meta = written(request.param, shipped.metadata)
    opened = partial(_piece, shipped.path, 1)
    entry = Entry(opened(short.model), short.samples)
    way = stretch.find(short, meta, HostStream(entry, meta, BATCH).through, opened)
    assert way is not None
    assert bool(way._lasting) == request.param
    return Model(shipped.path, meta, replace(entry, stretch=lambda: way), "cpu")


def both(model, steps):
    """Logits of two passages on end and the state after them: in parts, and step by step."""
    found = []
    for each in (model, step_by_step(model)):
        stream = each.stream(1)
        logits = [stream.run(0, passage(model.metadata, steps, seed))[0] for seed in (5, 6)]
        found.append((np.concatenate(logits), stream._state[0].copy()))
    return found


def held_together(ours, theirs):
    for one, two in zip(ours, theirs, strict=True):
        assert np.abs(one - two).max() < 1e-4 * max(1.0, np.abs(two).max())


def test_the_shipped_model_says_the_same(shipped):
    """Logits and state, over two stretches, the second of which begins where the first ended."""
    way = shipped._entry.stretch()
    assert way is not None
    assert way.parts(STEPS) > 1
    held_together(*both(shipped, STEPS))


@pytest.mark.parametrize("steps", [96, 97, 131])
def test_other_networks_say_the_same(other, steps):
    """Whatever is left over at the end, and whether or not anything lasts."""
    assert other._entry.stretch().parts(steps) > 1
    held_together(*both(other, steps))


def test_a_file_is_told_the_same_of(shipped):
    """Scores to 1e-4, and the same segments."""
    meta = shipped.metadata
    sound = passage(meta, 240).reshape(-1)
    blocks = np.array_split(sound, 37)
    ours, theirs = (
        tag_blocks(model, "x", blocks, JudgementSettings()).to_dict()
        for model in (shipped, step_by_step(shipped))
    )
    assert ours["scores"] == pytest.approx(theirs["scores"], abs=1.01e-4)
    assert [(each["start"], each["label"]) for each in ours["segments"]] == [
        (each["start"], each["label"]) for each in theirs["segments"]
    ]


def test_what_is_not_proved_is_not_taken(shipped):
    """A model that does otherwise than its graph, or remembers all it has heard, keeps to steps."""
    path, meta = shipped.path, shipped.metadata
    short = shortcut.cut(_read(path), meta)
    opened = partial(_piece, path, 1)
    stream = HostStream(Entry(opened(short.model), short.samples), meta, BATCH)
    assert stretch.find(short, meta, stream.through, opened) is not None

    def otherwise(audio, state):
        logits, logmel, after = stream.through(audio, state)
        return logits + 0.01 * state[:, :1], logmel, after

    def for_ever(audio, state):
        logits, logmel, _ = stream.through(audio, state)
        return logits, logmel, state + audio[:, :1]

    assert stretch.find(short, meta, otherwise, opened) is None
    assert stretch.find(short, meta, for_ever, opened) is None
