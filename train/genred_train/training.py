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
from genred_train import judging
from genred_train.calibration import negative_log_likelihood
from genred_train.data.arrays import Arrays
from genred_train.materials import Crops, Material, Rows
from genred_train.networks.base import Remembers
from genred_train.precision import multiplies_bfloat16
from genred_train.team import Team

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from genred_train.data.corpus import Corpus
    from genred_train.networks.base import Network
    from genred_train.recipe import Recipe

# The step of the epoch's seed; a prime, so that neighbouring seeds share no epoch.
_SEED_STEP = 1_000_003

# Processes of one run augment differently.
_RANK_STEP = 7919

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
    run is the same again on the same machine. Several processes, a :class:`Team`, may train one
    network; only the first of them writes files.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Corpus | Arrays,
        network: Network,
        device: torch.device,
        team: Team | None = None,
        material: Material | None = None,
    ) -> None:
        self.recipe, self.corpus, self.device = recipe, data, device
        self.team = team or Team()
        self.network = network.to(device)
        wanted = recipe.training.precision == "bfloat16"
        self.halved = wanted and multiplies_bfloat16(device)
        if wanted:
            # The layout in which such convolutions are fastest, on CPUs and on GPUs; and no slower
            # in 32 bits.
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.material: Material = material or (
            Rows(recipe, data, device)
            if isinstance(data, Arrays)
            else Crops(recipe, data, network, device)
        )
        self.pupil = self.material.pupil(self.network).to(device)
        self.optimiser = _optimiser(recipe, self.pupil)
        self.schedule = _schedule(
            recipe, self.optimiser, self.material.batches * recipe.training.epochs
        )
        self.average = copy.deepcopy(network) if recipe.training.average else None
        self.given = False
        self.limit_s = math.inf
        self.stopped = ""
        self.updates = 0
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch: Epoch | None = None

    @property
    def judged(self) -> Network:
        """The network that is judged and exported: the average where there is one."""
        return self.average or self.network

    def fit(self, folder: Path, progress: Callable[[Epoch], None]) -> Network:
        """Train; returns the network with the weights of its best epoch.

        Writes ``best.pt`` and ``last.pt`` into ``folder``, and ``epoch-NNN.pt`` where snapshots
        are asked for. Raises :class:`InternalError` if the loss is no longer a number; the
        checkpoints of the epoch before are left as they are.
        """
        if self.network.wants_normalisation and not (self.history or self.given):
            self._measure()
        for number in range(len(self.history) + 1, self.recipe.training.epochs + 1):
            if self._given_up():
                break
            epoch = self._epoch(number)
            self.history.append(epoch)
            weights = {k: v.detach().clone() for k, v in self.judged.state_dict().items()}
            if self.best_epoch is None or self._merit(epoch) > self._merit(self.best_epoch):
                self.best_epoch, self.best = epoch, weights
                self._save(folder / "best.pt", {"network": self.best, "epoch": asdict(epoch)})
            if self.recipe.training.snapshots:
                snapshot = folder / f"epoch-{epoch.epoch:03}.pt"
                self._save(snapshot, {"network": weights, "epoch": asdict(epoch)})
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
            fingerprint = state["fingerprint"]
            # Through the model, so that a key that is newer than the run has its default.
            then = type(self.recipe).model_validate(state["recipe"]).model_dump(mode="json")
        except FileNotFoundError:
            raise InputError(
                f"there is no {path} to resume from", "run without --resume to begin"
            ) from None
        except (
            OSError,
            RuntimeError,
            pickle.UnpicklingError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise InputError(
                f"{path} is no checkpoint of a run: {str(error).splitlines()[0]}",
                "run without --resume to begin anew",
            ) from None
        if fingerprint != self.corpus.fingerprint:
            raise InputError(
                f"{path} was trained on other data", "resume with the same --data and recipe"
            )
        if state.get("besides", self.material.besides) != self.material.besides:
            raise InputError(
                f"{path} learnt from another teacher, or from other music without labels",
                "resume with the same --teacher and --unlabelled",
            )
        mine = self.recipe.model_dump(mode="json")
        other = [name for name in mine if name not in _TOLD and mine[name] != then.get(name)]
        if other:
            raise InputError(
                f"{path} was trained with another [{other[0]}] in its recipe",
                "resume with the recipe it began with",
            )
        self.network.load_state_dict(state["network"])
        if state.get("pupil") is not None:
            self.pupil.load_state_dict(state["pupil"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.updates = state["updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.best = state["best"]
        self.history = [Epoch(**line) for line in state["history"]]
        self.best_epoch = max(self.history, key=self._merit)

    def go_on(self) -> None:
        """Begin with the network as it is, its normalisation too, and not with a new one."""
        self.given = True

    def take_over(self, later: Trainer, folder: Path) -> None:
        """Take the weights of a training that went on from this one's, and keep them as the best.

        Raises :class:`OutputError` if ``best.pt`` in ``folder`` cannot be written.
        """
        assert later.best_epoch is not None
        self.judged.load_state_dict(later.judged.state_dict())
        self._save(folder / "best.pt", {"network": later.best, "epoch": asdict(later.best_epoch)})

    def take(self, weights: Mapping[str, Tensor]) -> int:
        """Begin with another network's ``weights``, but for what is of its labels.

        Returns how many tensors were taken. Raises :class:`InputError` if they are not those of
        a network of this kind.
        """
        labels = self.network.of_labels
        mine = self.network.state_dict()
        body = self.network.body(weights)
        strange = [
            name
            for name, value in mine.items()
            if not name.startswith(labels) and (name not in body or body[name].shape != value.shape)
        ]
        if strange or len(body) > len(mine):
            raise InputError(
                f"those weights are not of a network {self.recipe.network.name!r} like the "
                f"recipe's: {strange[0] if strange else 'they are of a larger one'}",
                "begin with a run of the same [network], window and front end",
            )
        self.network.load_state_dict(body, strict=False)
        if self.average is not None:
            self.average.load_state_dict(self.network.state_dict())
        self.given = True
        return len(body)

    def _merit(self, epoch: Epoch) -> float:
        match self.recipe.training.select:
            case "accuracy":
                return epoch.val_accuracy
            case "macro_f1":
                return epoch.val_macro_f1
            case "last":
                return float(epoch.epoch)

    def _given_up(self) -> bool:
        patience = self.recipe.training.patience
        if self.history and sum(epoch.seconds for epoch in self.history) >= self.limit_s:
            self.stopped = "its time was up"
        elif patience and self.best_epoch and len(self.history) - self.best_epoch.epoch >= patience:
            self.stopped = f"{patience} epochs brought nothing better"
        return bool(self.stopped)

    def _epoch(self, number: int) -> Epoch:
        began = time.monotonic()
        training, team = self.recipe.training, self.team
        seed = training.seed * _SEED_STEP + number
        torch.manual_seed(seed + _RANK_STEP * team.rank)
        self._set_training(number)
        called = team.wrap(self.pupil, self.device)
        total = 0.0
        for batch, given in enumerate(self.material.epoch(seed, team), start=1):
            loss = self.step(called, *given)
            if not math.isfinite(loss):
                kept = f"; the checkpoints of epoch {number - 1} are kept" if number > 1 else ""
                raise InternalError(
                    f"the loss of epoch {number}, batch {batch} of {self.material.batches} is "
                    f"{loss}{kept}",
                    f"lower training.learning_rate, now {training.learning_rate:g}, or begin with "
                    "another training.seed",
                )
            total += loss
        team.align(self.judged)
        answers, truth, groups = self.material.validate(self.judged, team)
        scored = judging.Scored(judging.softmax(answers), truth, groups)
        return Epoch(
            epoch=number,
            learning_rate=self.optimiser.param_groups[0]["lr"],
            train_loss=team.mean(total / self.material.batches),
            val_loss=negative_log_likelihood(answers, truth, 1.0),
            val_accuracy=float((scored.guesses == scored.truth).mean()),
            val_macro_f1=judging.macro_f1(scored),
            seconds=team.mean(time.monotonic() - began),
        )

    def _set_training(self, number: int) -> None:
        """Put the network into training, or but for its last layers to rest while it is frozen."""
        freeze, network = self.recipe.training.freeze, self.network
        hearing = freeze == "hearing"
        frozen = hearing or freeze is True or number <= int(freeze)
        learning = [network.logits_layer]
        if hearing and isinstance(network, Remembers):
            learning += network.memory_layers
        network.requires_grad_(not frozen)
        network.train(not frozen)
        for name in learning:
            network.get_submodule(name).requires_grad_(requires_grad=True).train()

    def step(self, called: Callable[[Tensor], Any], inputs: Tensor, wanted: Any) -> float:
        """Learn from one batch, through ``called``, the pupil; returns the loss."""
        training = self.recipe.training
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halved):
            answers = called(inputs)
        loss = self.material.loss(answers, wanted)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if training.clip_gradient:
            nn.utils.clip_grad_norm_(self.pupil.parameters(), training.clip_gradient)
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
        """Measure mean and deviation of what the network standardises."""
        torch.manual_seed(self.recipe.training.seed)
        mean, deviation = self.material.measure(self.network)
        self.network.set_normalisation(mean, deviation)
        if self.average is not None:
            self.average.set_normalisation(mean, deviation)

    def _state(self, epoch: Epoch) -> dict[str, Any]:
        return {
            "epoch": asdict(epoch),
            "network": self.network.state_dict(),
            "pupil": self.pupil.state_dict() if self.pupil is not self.network else None,
            "average": self.average.state_dict() if self.average else None,
            "updates": self.updates,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "history": [asdict(line) for line in self.history],
            "recipe": self.recipe.model_dump(mode="json"),
            "fingerprint": self.corpus.fingerprint,
            "besides": self.material.besides,
        }

    def _save(self, path: Path, state: dict[str, Any]) -> None:
        """Write a checkpoint beside the old one, then put it in its place."""
        if not self.team.leads:
            return
        beside = path.with_suffix(".new")
        try:
            torch.save(state, beside)
            beside.replace(path)
        except (OSError, RuntimeError) as error:
            beside.unlink(missing_ok=True)
            raise OutputError(f"cannot write {path}: {error}", "make room on that disk") from None


def _optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
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
