"""The same recordings quieter, through a codec, muffled, in noise: what a model loses by it."""

from __future__ import annotations

import functools
import io
import zlib
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
import torch
import torchaudio

from genred.resample import to_mono
from genred_train.evaluation import figures, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genred.model.session import Model
    from genred_train.console import Console
    from genred_train.data.corpus import Corpus
    from genred_train.evaluation.listening import Answers

    Floats = NDArray[np.float32]

MP3_RATE: Final = 64_000
LOW_PASS_HZ: Final = 4000.0
LOW_PASS_ORDER: Final = 8
SNR_DB: Final = 20.0
ALLOWED: Final = 0.03
"""At most so much macro recall is to be lost on the average."""

MEASURES: Final = (
    ("window", "macro_recall"),
    ("window", "accuracy"),
    ("track", "macro_recall"),
    ("track", "accuracy"),
    ("window", "ece"),
)


def at_level(peak_dbfs: float) -> Callable[..., Floats]:
    """Scaled to a peak of ``peak_dbfs``, as a quiet or a loud station sends it."""

    def treated(audio: Floats, rate: int) -> Floats:
        del rate
        return audio * np.float32(10 ** (peak_dbfs / 20) / max(float(np.abs(audio).max()), 1e-6))

    return treated


def through_mp3(audio: Floats, rate: int) -> Floats:
    """Encoded as MP3 of :data:`MP3_RATE` bit/s and decoded, in its place in time again."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = MP3_RATE
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for part in resampler.resample(frame):
            part.pts = None
            fifo.write(part)
        size = stream.codec_context.frame_size or 1152
        while (piece := fifo.read(size, partial=True)) is not None:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        blocks = [
            out.to_ndarray()[0]
            for decoded in (*container.decode(audio=0), None)
            for out in resampler.resample(decoded)
        ]
    heard = np.concatenate(blocks)
    return np.pad(heard, (0, max(0, audio.size - heard.size)))[: audio.size].astype(np.float32)


def muffled(audio: Floats, rate: int) -> Floats:
    """Low-passed at :data:`LOW_PASS_HZ` by a Butterworth filter, as telephones and AM do."""
    filtered = torch.from_numpy(audio.astype(np.float64))
    for section in range(LOW_PASS_ORDER // 2):
        # The quality factors of a Butterworth filter's second-order sections.
        angle = np.pi * (2 * section + 1) / (2 * LOW_PASS_ORDER)
        filtered = torchaudio.functional.lowpass_biquad(
            filtered, rate, LOW_PASS_HZ, 1 / (2 * np.cos(angle))
        )
    return np.asarray(filtered.numpy(), np.float32)


def in_noise(audio: Floats, rate: int) -> Floats:
    """With white noise :data:`SNR_DB` below it; the same noise for the same recording."""
    del rate
    random = np.random.default_rng(zlib.crc32(audio.tobytes()))
    level = float(np.sqrt(np.square(audio, dtype=np.float64).mean()))
    noise = random.standard_normal(audio.size, np.float32)
    return audio + noise * np.float32(level * 10 ** (-SNR_DB / 20))


def one_channel_dead(audio: Floats, rate: int) -> Floats:
    """Stereo with nothing on the right, made mono as the daemon does it."""
    del rate
    return to_mono(np.stack((audio, np.zeros_like(audio)), axis=1))


TREATMENTS: Final = {
    "peak at -30 dBFS": at_level(-30.0),
    "peak at -20 dBFS": at_level(-20.0),
    "peak at -10 dBFS": at_level(-10.0),
    "peak at 0 dBFS": at_level(0.0),
    "MP3 at 64 kbit/s": through_mp3,
    "low-passed at 4 kHz": muffled,
    "white noise at 20 dB SNR": in_noise,
    "stereo, one channel dead": one_channel_dead,
}


def measure(
    model: Model, corpus: Corpus, positions: Sequence[int], plain: Answers, console: Console
) -> dict[str, Any]:
    """Figures of every treatment beside those of the recordings as they are.

    ``plain`` is what the model said of these. The same windows count in all of them. A loss is
    in macro recall, the mean of windows' and tracks'.
    """
    metadata = model.metadata
    rate = metadata.sample_rate
    rows = [
        {"treatment": "as they are", **_figures(plain, corpus, metadata.calibration.temperature)}
    ]
    for name, treatment in TREATMENTS.items():
        treated = functools.partial(treatment, rate=rate)
        with console.progress(f"Listening, {name}") as progress:
            answers = listening.listen(model, corpus, positions, progress, treated)
        rows.append(
            {"treatment": name, **_figures(answers, corpus, metadata.calibration.temperature)}
        )
    keys = [f"{unit}_{measure}" for unit, measure in MEASURES[:4]]
    for row in rows[1:]:
        row["loss"] = {key: rows[0][key] - row[key] for key in keys}
    mean = {key: float(np.mean([row["loss"][key] for row in rows[1:]])) for key in keys}
    return {"allowed": ALLOWED, "rows": rows, "mean_loss": mean}


def _figures(answers: Answers, corpus: Corpus, temperature: float) -> dict[str, Any]:
    windows = listening.scored(answers, corpus, temperature)
    kinds = [label.kind.value for label in corpus.labels]
    found = figures.judge(windows, answers.positions, kinds, 0)
    return {f"{unit}_{measure}": found[unit][measure] for unit, measure in MEASURES}
