"""What the loop trains on: batches to learn from and windows to judge by, of audio or of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from genred_train import scoring
from genred_train.augmentation import Augmenter
from genred_train.front_end import LogMel
from genred_train.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from genred_train.data.arrays import Arrays
    from genred_train.data.corpus import Corpus
    from genred_train.networks.base import Network
    from genred_train.recipe import Recipe
    from genred_train.scoring import Windows
    from genred_train.team import Team

# Crops from which each band's mean and deviation are measured; fewer where they are long.
_NORMALISATION_CROPS = 1024
_NORMALISATION_SECONDS = 2048.0


class Material(Protocol):
    """What :class:`~genred_train.training.Trainer` asks for."""

    fingerprint: str

    besides: str
    """Tells apart what is learnt from besides the data; empty of nothing."""

    @property
    def batches(self) -> int:
        """How many make an epoch."""

    def epoch(self, seed: int, team: Team) -> Iterator[tuple[Tensor, Any]]:
        """The process's share of each batch: inputs, and what :meth:`loss` wants of them."""

    def pupil(self, network: Network) -> nn.Module:
        """What is called in training: the network, or it with what only helps it to learn."""

    def loss(self, answers: Any, wanted: Any) -> Tensor:
        """How wrong the pupil's answers are."""

    def measure(self, network: Network) -> tuple[Tensor, Tensor]:
        """Mean and deviation of what the network standardises, over training inputs."""

    def validate(
        self, network: Network, team: Team
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Logits ``[items, labels]`` of the validation split, with their truth and group."""


class Crops:
    """Random crops of a corpus, augmented and transformed on the device."""

    def __init__(
        self, recipe: Recipe, corpus: Corpus, network: Network, device: torch.device
    ) -> None:
        self.recipe, self.corpus, self.device = recipe, corpus, device
        training, audio = recipe.training, recipe.audio
        self.fingerprint, self.besides = corpus.fingerprint, ""
        self.transform = LogMel(recipe.front_end, audio.sample_rate).to(device)
        self.reach = (network.frames - 1) * recipe.front_end.hop_length + recipe.front_end.n_fft
        self.augmenter = Augmenter(recipe.augment, corpus.labels, audio.sample_rate, self.reach).to(
            device
        )
        self.validation = scoring.windows(
            corpus, corpus.of("val"), self.reach, audio.window, training.val_windows
        )

    @property
    def batches(self) -> int:
        """How many make an epoch."""
        training = self.recipe.training
        return max(1, training.crops_per_epoch // training.batch_size)

    def epoch(self, seed: int, team: Team) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw, augment and transform; masks are put on the spectrogram."""
        training = self.recipe.training
        sampler = Sampler(self.corpus, training, self.augmenter.crop, seed)
        for _ in range(self.batches):
            crops, labels = sampler.draw(training.batch_size)
            mine = slice(team.rank, None, team.size)
            with torch.no_grad():
                audio, soft = self._augmented(crops[mine], labels[mine])
                logmel = self.augmenter.mask(self.transform(audio))
            yield logmel, soft

    def pupil(self, network: Network) -> nn.Module:
        """The network itself."""
        return network

    def loss(self, answers: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy with label shares ``[batch, labels]``."""
        return cross_entropy(answers, wanted, self.recipe)

    def measure(self, network: Network) -> tuple[Tensor, Tensor]:
        """Mean and deviation over crops as they are trained on, without masks."""
        training = self.recipe.training
        sampler = Sampler(self.corpus, training, self.augmenter.crop, training.seed)
        seconds = self.reach / self.recipe.audio.sample_rate
        wanted = min(_NORMALISATION_CROPS, _NORMALISATION_SECONDS / seconds)
        seen = [
            network.normalised(
                self.transform(self._augmented(*sampler.draw(training.batch_size))[0])
            )
            for _ in range(math.ceil(wanted / training.batch_size))
        ]
        numbers = torch.cat(seen)
        return numbers.mean(dim=(0, 2)), numbers.std(dim=(0, 2))

    def validate(
        self, network: Network, team: Team
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Run the network over this process's share of the windows, and gather the others'."""
        mine = self.validation.every(team.size, team.rank)
        answers = team.woven(self.logits(network, mine))
        return answers, self.validation.labels, self.validation.groups

    def logits(self, network: nn.Module, windows: Windows) -> NDArray[np.float32]:
        """Logits ``[windows, labels]`` of any windows of the corpus."""
        return scoring.logits(network, self.transform, self.corpus, windows, self.device)

    def _augmented(self, crops: Any, labels: Any) -> tuple[Tensor, Tensor]:
        audio, soft = self.augmenter(
            torch.from_numpy(crops).to(self.device), torch.from_numpy(labels).to(self.device)
        )
        return audio, soft


def cross_entropy(logits: Tensor, shares: Tensor, recipe: Recipe) -> Tensor:
    """Mean cross-entropy of ``[items, labels]``, smoothed as the recipe says."""
    return nn.functional.cross_entropy(
        logits.float(), shares, label_smoothing=recipe.training.label_smoothing
    )


class Rows:
    """Rows of numbers that somebody else has made of recordings; each epoch sees each row once."""

    def __init__(self, recipe: Recipe, arrays: Arrays, device: torch.device) -> None:
        self.recipe, self.arrays, self.device = recipe, arrays, device
        self.fingerprint, self.besides = arrays.fingerprint, ""
        self.batch_size = recipe.training.batch_size
        train = arrays.splits["train"]
        self.inputs = torch.from_numpy(train.rows).to(device)[:, :, None]
        truth = torch.from_numpy(train.truth).to(device)
        self.soft = nn.functional.one_hot(truth, len(arrays.labels)).float()
        self.batches = math.ceil(len(train.truth) / self.batch_size)

    def epoch(self, seed: int, team: Team) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in random order."""
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(self.soft)))
        for batch in torch.tensor_split(
            order, tuple(range(self.batch_size, len(order), self.batch_size))
        ):
            mine = batch[team.rank :: team.size].to(self.device)
            yield self.inputs[mine], self.soft[mine]

    def pupil(self, network: Network) -> nn.Module:
        """The network itself."""
        return network

    def loss(self, answers: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy with label shares ``[batch, labels]``."""
        return cross_entropy(answers, wanted, self.recipe)

    def measure(self, network: Network) -> tuple[Tensor, Tensor]:
        """Mean and deviation over all training rows."""
        numbers = network.normalised(self.inputs)
        return numbers.mean(dim=(0, 2)), numbers.std(dim=(0, 2))

    def validate(
        self, network: Network, team: Team
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Logits of all validation rows; there are few enough for every process to run all."""
        del team
        split = self.arrays.splits["val"]
        return self.logits(network, "val"), split.truth, split.groups

    @torch.no_grad()
    def logits(self, network: nn.Module, split: str) -> NDArray[np.float32]:
        """Logits ``[rows, labels]`` of a split."""
        network.eval()
        rows = torch.from_numpy(self.arrays.splits[split].rows).to(self.device)
        answers: NDArray[np.float32] = network(rows[:, :, None]).cpu().numpy()
        return answers
