"""The one loop that trains every network."""

from __future__ import annotations

import copy
import math
import pickle
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genred.errors import InputError, InternalError, OutputError
from genred_train import judging, scoring
from genred_train.augmentation import Augmenter
from genred_train.calibration import negative_log_likelihood
from genred_train.front_end import LogMel
from genred_train.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genred_train.data.corpus import Corpus
    from genred_train.networks.base import Network
    from genred_train.recipe import Recipe

# Crops from which each band's mean and deviation are measured.
_NORMALISATION_CROPS = 1024

# Gradients longer than this are shortened, against the odd batch that would undo an epoch.
_LONGEST_GRADIENT = 5.0

# The step of the epoch's seed; a prime, so that neighbouring seeds share no epoch.
_SEED_STEP = 1_000_003

# What a recipe says and a run does not depend on.
_TOLD = {"card", "published"}


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of ``history.csv``."""

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    seconds: float


class Trainer:
    """Trains ``network`` on the training split and keeps the weights of its best epoch.

    Each epoch seeds all random draws anew from the recipe's seed and its own number, so that a
    run is the same again on the same machine.
    """

    def __init__(
        self, recipe: Recipe, corpus: Corpus, network: Network, device: torch.device
    ) -> None:
        self.recipe, self.corpus, self.device = recipe, corpus, device
        training, audio = recipe.training, recipe.audio
        self.network = network.to(device)
        self.transform = LogMel(recipe.front_end, audio.sample_rate).to(device)
        self.reach = (network.frames - 1) * recipe.front_end.hop_length + recipe.front_end.n_fft
        self.augmenter = Augmenter(recipe.augment, corpus.labels, audio.sample_rate, self.reach).to(
            device
        )
        self.batches = max(1, training.crops_per_epoch // training.batch_size)
        self.optimiser = _optimiser(recipe, network)
        self.schedule = _schedule(recipe, self.optimiser, self.batches * training.epochs)
        self.average = copy.deepcopy(network) if training.average else None
        self.updates = 0
        self.validation = scoring.windows(
            corpus, corpus.of("val"), self.reach, audio.window, training.val_windows
        )
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch: Epoch | None = None

    @property
    def judged(self) -> Network:
        """The network that is judged and exported: the average where there is one."""
        return self.average or self.network

    def fit(self, folder: Path, progress: Callable[[Epoch], None]) -> Network:
        """Train; returns the network with the weights of its best epoch.

        Writes ``best.pt`` and ``last.pt`` into ``folder``. Raises :class:`InternalError` if the
        loss is no longer a number.
        """
        if not self.history:
            self._measure()
        for number in range(len(self.history) + 1, self.recipe.training.epochs + 1):
            if self._given_up():
                break
            epoch = self._epoch(number)
            self.history.append(epoch)
            if self.best_epoch is None or epoch.val_macro_f1 > self.best_epoch.val_macro_f1:
                self.best_epoch = epoch
                self.best = {k: v.detach().clone() for k, v in self.judged.state_dict().items()}
                self._save(folder / "best.pt", {"network": self.best, "epoch": asdict(epoch)})
            self._save(folder / "last.pt", self._state(epoch))
            progress(epoch)
        self.judged.load_state_dict(self.best)
        return self.judged.eval()

    def resume(self, path: Path) -> None:
        """Go on after the last whole epoch of a run that ended early.

        ``path`` is its ``last.pt``. Raises :class:`InputError` if that is no such file, or if
        the data or the recipe (but for its card) are not those of that run.
        """
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            fingerprint, recipe = state["fingerprint"], state["recipe"]
        except FileNotFoundError:
            raise InputError(
                f"there is no {path} to resume from", "run without --resume to begin"
            ) from None
        except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no checkpoint of a run: {str(error).splitlines()[0]}",
                "run without --resume to begin anew",
            ) from None
        if fingerprint != self.corpus.fingerprint:
            raise InputError(
                f"{path} was trained on other data", "resume with the same --data and recipe"
            )
        mine = self.recipe.model_dump(mode="json")
        other = [name for name in mine if name not in _TOLD and mine[name] != recipe.get(name)]
        if other:
            raise InputError(
                f"{path} was trained with another [{other[0]}] in its recipe",
                "resume with the recipe it began with",
            )
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.updates = state["updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.best = state["best"]
        self.history = [Epoch(**line) for line in state["history"]]
        self.best_epoch = max(self.history, key=lambda epoch: epoch.val_macro_f1)

    def _given_up(self) -> bool:
        patience = self.recipe.training.patience
        if not (patience and self.best_epoch):
            return False
        return len(self.history) - self.best_epoch.epoch >= patience

    def _epoch(self, number: int) -> Epoch:
        began = time.monotonic()
        training = self.recipe.training
        seed = training.seed * _SEED_STEP + number
        torch.manual_seed(seed)
        sampler = Sampler(self.corpus, training, self.augmenter.crop, seed)
        self.network.train()
        total = 0.0
        for _ in range(self.batches):
            total += self._step(*sampler.draw(training.batch_size))
        loss = total / self.batches
        if not math.isfinite(loss):
            raise InternalError(
                f"the loss of epoch {number} is {loss}", "lower training.learning_rate"
            )
        answers = scoring.logits(
            self.judged, self.transform, self.corpus, self.validation, self.device
        )
        scored = scoring.scored(answers, self.validation, 1.0)
        return Epoch(
            epoch=number,
            learning_rate=self.optimiser.param_groups[0]["lr"],
            train_loss=loss,
            val_loss=negative_log_likelihood(answers, self.validation.labels, 1.0),
            val_accuracy=float((scored.guesses == scored.truth).mean()),
            val_macro_f1=judging.macro_f1(scored),
            seconds=time.monotonic() - began,
        )

    def _step(self, crops: Any, labels: Any) -> float:
        with torch.no_grad():
            audio, soft = self.augmenter(
                torch.from_numpy(crops).to(self.device), torch.from_numpy(labels).to(self.device)
            )
            logmel = self.augmenter.mask(self.transform(audio))
        loss = nn.functional.cross_entropy(
            self.network(logmel), soft, label_smoothing=self.recipe.training.label_smoothing
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(self.network.parameters(), _LONGEST_GRADIENT)
        self.optimiser.step()
        self.schedule.step()
        self._follow()
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average a little towards the weights; faster while there are few updates."""
        if self.average is None:
            return
        self.updates += 1
        keep = min(self.recipe.training.average, (1 + self.updates) / (10 + self.updates))
        theirs = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - keep)
            else:
                value.copy_(theirs[name])

    @torch.no_grad()
    def _measure(self) -> None:
        """Measure each band's mean and deviation on crops as they are trained on."""
        training = self.recipe.training
        torch.manual_seed(training.seed)
        sampler = Sampler(self.corpus, training, self.augmenter.crop, training.seed)
        frames = []
        for _ in range(math.ceil(_NORMALISATION_CROPS / training.batch_size)):
            crops, labels = sampler.draw(training.batch_size)
            audio, _ = self.augmenter(
                torch.from_numpy(crops).to(self.device), torch.from_numpy(labels).to(self.device)
            )
            frames.append(self.transform(audio))
        logmel = torch.cat(frames)
        mean, deviation = logmel.mean(dim=(0, 2)), logmel.std(dim=(0, 2))
        self.network.set_normalisation(mean, deviation)
        if self.average is not None:
            self.average.set_normalisation(mean, deviation)

    def _state(self, epoch: Epoch) -> dict[str, Any]:
        return {
            "epoch": asdict(epoch),
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "updates": self.updates,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "history": [asdict(line) for line in self.history],
            "recipe": self.recipe.model_dump(mode="json"),
            "fingerprint": self.corpus.fingerprint,
        }

    def _save(self, path: Path, state: dict[str, Any]) -> None:
        """Write a checkpoint beside the old one, then put it in its place."""
        beside = path.with_suffix(".new")
        try:
            torch.save(state, beside)
            beside.replace(path)
        except (OSError, RuntimeError) as error:
            beside.unlink(missing_ok=True)
            raise OutputError(f"cannot write {path}: {error}", "make room on that disk") from None


def _optimiser(recipe: Recipe, network: Network) -> torch.optim.Optimizer:
    training = recipe.training
    # Biases and batch normalisation have one dimension; decaying them only harms.
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match training.optimiser:
        case "adamw":
            return torch.optim.AdamW(groups, lr=training.learning_rate)
        case "adam":
            return torch.optim.Adam(groups, lr=training.learning_rate)
        case "sgd":
            return torch.optim.SGD(groups, lr=training.learning_rate, momentum=training.momentum)


def _schedule(
    recipe: Recipe, optimiser: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    training = recipe.training
    match training.schedule:
        case "cosine":
            # Up over the first tenth, then down to nothing as a cosine.
            def factor(step: int) -> float:
                rise = max(1, steps // 10)
                if step < rise:
                    return (step + 1) / rise
                return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, steps - rise))
        case "step":
            every = training.step_epochs * max(1, steps // training.epochs)

            def factor(step: int) -> float:
                return float(training.step_factor ** (step // every))
        case "constant":

            def factor(step: int) -> float:  # noqa: ARG001 - one signature for all
                return 1.0

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
