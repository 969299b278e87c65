"""``python -m genred_train.bench_loader``: how fast clips are prepared for training, on one core.

The recipe's way, as :class:`~genred_train.training.Trainer` asks for its batches, beside the naive
one: for each clip, decode its file, take a crop, augment it and transform it, by the same decoder,
the same augmentation and the same front end; and beside what the network takes in, learning. A clip
is one window; a passage of radio counts as many as fit side by side. On synthesised recordings of
half a minute, or ``--data``.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import wave
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genred.station import render
from genred_train import recipe as recipes
from genred_train.augmentation import Augmenter
from genred_train.console import Console
from genred_train.data import corpus as corpora
from genred_train.data.decoding import Settings, decode
from genred_train.entry import Parser, answer
from genred_train.front_end import LogMel
from genred_train.passages import Passages
from genred_train.recipe import Recipe
from genred_train.run import build_network
from genred_train.team import Team
from genred_train.training import Trainer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from genred_train.data.corpus import Corpus

# What the data set that everybody begins with has: half a minute, mono, 22,050 Hz, uncompressed.
# Anything compressed takes the naive way longer.
CLIP_S = 30.0
CLIP_RATE = 22_050
STYLES = ("blues", "jazz", "metal")
CLIPS = 5

# Each way is measured in so many turns, in alternation.
TURNS = 5

_SEED = 1


@dataclass(frozen=True, slots=True)
class Speed:
    """Clips a second of one core."""

    clips_per_second: float
    naive_clips_per_second: float
    ratio: float
    """Median over the turns, with the least and the largest."""
    low: float
    high: float
    network_clips_per_second: float
    """What the network learns from in the same time, on the same core."""
    batch: int
    """Of clips, or of passages."""
    clip_s: float
    """Length of the recordings, seconds."""


def measure(recipe: Recipe, corpus: Corpus, cache: Path, seconds: float) -> Speed:
    """Prepare clips both ways in alternation, ``seconds`` of CPU time each in all."""
    torch.set_num_threads(1)
    network, device = build_network(recipe, len(corpus.labels)), torch.device("cpu")
    material = None
    if recipe.airing.seconds:
        material = Passages(recipe, corpus, network, device, cache, (), Console())
    trainer = Trainer(recipe, corpus, network, device, material=material)
    ours = _batches(trainer)
    theirs = _one_by_one(recipe, corpus, network.frames)
    next(ours), next(theirs)  # what is allocated or read once does not count
    learning = _learn(trainer)
    next(learning)
    quick, slow, eaten = [], [], []
    for _ in range(TURNS):
        eaten.append(_clips_a_second(learning, seconds / TURNS / 2))
        quick.append(_clips_a_second(ours, seconds / TURNS))
        slow.append(_clips_a_second(theirs, seconds / TURNS))
    ratios = [one / other for one, other in zip(quick, slow, strict=True)]
    length = statistics.mean(entry.stored.length for entry in corpus.entries)
    return Speed(
        clips_per_second=statistics.median(quick),
        naive_clips_per_second=statistics.median(slow),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        network_clips_per_second=statistics.median(eaten),
        batch=recipe.training.batch_size,
        clip_s=length / corpus.sample_rate,
    )


def _clips_a_second(prepared: Iterator[int], seconds: float) -> float:
    began, clips = time.process_time(), 0
    while (used := time.process_time() - began) < seconds or not clips:
        clips += next(prepared)
    return clips / used if used else float("inf")


def _batches(trainer: Trainer) -> Iterator[int]:
    """As the lab trains: how many clips each batch has."""
    seed = _SEED
    while True:
        for inputs, _ in trainer.material.epoch(seed, Team()):
            yield _clips(trainer, inputs)
        seed += 1


def _learn(trainer: Trainer) -> Iterator[int]:
    """Learn from the same batch, again and again."""
    inputs, wanted = next(trainer.material.epoch(_SEED, Team()))
    trainer.pupil.train()
    while True:
        trainer.step(trainer.pupil, inputs, wanted)
        yield _clips(trainer, inputs)


def _clips(trainer: Trainer, logmel: Tensor) -> int:
    """How many windows fit side by side into ``[batch, n_mels, frames]``."""
    recipe = trainer.recipe
    seconds = logmel.shape[2] * recipe.front_end.hop_length / recipe.audio.sample_rate
    return len(logmel) * max(1, round(seconds / recipe.audio.window_s))


@torch.no_grad()
def _one_by_one(recipe: Recipe, corpus: Corpus, frames: int) -> Iterator[int]:
    """One clip at a time, from its file."""
    front_end, rate = recipe.front_end, recipe.audio.sample_rate
    reach = (frames - 1) * front_end.hop_length + front_end.n_fft
    augmenter = Augmenter(recipe.augment, corpus.labels, rate, reach)
    transform = LogMel(front_end, rate)
    settings = Settings(rate, recipe.data.max_seconds)
    random = np.random.default_rng(_SEED)
    entries = [corpus.entries[position] for position in corpus.of("train")]
    while True:
        entry = entries[random.integers(len(entries))]
        samples = decode(entry.clip.path, settings)
        start = random.integers(max(1, samples.size - augmenter.crop))
        crop = np.resize(samples[start : start + augmenter.crop], augmenter.crop)
        audio, _ = augmenter(torch.from_numpy(crop)[None], torch.tensor([entry.label]))
        augmenter.mask(transform(audio))
        yield 1


def _synthesised(folder: Path) -> Path:
    """Some recordings of three styles, in a folder each."""
    for style in STYLES:
        for number in range(CLIPS):
            sound = render(style, CLIP_S, _SEED + number, CLIP_RATE)
            path = folder / style / f"{style}{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(CLIP_RATE)
                file.writeframes((sound * 32767).astype("<i2").tobytes())
    return folder


def _for_any_data(recipe: Recipe, batches: int) -> Recipe:
    """The recipe, but for the labels and splits that its own data has."""
    raw = recipe.model_dump(mode="json", exclude_unset=True)
    raw["data"] = {"min_clips": 3}
    raw["split"] = {"by": "groups", "val": 0.2, "test": 0.2, "seed": 0}
    training = raw.setdefault("training", {})
    training["crops_per_epoch"] = batches * recipe.training.batch_size
    return Recipe.model_validate(raw)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    made = Parser(prog="python -m genred_train.bench_loader", description=__doc__)
    made.add_argument("--recipe", type=Path, default=Path("configs/train/compact.toml"))
    made.add_argument("--data", type=Path, metavar="DIR", help="recordings, a folder a label")
    made.add_argument("--seconds", type=float, default=10.0, help="of CPU time for each way")
    made.add_argument("--json", action="store_true")
    return answer("bench_loader", lambda: _run(made.parse_args(arguments)))


def _run(args: argparse.Namespace) -> int:
    recipe = _for_any_data(recipes.load(args.recipe), batches=8)
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or _synthesised(Path(folder, "data"))
        cache = Path(folder, "cache")
        corpus = corpora.load(recipe, data, cache, Console())
        found = measure(recipe, corpus, cache, args.seconds)
    if args.json:
        print(json.dumps(asdict(found)))
    else:
        print(
            f"{found.clips_per_second:,.0f} clips a second in batches of {found.batch}, "
            f"{found.naive_clips_per_second:,.0f} one at a time from files of {found.clip_s:.0f} s:"
            f" {found.ratio:.1f} times ({found.low:.1f} to {found.high:.1f}); the network learns "
            f"from {found.network_clips_per_second:,.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
