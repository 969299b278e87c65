"""Writes ``model.onnx`` and holds it against PyTorch before anybody trusts it."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch

from genred.errors import InternalError, OutputError
from genred.model.metadata import METADATA_KEY, FrontEnd, ModelMetadata
from genred_train.export import lean
from genred_train.export.layout import time_first
from genred_train.front_end import DECIBEL, LogMel, frames_in
from genred_train.networks.base import Listens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genred_train.export.step import Step
    from genred_train.networks.base import Network

INPUTS = ("audio", "state")
OUTPUTS = ("logits", "logmel", "next_state")

# What onnxruntime and PyTorch may differ by, both in 32-bit floats: the contract's 1e-4, for
# log-mel frames in natural logarithms and for logits relative to the largest of them if that is
# above 1.
TOLERANCE = 1e-4

# The opset: the oldest that PyTorch's exporter writes without converting downwards.
OPSET = 18


def build_graph(step: Step) -> onnx.ModelProto:
    """Turn one step of the pipeline into an ONNX graph whose first dimension is free."""
    step = step.eval().cpu()
    # Two feeds: with one, the exporter would take the dimension for a constant.
    example = (torch.zeros(2, step.hop), torch.zeros(2, step.state_size))
    feeds = torch.export.Dim("feeds")
    with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript", "onnx_ir"):
        # The exporter warns of its own internals; what it made is checked below and by verify().
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step,
            example,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: feeds}, {0: feeds}),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise InternalError("PyTorch's exporter returned nothing")
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    model = time_first(model)
    lean.compute_tables(model, step.front_end, "front_end")
    lean.narrow(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def write(model: onnx.ModelProto, metadata: ModelMetadata, path: Path) -> None:
    """Put ``metadata`` into ``model`` and write both to ``path``, all of it or nothing.

    Raises :class:`OutputError` if it cannot be written.
    """
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(model.SerializeToString())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def session(path: Path) -> onnxruntime.InferenceSession:
    """Open a model file on the CPU, on one thread as the daemon does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def stream(
    opened: onnxruntime.InferenceSession, audio: NDArray[np.float32], metadata: ModelMetadata
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run ``audio [feeds, samples]`` through a model step by step, from a state of zeros.

    Returns the logits ``[steps, feeds, labels]`` and log-mel frames ``[feeds, n_mels, frames]``.
    """
    state = np.zeros((audio.shape[0], metadata.state_size), dtype=np.float32)
    logits, frames = [], []
    for start in range(0, audio.shape[1] - metadata.hop + 1, metadata.hop):
        new = np.ascontiguousarray(audio[:, start : start + metadata.hop])
        answer = opened.run(list(OUTPUTS), {"audio": new, "state": state})
        logits.append(answer[0])
        frames.append(answer[1])
        state = answer[2]
    return np.stack(logits), np.concatenate(frames, axis=2)


def verify(
    path: Path, network: Network, metadata: ModelMetadata, audio: NDArray[np.float32]
) -> dict[str, float]:
    """Hold the model file against PyTorch on ``audio [clips, samples]``, several windows long.

    Every decision whose window is full is compared with the network run on that window by
    itself, or, of one that remembers, on all of the clip at once; and the log-mel frames with
    torchaudio's. Returns the largest differences. Raises :class:`InternalError` if one is above
    :data:`TOLERANCE`.
    """
    settings: FrontEnd = metadata.front_end
    network = network.eval().cpu()
    transform = LogMel(settings, metadata.sample_rate)
    logits, frames = stream(session(path), audio, metadata)
    reach = (network.frames - 1) * settings.hop_length + settings.n_fft
    step = metadata.hop // settings.hop_length
    first = -(-metadata.window // metadata.hop)
    unit = DECIBEL if settings.log == "decibel" else 1.0
    worst_logits = worst_frames = 0.0
    with torch.no_grad():
        remembered = None
        if isinstance(network, Listens):
            begin, end = first * metadata.hop - reach, logits.shape[0] * metadata.hop
            mel = transform(torch.from_numpy(audio[:, begin:end]))
            remembered = network.listen(mel, step).logits.numpy()
        for number in range(first - 1, logits.shape[0]):
            end = (number + 1) * metadata.hop
            mel = transform(torch.from_numpy(audio[:, end - reach : end]))
            assert mel.shape[2] == frames_in(reach, settings)
            if remembered is None:
                expected = network(mel).numpy()
            else:
                expected = remembered[:, number - first + 1]
            scale = max(1.0, float(np.abs(expected).max()))
            worst_logits = max(worst_logits, float(np.abs(logits[number] - expected).max()) / scale)
            last = (number + 1) * step
            got = frames[:, :, last - mel.shape[2] : last]
            worst_frames = max(worst_frames, float(np.abs(got - mel.numpy()).max()) / unit)
    differences = {"logits": worst_logits, "logmel": worst_frames}
    for what, difference in differences.items():
        if not difference <= TOLERANCE:
            raise InternalError(
                f"the exported model differs from PyTorch by {difference:.2g} in {what}",
                f"at most {TOLERANCE:g} is allowed; the model file is not to be used",
            )
    return differences


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about the machine and the code it ran on."""
    model.producer_name, model.producer_version, model.doc_string = "genred", "", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.value_info):
        del value.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


class _quiet:  # noqa: N801 - a context manager, used as a word
    """Hold the named loggers to errors for a while."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
