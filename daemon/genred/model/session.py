"""Running a model file: loading, refusing what does not fit, and one step for many feeds."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import onnxruntime
from pydantic import ValidationError

from genred.errors import GenredError, InputError, ModelError, UnavailableError
from genred.model import shortcut, stretch
from genred.model.device import DeviceStream, masked
from genred.model.metadata import FORMAT_VERSION, METADATA_KEY, ModelMetadata
from genred.model.stream import BATCH, Entry, HostStream, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

log = logging.getLogger("genred.model")

FILE_NAME: Final = "model.onnx"

SHIPPED: Final = "compact"
"""The model that is used where none is named."""

_EXTERNAL = re.compile(rb"[\x00\x08]location")
"""How a protobuf writes the key that names another file (``TensorProto.external_data``): its
length, however encoded, and the word. onnxruntime looks for that file from the current folder."""

MAX_BYTES: Final = 512 * 2**20
"""A compact network has a few MB; a file beyond this is a mistake and would fill the memory."""

WARM_UP_STEPS: Final = 3
"""The first steps of a session allocate; a decision must not wait on that."""

MEASURED_STEPS: Final = 10
"""Steps timed on each provider when ``auto`` has a choice."""

TRIED: Final = 2
"""Feeds of the steps that try a file out: with one, a batch would prove nothing."""

OUTPUTS: Final = ("logits", "logmel", "next_state")

PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

CUDA: Final = {
    # Trying all algorithms takes minutes, and a step has one shape for good.
    "cudnn_conv_algo_search": "HEURISTIC",
    # 10 bits of mantissa are too few for quiet bins beside a loud tone.
    "use_tf32": "0",
}

CAPTURED: Final = {"enable_cuda_graph": "1"}

Provider = Literal["cpu", "cuda"]


class Model:
    """A loaded model file.

    One step takes the new samples of some feeds and their states and returns logits, the new
    log-mel frames and the next states (see :mod:`genred.model.metadata` for the shapes). Who steps
    the same feeds again and again keeps their states in a :meth:`stream`.
    """

    def __init__(
        self, path: Path, metadata: ModelMetadata, entry: Entry, provider: Provider
    ) -> None:
        self.path = path
        self.metadata = metadata
        self.provider = provider
        self.fell_back = False
        """Did ``auto`` find a GPU that cannot be used."""
        self._entry = entry
        self._once: HostStream | None = None
        self._lock = threading.Lock()

    @property
    def shortened(self) -> bool:
        """Is the log-mel computed by FFT outside of the graph."""
        return self._entry.samples is not None

    @property
    def frames_per_step(self) -> int:
        """Log-mel frames that one step adds."""
        return self.metadata.hop // self.metadata.front_end.hop_length

    def stream(self, feeds: int, *, pictures: bool = True) -> Stream:
        """``feeds`` rows that have heard nothing, with their states.

        Without ``pictures`` the log-mel frames may be left where they are made.
        """
        resident = self._entry.resident
        if resident is None:
            return HostStream(self._entry, self.metadata, feeds)
        return DeviceStream(resident, self.metadata, feeds, self.provider, pictures=pictures)

    def new_state(self, feeds: int) -> Floats:
        """States for ``feeds`` that have heard nothing: ``[feeds, state_size]``."""
        return np.zeros((feeds, self.metadata.state_size), np.float32)

    def step(self, audio: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """Take ``audio`` ``[feeds, hop]`` and ``state`` ``[feeds, state_size]`` one step on.

        Returns logits ``[feeds, labels]``, log-mel ``[feeds, n_mels, frames]`` and next state.
        """
        with self._lock:
            if self._once is None:
                self._once = HostStream(self._entry, self.metadata, BATCH)
            once = self._once
            parts = [
                once.through(audio[start : start + BATCH], state[start : start + BATCH])
                for start in range(0, len(audio), BATCH)
            ]
        logits, logmel, next_state = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(logmel), np.concatenate(next_state)

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated probabilities, each row sums to 1: softmax of logits over temperature."""
        scaled = logits / np.float32(self.metadata.calibration.temperature)
        scaled -= scaled.max(axis=-1, keepdims=True)
        np.exp(scaled, out=scaled)
        scaled /= scaled.sum(axis=-1, keepdims=True)
        return scaled


def shipped_model() -> Path:
    """The folder of the model that comes with genred: in a source tree, or as installed.

    Raises :class:`InputError` where it is in neither.
    """
    source_tree = Path(__file__).resolve().parents[3] / "models" / SHIPPED
    installed = Path(sys.prefix) / "share" / "genred" / "models" / SHIPPED
    for folder in (source_tree, installed):
        if (folder / FILE_NAME).exists():
            return folder
    raise InputError("no model was shipped with this installation", "name one with --model FILE")


def load_model(
    path: Path | None = None,
    *,
    provider: Literal["auto", "cpu", "cuda"] = "cpu",
    threads: int = 1,
    feeds: int = 1,
) -> Model:
    """Load a model file, or the ``model.onnx`` of a folder, and warm it up for ``feeds`` feeds.

    ``auto`` takes the GPU only where a step for ``feeds`` feeds is measured to be faster there.
    Raises :class:`InputError` where there is no file, :class:`ModelError` where it does not fit,
    :class:`UnavailableError` where ``cuda`` is asked for and cannot be had.
    """
    path = path or shipped_model()
    data = _read(path)
    available = onnxruntime.get_available_providers()
    if provider == "cuda" and PROVIDERS["cuda"] not in available:
        raise UnavailableError(
            "CUDA is asked for, but this onnxruntime has none",
            "install genred[gpu] instead of genred[cpu], or set provider = 'cpu'",
        )
    wanted: list[Provider] = ["cpu"] if provider == "auto" else [provider]
    if provider == "auto" and PROVIDERS["cuda"] in available:
        wanted.append("cuda")
    models = []
    fell_back = False
    for each in wanted:
        try:
            models.append(_open(path, data, each, threads, feeds))
        except UnavailableError as error:
            if provider != "auto":
                raise
            log.warning("%s; going on with the CPU", error.message)
            fell_back = True
    models[0].fell_back = fell_back
    if len(models) == 1:
        return models[0]
    timed = sorted(models, key=lambda model: _seconds_a_step(model, feeds))
    log.info("provider %s measured fastest for %d feed(s)", timed[0].provider, feeds)
    return timed[0]


def _read(path: Path) -> bytes:
    file = path / FILE_NAME if path.is_dir() else path
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{file} is {size / 2**20:.0f} MB: too large for a model of genred")
        data = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no model at {file}", "name a model.onnx, or its folder") from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    if not data:
        raise ModelError(f"{file} is empty")
    if _EXTERNAL.search(data):
        raise ModelError(
            f"{file} keeps some of its data in other files, which are never opened",
            "export it with all its weights inside",
        )
    return data


def _open(path: Path, data: bytes, provider: Provider, threads: int, feeds: int) -> Model:
    # First as it stands, unoptimised: that takes milliseconds and shows what it is.
    if provider == "cpu":
        plain = _session(path, data, provider, threads, optimised=False)
        metadata = _checked(path, plain)
        entry = _short(path, data, metadata, plain, threads)
        model = Model(
            path, metadata, entry or Entry(_session(path, data, provider, threads)), provider
        )
    else:
        session = _session(path, data, provider, threads)
        metadata = _checked(path, session)
        resident = masked(data, metadata)
        try:
            # Steps captured as CUDA graphs: launching sixty kernels is dearer than running them.
            captured = _session(path, resident, provider, threads, options=CAPTURED)
            model = Model(path, metadata, Entry(session, resident=captured), provider)
            _warm_up(path, model, feeds)
        except GenredError as error:
            log.info("%s runs without CUDA graphs: %s", path, error.hint or error.message)
            plain = _session(path, resident, provider, threads)
            model = Model(path, metadata, Entry(session, resident=plain), provider)
    _warm_up(path, model, feeds)
    return model


def _session(
    path: Path,
    data: bytes,
    provider: Provider,
    threads: int,
    *,
    optimised: bool = True,
    options: Mapping[str, str] | None = None,
) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    # What fails is raised, and told in genred's own words; only why CUDA was left out is not.
    settings.log_severity_level = 3 if provider == "cuda" else 4
    # Threads that spin between two decisions would burn a core for nothing.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimised:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    chosen: list[Any] = [PROVIDERS[provider]]
    if provider == "cuda":
        chosen = [(PROVIDERS["cuda"], {**CUDA, **(options or {})}), PROVIDERS["cpu"]]
    try:
        session = onnxruntime.InferenceSession(data, settings, providers=chosen)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of no common base
        raise ModelError(
            f"{path} is not an ONNX file that onnxruntime can load", _first_line(error)
        ) from None
    if session.get_providers()[0] != PROVIDERS[provider]:
        # onnxruntime falls back to the CPU without an error; here that is never silent.
        raise UnavailableError(
            f"the {provider} provider was asked for, but onnxruntime chose "
            f"{session.get_providers()[0]}",
            "see that driver and CUDA libraries fit, or set provider = 'cpu'",
        )
    return session


def _checked(path: Path, session: onnxruntime.InferenceSession) -> ModelMetadata:
    """What the file says of itself, once its graph was seen to keep to that."""
    metadata = _metadata(path, session)
    _check_signature(path, metadata, session)
    _try_out(path, metadata, session)
    return metadata


def _short(
    path: Path,
    data: bytes,
    metadata: ModelMetadata,
    plain: onnxruntime.InferenceSession,
    threads: int,
) -> Entry | None:
    """The graph entered behind its front end, if that gives what the whole graph gives."""
    found = shortcut.cut(data, metadata)
    if found is None:
        return None
    try:
        longer = cache(partial(_stretch, path, metadata, threads))
        entry = Entry(_session(path, found.model, "cpu", threads), found.samples, stretch=longer)
        short = HostStream(entry, metadata, TRIED)
        audio, state = _noise(metadata), np.zeros((TRIED, metadata.state_size), np.float32)
        for _ in range(WARM_UP_STEPS):
            expected = plain.run(OUTPUTS, {"audio": audio, "state": state})
            if not shortcut.agrees(short.through(audio, state), expected):
                log.info("%s runs as a whole: %s", path, "its log-mel is not what it says")
                return None
            state = expected[2]
    except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of no common base
        log.info("%s runs as a whole: %s", path, _first_line(error))
        return None
    return entry


def _stretch(path: Path, metadata: ModelMetadata, threads: int) -> stretch.Stretch | None:
    """The way through long stretches of a recording, if there is one.

    Made when it is first needed, of the file as it is then: a daemon never needs it.
    """
    try:
        data = _read(path)
        found = shortcut.cut(data, metadata)
        if found is None:
            return None
        step = HostStream(
            Entry(_session(path, found.model, "cpu", threads), found.samples), metadata, BATCH
        )
        return stretch.find(found, metadata, step.through, partial(_piece, path, threads))
    except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of no common base
        log.info("%s takes recordings step by step: %s", path, _first_line(error))
        return None


def _piece(path: Path, threads: int, data: bytes) -> onnxruntime.InferenceSession:
    return _session(path, data, "cpu", threads)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _metadata(path: Path, session: onnxruntime.InferenceSession) -> ModelMetadata:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path} is an ONNX file, but not one of genred's: its metadata has no "
            f"{METADATA_KEY!r}",
            "export it with 'genred train'",
        )
    try:
        return ModelMetadata.from_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "metadata"
        if where == "format_version":
            raise ModelError(
                f"{path} has format version {first['input']!r}; this genred reads "
                f"version {FORMAT_VERSION}",
                "export it anew with this version's 'genred train'",
            ) from None
        raise ModelError(f"{path}: {where}: {first['msg']}") from None


def _check_signature(
    path: Path, metadata: ModelMetadata, session: onnxruntime.InferenceSession
) -> None:
    """Hold the graph's inputs and outputs against what the metadata promises."""
    if metadata.hop % metadata.front_end.hop_length:
        raise ModelError(f"{path}: hop is not a whole number of front-end frames")
    frames = metadata.hop // metadata.front_end.hop_length
    expected_inputs = {"audio": (metadata.hop,), "state": (metadata.state_size,)}
    expected_outputs = {
        "logits": (len(metadata.labels),),
        "logmel": (metadata.front_end.n_mels, frames),
        "next_state": (metadata.state_size,),
    }
    _compare(path, "input", session.get_inputs(), expected_inputs)
    _compare(path, "output", session.get_outputs(), expected_outputs)


def _compare(
    path: Path, role: str, found: Sequence[Any], expected: Mapping[str, tuple[int, ...]]
) -> None:
    by_name = {each.name: each for each in found}
    if set(by_name) != set(expected):
        raise ModelError(
            f"{path}: its {role}s are {', '.join(sorted(by_name))}; "
            f"they should be {', '.join(sorted(expected))}"
        )
    for name, shape in expected.items():
        each = by_name[name]
        if each.type != "tensor(float)":
            raise ModelError(f"{path}: {role} {name} is {each.type}; it should be tensor(float)")
        batch, *rest = each.shape
        # A dimension that the exporter could not name is checked by the warm-up's real step.
        known = all(
            not isinstance(have, int) or have == want
            for have, want in zip(rest, shape, strict=False)
        )
        if isinstance(batch, int) or len(rest) != len(shape) or not known:
            wanted = ", ".join(str(size) for size in shape)
            raise ModelError(
                f"{path}: {role} {name} is {each.shape}; by its metadata it should be "
                f"[feeds, {wanted}]"
            )


def _noise(metadata: ModelMetadata) -> Floats:
    """Something to hear, ``[TRIED, hop]``: a chirp that folds back to noise, and a loud tone.

    Not from numpy's generators: nothing else in a daemon needs them, and they take 3 MB.
    """
    moments = np.arange(metadata.hop, dtype=np.float64)
    noise, tone = 0.1 * np.sin(0.7 * moments**2), 0.5 * np.sin(0.3 * moments)
    audio = np.stack([noise] * (TRIED - 1) + [0.1 * noise + tone])
    return audio.astype(np.float32)


def _try_out(path: Path, metadata: ModelMetadata, session: onnxruntime.InferenceSession) -> None:
    """Run a few real steps: shapes and values are what they should be."""
    audio, state = _noise(metadata), np.zeros((TRIED, metadata.state_size), np.float32)
    expected = (
        (TRIED, len(metadata.labels)),
        (TRIED, metadata.front_end.n_mels, metadata.hop // metadata.front_end.hop_length),
        (TRIED, metadata.state_size),
    )
    for _ in range(WARM_UP_STEPS):
        try:
            logits, logmel, state = session.run(OUTPUTS, {"audio": audio, "state": state})
        except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of no common base
            raise ModelError(f"{path} fails on its first step", _first_line(error)) from None
        shapes = (logits.shape, logmel.shape, state.shape)
        if shapes != expected:
            raise ModelError(f"{path} returns shapes {shapes}; by its metadata {expected}")
        if not (np.isfinite(logits).all() and np.isfinite(state).all()):
            raise ModelError(f"{path} returns values that are not finite numbers")


def _warm_up(path: Path, model: Model, feeds: int) -> None:
    """Run a few steps of as many feeds as there will be: the first ones of a session allocate."""
    stream = model.stream(feeds)
    rows = range(min(feeds, stream.batch))
    try:
        for _ in range(WARM_UP_STEPS):
            stream.step(rows)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of no common base
        raise ModelError(f"{path} fails on its first step", _first_line(error)) from None


def _seconds_a_step(model: Model, feeds: int) -> float:
    stream = model.stream(feeds)
    rows = range(feeds)
    start = time.perf_counter()
    for _ in range(MEASURED_STEPS):
        for first in range(0, feeds, stream.batch):
            stream.step(rows[first : first + stream.batch])
    return (time.perf_counter() - start) / MEASURED_STEPS
