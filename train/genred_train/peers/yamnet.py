"""YAMNet under LiteRT: one thread, XNNPACK (which LiteRT takes on a CPU by itself)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from genred.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from genred_train.peers.job import Job

# YAMNet hears 16 kHz; a frame of it is 0.975 s.
RATE = 16_000


def build(job: Job) -> Callable[[NDArray[np.float32]], Any]:
    """Load the network of one frame.

    Raises :class:`UnavailableError` where LiteRT is not installed and :class:`InputError` where
    no network is named, or one that cannot be.
    """
    if job.teacher is None:
        raise InputError("YAMNet is in no file", "name it: --teacher yamnet_frame.tflite")
    if job.metadata.sample_rate != RATE:
        raise InputError(f"YAMNet hears {RATE} Hz", "measure a model of that rate against it")
    try:
        interpreter = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:
        raise UnavailableError("YAMNet needs ai-edge-litert", "pip install 'genred[dev]'") from None
    try:
        net = interpreter.Interpreter(str(job.teacher), num_threads=1)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{job.teacher} is no YAMNet: {reason}") from None
    net.allocate_tensors()
    entry, scores = net.get_input_details()[0], net.get_output_details()[0]
    frame = int(np.prod(entry["shape"]))
    if frame > job.metadata.window:
        raise InputError(f"{job.teacher} hears {frame} samples at once", "name yamnet_frame.tflite")

    def decide(window: NDArray[np.float32]) -> Any:
        net.set_tensor(entry["index"], window[-frame:].reshape(entry["shape"]))
        net.invoke()
        return net.get_tensor(scores["index"])

    return decide
