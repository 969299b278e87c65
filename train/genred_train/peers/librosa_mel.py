"""librosa's mel-spectrogram and the network under onnxruntime, a window at a time."""

from __future__ import annotations

import importlib
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch

from genred.errors import UnavailableError
from genred_train.front_end import frames_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from genred_train.peers.job import Job


def build(job: Job) -> Callable[[NDArray[np.float32]], Any]:
    """Export the network and load it.

    Raises :class:`UnavailableError` where librosa is not installed.
    """
    try:
        librosa = importlib.import_module("librosa")
    except ImportError:
        raise UnavailableError("this peer needs librosa", "pip install 'genred[dev]'") from None
    metadata, reach = job.metadata, job.reach
    front_end = metadata.front_end
    session = _session(job)

    def decide(window: NDArray[np.float32]) -> Any:
        mel = librosa.feature.melspectrogram(
            y=window[-reach:],
            sr=metadata.sample_rate,
            n_fft=front_end.n_fft,
            hop_length=front_end.hop_length,
            n_mels=front_end.n_mels,
            fmin=front_end.f_min,
            fmax=front_end.f_max,
            htk=front_end.mel_scale == "htk",
            norm=front_end.norm,
            power=front_end.power,
            center=False,
        )
        logmel = np.log(mel + np.float32(front_end.floor))[None]
        return session.run(None, {"logmel": logmel})[0]

    return decide


def _session(job: Job) -> onnxruntime.InferenceSession:
    front_end = job.metadata.front_end
    example = torch.zeros(1, front_end.n_mels, frames_in(job.metadata.window, front_end))
    file = BytesIO()
    with warnings.catch_warnings():
        # The older of PyTorch's exporters: deprecated, but here in a tenth of the time.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            job.network(),
            (example,),
            file,  # type: ignore[arg-type]  # the older exporter writes to files too
            input_names=["logmel"],
            opset_version=18,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
