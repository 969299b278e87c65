"""One run: from a recipe and data to a folder with a model and everything known about it."""

from __future__ import annotations

import json
import os
import random
import time
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genred.errors import OutputError, UnavailableError
from genred.labels import Kind
from genred.model.metadata import (
    Calibration,
    ModelMetadata,
)
from genred.model.metadata import Network as NetworkMetadata
from genred.model.metadata import Training as TrainingMetadata
from genred_train import beginnings, card, judging, members, networks, scoring
from genred_train.calibration import Correction, fit_temperature
from genred_train.data import corpus as corpora
from genred_train.data.arrays import Arrays
from genred_train.data.catalogue import SPLITS
from genred_train.data.heard import Heard
from genred_train.export import lean, macs, model_file
from genred_train.export.step import Step
from genred_train.front_end import frames_in
from genred_train.materials import Crops
from genred_train.passages import Passages
from genred_train.report import folder as report
from genred_train.report.recorder import Recorder
from genred_train.teacher import panel
from genred_train.team import Team
from genred_train.training import Epoch, Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genred_train.console import Console
    from genred_train.data.corpus import Corpus
    from genred_train.networks.base import Network
    from genred_train.recipe import Recipe
    from genred_train.scoring import Windows

# The export is verified on so many clips of each label, each this many windows long.
_VERIFIED_PER_LABEL = 2
_VERIFIED_WINDOWS = 3

# Where in a run's folder what was learnt in the end has checkpoints of its own.
SETTLING = "settling"

# Above so many multiply-adds of the network, some seconds of one core, clips are verified on two
# windows each; above the second, a minute or two, on fewer clips.
_MACS_FOR_SECONDS = 2e10
_MACS_FOR_MINUTES = 5e11

_PACKAGES = ("genred", "torch", "torchaudio", "onnx", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the recipe."""

    data: Path
    out: Path
    cache: Path
    device: str = "auto"
    threads: int | None = None
    resume: bool = False
    init_from: Path | None = None
    minutes: float | None = None
    """No epoch begins after so long; the best until then is exported."""
    teachers: tuple[Path, ...] = ()
    """See :mod:`~genred_train.teacher.panel`; recipes that train on passages learn from them."""
    unlabelled: Path | None = None
    """More recordings, of which the teacher alone speaks."""
    folds: Path | None = None
    """Where the recipe was cross-validated: calibrates a run that learns from its validation
    split."""


def train(
    recipe: Recipe, options: Options, console: Console, team: Team | None = None
) -> dict[str, Any]:
    """Carry out a recipe; returns what stands in ``metrics.json``.

    Of a ``team`` of processes, the first one judges, exports and writes; the others return
    nothing.

    Writes ``model.onnx``, ``metrics.json``, ``MODEL_CARD.md``, ``history.csv``,
    ``training.log``, TensorBoard's events, ``best.pt``, ``last.pt`` and all that
    :mod:`genred_train.report.folder` makes of them into ``options.out``. Raises
    :class:`~genred.errors.GenredError` with one clear line for anything that people can mend.
    """
    team = team or Team()
    device = choose_device(options.device)
    settle(recipe.training.seed, options.threads)
    began = time.monotonic()
    corpus = corpora.load(
        recipe, options.data, options.cache, console, unlabelled=options.unlabelled
    )
    _announce(corpus, console)
    prepared = time.monotonic() - began
    folder = options.out
    make(folder)
    with logged(console, folder, team):
        fitted = fit(recipe, corpus, folder, device, console, options, team)
    if not team.leads:
        return {}
    trainer, temperature = fitted.trainer, fitted.temperature
    material = trainer.material
    assert isinstance(material, Crops)
    metadata, differences = export(
        recipe, corpus, fitted.network, temperature, folder / "model.onnx"
    )
    metrics: dict[str, Any] = {
        "name": recipe.name,
        "created": metadata.training.created,
        "seed": recipe.training.seed,
        "published": [each.model_dump() for each in recipe.published],
        "versions": metadata.training.versions,
        "data": describe(corpus),
        "model": _model_facts(metadata, folder / "model.onnx"),
        "training": training_facts(trainer, fitted.seconds, prepared),
        "teachers": _taught_by(recipe, options),
        "calibration": {
            "temperature": temperature,
            "by": fitted.calibrated_by,
            "shifts": dict(zip(corpus.label_names, fitted.shifts, strict=True)),
        },
        "export_difference": differences,
    }
    # The test split is read here, once, when nothing is left to choose.
    for split in SPLITS:
        if split in recipe.training.learns:
            continue  # what was learnt from says nothing of how good it is
        metrics[split] = _judge(material, fitted.network, corpus.of(split), temperature)
        if isinstance(material, Passages):
            metrics[f"{split}_second"] = metrics[split]
            metrics[split] = _judge_remembered(
                material, fitted.network, corpus.of(split), temperature
            )
    write(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    write(folder / "MODEL_CARD.md", card.write(metrics, recipe))
    report.write_all(folder, report.Finished(recipe, corpus, metadata, metrics, trainer.history))
    return metrics


def _taught_by(recipe: Recipe, options: Options) -> dict[str, str]:
    """The beginning of the SHA-256 of each teacher's file by its name."""
    return panel.provenance(options.teachers) if recipe.airing.seconds and options.teachers else {}


def training_facts(trainer: Trainer, seconds: float, prepared: float) -> dict[str, Any]:
    """How the training went."""
    training = trainer.recipe.training
    return {
        "device": trainer.device.type,
        "processes": trainer.team.size,
        "members": training.members,
        "epochs": len(trainer.history),
        "epochs_planned": training.epochs,
        "stopped": trainer.stopped,
        "best_epoch": trainer.best_epoch.epoch if trainer.best_epoch else 0,
        "selected_by": training.select,
        "crops_per_epoch": trainer.material.batches * training.batch_size,
        "preparation_seconds": round(prepared, 1),
        "seconds": round(seconds, 1),
        "settling": trainer.recipe.settling.model_dump(mode="json"),
    }


def logged(console: Console, folder: Path, team: Team) -> AbstractContextManager[None]:
    """Keep the notes of the process that leads in ``training.log``."""
    return console.logged(folder / "training.log") if team.leads else nullcontext()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network with the weights of its best epoch, and its temperature."""

    network: Network
    temperature: float
    trainer: Trainer
    """Of the first member, where there are several."""
    seconds: float
    calibrated_by: str = "validation"
    shifts: Sequence[float] = ()
    """What was added to its logits in calibrating, ``[labels]``."""


def fit(
    recipe: Recipe,
    data: Corpus | Arrays,
    folder: Path,
    device: torch.device,
    console: Console,
    options: Options | None = None,
    team: Team | None = None,
) -> Fitted:
    """Train on what is learnt from of a corpus or of arrays, and calibrate.

    On the validation split, or where that is learnt from too on the answers of cross-validation.
    Writes ``best.pt``, ``last.pt``, ``history.csv`` and TensorBoard's events into ``folder``, of
    several members into a folder ``member-N`` there for each; of ``options`` count those about
    where to begin and when to stop.
    """
    team = team or Team()
    count = recipe.training.members
    learnt, seconds = [], 0.0
    for number in range(count):
        if count > 1:
            console.note(f"member {number + 1} of {count}")
        member = _Member(recipe.override(seed=recipe.training.seed + number), number, count)
        trainer, took = member.train(data, folder, device, console, options, team)
        learnt.append(trainer)
        seconds += took
    first = learnt[0]
    best = members.together([trainer.judged for trainer in learnt])
    correction, by = _calibrated(recipe, first, best, data, options)
    if correction.shifts.any():
        best.take_shifts(torch.from_numpy(correction.shifts))
    # From here on the network is what is written: folded, and rounded where that is small.
    network = (
        best if recipe.export.weights == "float32" else lean.rounded(best, recipe.export.weights)
    )
    return Fitted(network, correction.temperature, first, seconds, by, correction.shifts.tolist())


@dataclass(frozen=True, slots=True)
class _Member:
    """One of ``count`` networks, and the recipe with the seed that it has of its own."""

    recipe: Recipe
    number: int
    count: int

    def train(
        self,
        data: Corpus | Arrays,
        folder: Path,
        device: torch.device,
        console: Console,
        options: Options | None,
        team: Team,
    ) -> tuple[Trainer, float]:
        """Returns what trained it, to the end, and how many seconds that took."""
        recipe = self.recipe
        if self.count > 1:
            folder = beginnings.member(folder, self.number)
            make(folder)
        seeded(recipe.training.seed)
        network = build_network(recipe, len(data.labels), data)
        material = None
        if recipe.airing.seconds and not isinstance(data, Arrays) and options is not None:
            material = Passages(
                recipe, data, network.to(device), device, options.cache, options.teachers, console
            )
        trainer = Trainer(recipe, data, network, device, team, material)
        if options and options.minutes is not None:
            trainer.limit_s = 60.0 * options.minutes / self.count
        if options and options.init_from is not None:
            taken = trainer.take(beginnings.weights(options.init_from, self.number))
            console.note(f"began with {taken} tensors of {options.init_from}; the logits are new")
        last = folder / "last.pt"
        # Of several, those that had not begun begin now.
        if options and options.resume and (self.count == 1 or last.exists()):
            trainer.resume(last)
            console.note(f"resumed after epoch {len(trainer.history)}")
        with Recorder(folder) as recorder:

            def told(epoch: Epoch) -> None:
                if team.leads:
                    _tell(epoch, recipe, console)
                    recorder.epoch(trainer.history)

            trainer.fit(folder, told)
        if trainer.stopped:
            console.note(f"stopped after epoch {len(trainer.history)}: {trainer.stopped}")
        seconds = sum(epoch.seconds for epoch in trainer.history)
        if material is not None and recipe.settling.epochs and not trainer.stopped:
            seconds += _settle(trainer, material, folder, console)
        return trainer, seconds


def _settle(trainer: Trainer, material: Passages, folder: Path, console: Console) -> float:
    """Have what remembers learn on, by the recipe's ``[settling]``; returns the seconds it took."""
    longer = material.settled()
    recipe = longer.recipe
    later = Trainer(recipe, trainer.corpus, trainer.judged, trainer.device, trainer.team, longer)
    later.go_on()
    apart = folder / SETTLING
    make(apart)

    def told(epoch: Epoch) -> None:
        if trainer.team.leads:
            _tell(epoch, recipe, console)

    console.note(f"remembering learns on, from passages of {recipe.airing.seconds:g} s")
    later.fit(apart, told)
    trainer.take_over(later, folder)
    return sum(epoch.seconds for epoch in later.history)


def _calibrated(
    recipe: Recipe,
    trainer: Trainer,
    network: Network,
    data: Corpus | Arrays,
    options: Options | None,
) -> tuple[Correction, str]:
    """What makes the network as sure as it is right, and by what it was found.

    A validation split is too small to say which labels are said too readily.
    """
    none = np.zeros(len(data.labels), np.float32)
    if not recipe.training.learn_validation:
        answers, truth, _ = trainer.material.validate(network, trainer.team)
        return Correction(none, fit_temperature(answers, truth)), "validation"
    if options is None or options.folds is None or isinstance(data, Arrays):
        return Correction(none, 1.0), "nothing"
    from genred_train.evaluation import folds

    return folds.correction(recipe, data, options.folds), "cross-validation"


def make(folder: Path) -> None:
    """Make the folder of a run. Raises :class:`OutputError` if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make {folder}: {error.strerror}", "choose another --out"
        ) from None


def choose_device(wanted: str) -> torch.device:
    """``cpu``, ``cuda`` or ``auto``. Raises :class:`UnavailableError` if it is not there."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UnavailableError("there is no CUDA device", "use --device cpu or --device auto")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def settle(seed: int, threads: int | None) -> None:
    """Seed all generators, ask for deterministic arithmetic, set the number of CPU threads."""
    # cuBLAS is only deterministic with a workspace of its own; it must be set before its start.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    seeded(seed)


def seeded(seed: int) -> None:
    """Seed all generators."""
    random.seed(seed)
    torch.manual_seed(seed)


def build_network(recipe: Recipe, labels: int, data: Corpus | Arrays | None = None) -> Network:
    """Make the recipe's network for its window and front end, or for the rows of arrays."""
    options = dict(recipe.network.options)
    n_mels, frames = recipe.front_end.n_mels, frames_in(recipe.audio.window, recipe.front_end)
    if isinstance(data, Arrays):
        n_mels, frames = data.width, 1
        options["input"] = "statistics"
    network = networks.build(
        recipe.network.name, options, n_mels=n_mels, frames=frames, labels=labels
    )
    network.take_caution(recipe.training.caution)
    known = data.labels if data is not None else recipe.data.labels
    if len(known) == labels:
        kinds = [*Kind]
        network.take_kinds([kinds.index(each.kind) for each in known])
    return network


def export(
    recipe: Recipe, corpus: Corpus, network: Network, temperature: float, path: Path
) -> tuple[ModelMetadata, dict[str, float]]:
    """Write the model file and hold it against PyTorch on clips of every label.

    Returns its metadata and the largest differences found.
    """
    network = network.cpu().eval()
    step = Step(network, recipe.front_end, recipe.audio.sample_rate, recipe.audio.hop)
    graph = model_file.build_graph(step)
    cost = macs.count(graph)
    metadata = ModelMetadata(
        name=recipe.name,
        sample_rate=recipe.audio.sample_rate,
        hop=recipe.audio.hop,
        window=recipe.audio.window,
        state_size=step.state_size,
        front_end=recipe.front_end,
        labels=corpus.labels,
        calibration=Calibration(temperature=temperature),
        network=NetworkMetadata(
            name=recipe.network.name,
            parameters=sum(p.numel() for p in network.parameters()),
            network_macs_per_step=cost.network,
            front_end_macs_per_step=cost.front_end,
        ),
        training=TrainingMetadata(
            data_fingerprint=corpus.fingerprint,
            recipe=recipe.model_dump_json(),
            seed=recipe.training.seed,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={name: version(name) for name in _PACKAGES},
            notes=recipe.card.notes,
            heard=Heard.of(corpus).pack(),
        ),
        license=recipe.card.license,
        short=recipe.audio.short,
    )
    model_file.write(graph, metadata, path)
    return metadata, model_file.verify(path, network, metadata, _verified(corpus, metadata))


def _verified(corpus: Corpus, metadata: ModelMetadata) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Clips to verify an export on: of every label, but of a heavy network as many as can be."""
    length = metadata.window * _VERIFIED_WINDOWS
    macs = metadata.network.network_macs_per_step
    if macs * (length // metadata.hop) * len(metadata.labels) > _MACS_FOR_SECONDS:
        # The first whole window, and one whose beginning is not the recording's.
        length = (-(-metadata.window // metadata.hop) + 1) * metadata.hop
    clips = real_clips(corpus, length)
    many = max(2, int(_MACS_FOR_MINUTES // max(1, macs * (length // metadata.hop))))
    return clips[:: max(1, -(-len(clips) // many))]


def real_clips(corpus: Corpus, length: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Take ``[clips, length]`` from clips of every label, scored ones first."""
    taken: defaultdict[int, list[Any]] = defaultdict(list)
    order = sorted(range(len(corpus.entries)), key=lambda n: not corpus.entries[n].scored)
    for position in order:
        label = corpus.entries[position].label
        if len(taken[label]) < _VERIFIED_PER_LABEL:
            samples = corpus.audio(position)
            start = max(0, (samples.size - length) // 2)
            taken[label].append(np.resize(samples[start:], length))
    stacked = np.stack([clip for clips in taken.values() for clip in clips])
    return stacked.astype(np.float32) / np.float32(32768)


def describe(corpus: Corpus) -> dict[str, Any]:
    """What the data was: by split and label, and by data set and licence."""
    by_split: dict[str, Any] = {}
    rate = corpus.sample_rate
    for split in SPLITS:
        rows = []
        for number, label in enumerate(corpus.label_names):
            members = [e for e in corpus.entries if e.split == split and e.label == number]
            rows.append(
                {
                    "label": label,
                    "clips": len(members),
                    "groups": len({e.group for e in members}),
                    "hours": round(sum(e.stored.length for e in members) / rate / 3600, 3),
                    "scored_groups": len({e.group for e in members if e.scored}),
                }
            )
        by_split[split] = rows
    sets: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
    for entry in (*corpus.entries, *corpus.unlabelled):
        key = (entry.clip.dataset, entry.clip.license, entry.scored)
        sets[key].append(entry.stored.length)
    datasets = [
        {
            "dataset": dataset,
            "license": licence,
            "scored": scored,
            "clips": len(lengths),
            "hours": round(sum(lengths) / rate / 3600, 3),
        }
        for (dataset, licence, scored), lengths in sorted(sets.items())
    ]
    return {
        "fingerprint": corpus.fingerprint,
        "labels": [label.model_dump(mode="json") for label in corpus.labels],
        "by_split": by_split,
        "datasets": datasets,
        "unlabelled": {
            "clips": len(corpus.unlabelled),
            "hours": round(sum(e.stored.length for e in corpus.unlabelled) / rate / 3600, 3),
        },
        "unusable": [{"file": str(u.path.name), "reason": u.reason} for u in corpus.unusable],
    }


def _judge(
    material: Crops, network: Network, positions: list[int], temperature: float
) -> dict[str, Any]:
    corpus, recipe = material.corpus, material.recipe
    network.to(material.device)
    # Windows side by side: each second is scored once.
    chosen = scoring.windows(corpus, positions, material.reach, recipe.audio.window)
    return _figures(material, chosen, material.logits(network, chosen), temperature)


def _judge_remembered(
    material: Passages, network: Network, positions: list[int], temperature: float
) -> dict[str, Any]:
    """The same windows, each with what was remembered of its recording until then."""
    window = material.recipe.audio.window
    network.to(material.device)
    chosen = scoring.windows(material.corpus, positions, window, window)
    return _figures(material, chosen, material.remembered(network, chosen), temperature)


def _figures(
    material: Crops, chosen: Windows, answers: NDArray[np.float32], temperature: float
) -> dict[str, Any]:
    corpus, recipe = material.corpus, material.recipe
    scored = scoring.scored(answers, chosen, temperature)
    tracks = judging.by_track(scored, chosen.positions)
    kinds = [label.kind.value for label in corpus.labels]
    seed = recipe.training.seed
    return {
        "window": judging.judge(scored, kinds, seed),
        "track": judging.judge(tracks, kinds, seed),
    }


def _announce(corpus: Corpus, console: Console) -> None:
    hours = sum(entry.stored.length for entry in corpus.entries) / corpus.sample_rate / 3600
    sizes = ", ".join(f"{len(corpus.of(split))} {split}" for split in SPLITS)
    console.note(
        f"{len(corpus.entries)} clips ({sizes}), {hours:.2f} h, {len(corpus.labels)} labels, "
        f"data {corpus.fingerprint[:12]}"
    )
    heard: defaultdict[int, int] = defaultdict(int)
    for position in corpus.of("train"):
        heard[corpus.entries[position].label] += corpus.entries[position].stored.length
    least, most = min(heard, key=heard.__getitem__), max(heard, key=heard.__getitem__)
    names, minute = corpus.label_names, 60 * corpus.sample_rate
    console.note(
        f"to train on: from {heard[least] / minute:.0f} min of {names[least]} to "
        f"{heard[most] / minute:.0f} min of {names[most]}; every label is drawn alike"
    )


def _tell(epoch: Epoch, recipe: Recipe, console: Console) -> None:
    console.note(
        f"epoch {epoch.epoch:3}/{recipe.training.epochs}  train loss {epoch.train_loss:.3f}  "
        f"val loss {epoch.val_loss:.3f}  accuracy {epoch.val_accuracy:.3f}  "
        f"macro F1 {epoch.val_macro_f1:.3f}  {epoch.seconds:.1f} s"
    )


def _model_facts(metadata: ModelMetadata, path: Path) -> dict[str, Any]:
    return {
        "bytes": path.stat().st_size,
        "parameters": metadata.network.parameters,
        "network": metadata.network.name,
        "network_macs_per_step": metadata.network.network_macs_per_step,
        "front_end_macs_per_step": metadata.network.front_end_macs_per_step,
        "macs_per_second": metadata.macs_per_second,
        "decisions_per_second": metadata.decisions_per_second,
        "window_seconds": metadata.window / metadata.sample_rate,
        "sample_rate": metadata.sample_rate,
        "license": metadata.license,
    }


def write(path: Path, text: str) -> None:
    """Write ``text``. Raises :class:`OutputError` if that cannot be done."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None
