"""What a network that remembers is trained on: passages of radio, and a teacher's words on them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from genred.errors import ConfigError
from genred.labels import Kind
from genred_train import scoring
from genred_train.airing import Shape, Studio, Track
from genred_train.data import spectrograms
from genred_train.data.corpus import levels
from genred_train.data.synthetic import DATASET
from genred_train.front_end import band_centres
from genred_train.materials import Crops
from genred_train.networks.base import Listens, Remembers
from genred_train.sampling import Sampler
from genred_train.teacher import panel, yamnet, yardstick
from genred_train.teacher.lessons import Lessons

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genred_train.console import Console
    from genred_train.data.corpus import Corpus
    from genred_train.networks.base import Network
    from genred_train.recipe import Recipe
    from genred_train.team import Team

# Of recordings that no passage is made of the teacher hears the recording alone.
_PLAIN = (spectrograms.Picture(np.empty((0, 0), np.float16), 1.0),)

# Passages from which each band's mean and deviation are measured.
_NORMALISATION_PASSAGES = 96


@dataclass(frozen=True)
class Wanted:
    """What is to be said of a batch; see :class:`genred_train.airing.Batch`."""

    targets: Tensor
    weights: Tensor
    lessons: Tensor
    taught: Tensor


class Pupil(nn.Module):
    """The network in training: it also predicts what the teacher says of the last second.

    ``predicted`` numbers, the last of which may be opinions that the network tells itself.
    """

    def __init__(self, network: Network, hop: int, predicted: int) -> None:
        super().__init__()
        assert isinstance(network, Remembers)
        self.network, self.hop = network, hop
        rest = predicted - network.opinions
        self.view = nn.Linear(network.vector_size, rest) if predicted else None
        if self.view is not None:
            # Begin with the mean: 256 random guesses would drown the labels at first.
            nn.init.zeros_(self.view.weight)
            nn.init.zeros_(self.view.bias)

    def forward(self, logmel: Tensor) -> tuple[Tensor, Tensor | None]:
        """What learns labels, ``[batch, decisions, labels]``, and predictions of a teacher."""
        said = self.network.listen(logmel, self.hop)
        learning = (said.logits if said.known is None else said.known).float()
        if self.view is None:
            return learning, None
        view = self.view(said.vectors.float()).float()
        if said.opinions is not None:
            view = torch.cat([view, said.opinions], dim=-1)
        return learning, view


class Passages(Crops):
    """Passages of made-up radio; judged by what is remembered of whole recordings.

    Raises :class:`ConfigError` if the recipe's network does not remember.
    """

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        network: Network,
        device: torch.device,
        cache: Path,
        teachers: Sequence[Path],
        console: Console,
    ) -> None:
        if not isinstance(network, Remembers):
            raise ConfigError(
                f"airing.seconds is for networks that remember, and {recipe.network.name!r} does "
                "not",
                "set it to 0, or network.name to 'remembering'",
            )
        if teachers:
            network.label_gradient = recipe.teaching.label_gradient
        super().__init__(recipe, corpus, network, device)
        self.frames = network.frames
        learns = recipe.training.learns
        recordings = [entry.stored for entry in corpus.entries if entry.split in learns]
        aside = [entry.stored for entry in corpus.unlabelled]
        recordings += aside if teachers else []
        front_end, rate = recipe.front_end, corpus.sample_rate
        with console.progress("Transforming") as progress:
            pictures = spectrograms.pictures(
                front_end,
                rate,
                recipe.airing.renderings,
                recipe.airing.speed,
                recordings,
                corpus.samples,
                cache,
                progress,
            )
        lessons = None
        self.components = 0
        if teachers:
            teachers = panel.ordered(teachers)
            apart = [e.stored for e in corpus.entries if e.split not in (*learns, "test")]
            with console.progress("Asking the teacher") as progress:
                embedded = panel.at_speeds(
                    teachers,
                    recordings + apart,
                    corpus.samples,
                    cache,
                    progress,
                    lambda digest: _speeds(pictures.get(digest, _PLAIN)),
                )
            self.besides = panel.besides(teachers, corpus.unlabelled_fingerprint)
            seed = recipe.split.seed
            plain = {digest: heard[0] for digest, heard in embedded.items()}
            teaching = recipe.teaching
            known = yardstick.kept(
                corpus,
                plain,
                seed,
                cache,
                made=teaching.opinion_generated,
                penalty=teaching.opinion_penalty,
            )
            lessons = Lessons(
                corpus,
                embedded,
                teaching.components,
                seed,
                known,
                teaching.opinions,
                yamnet.Teacher(teachers[0]).genres() if teaching.genres else None,
                teaching.genres,
            )
            self.components = lessons.width
            if network.opinions:
                told = lessons.opinions
                if told is None:
                    raise ConfigError(
                        "network.options.opinions wants the teacher's to be taught",
                        "set teaching.opinions above 0, or network.options.opinions to 0",
                    )
                network.take_opinions(torch.from_numpy(told.mean), torch.from_numpy(told.scale))
        self.shape, self.studio = self._staged(recipe, *self._tracks(pictures, lessons))

    def settled(self) -> Passages:
        """Of the same recordings the passages that the recipe goes on with; see ``[settling]``."""
        other = copy.copy(self)
        other.recipe = self.recipe.settled()
        tracks, weights = self.studio.tracks, self.studio.weights
        other.shape, other.studio = self._staged(other.recipe, tracks, weights)
        return other

    def _staged(
        self, recipe: Recipe, tracks: Sequence[Track], weights: NDArray[np.float64]
    ) -> tuple[Shape, Studio]:
        """What makes passages of ``tracks``, as long as the recipe says."""
        kinds = [label.kind for label in self.corpus.labels]
        shape = Shape.of(recipe.audio, recipe.front_end, self.frames, recipe.airing.seconds)
        studio = Studio(
            tracks,
            weights,
            shape,
            recipe,
            band_centres(recipe.front_end),
            [n for n, kind in enumerate(kinds) if kind is Kind.SPEECH],
            [n for n, kind in enumerate(kinds) if kind is Kind.NOISE],
            self.components,
        )
        return shape, studio

    def _tracks(
        self, pictures: dict[str, list[spectrograms.Picture]], lessons: Lessons | None
    ) -> tuple[list[Track], NDArray[np.float64]]:
        corpus, teaching = self.corpus, self.recipe.teaching
        sampler = Sampler(corpus, self.recipe.training, self.recipe.audio.window, 0)
        tracks = []
        for position in sampler.positions:
            entry = corpus.entries[position]
            digest, length = entry.stored.digest, entry.stored.length
            targets = np.zeros(len(corpus.labels), np.float32)
            targets[entry.label] = 1.0
            lesson = None
            if lessons is not None:
                lesson = lessons.lessons(digest, length, _speeds(pictures[digest]))
                share = teaching.real if entry.scored else teaching.generated
                if share and entry.clip.dataset != DATASET:
                    targets = (1 - share) * targets + share * lessons.opinion(digest)
            audible = corpus.audible[position]
            tracks.append(Track(pictures[digest], targets, audible, lesson, entry.label))
        weights = sampler.weights
        if lessons is not None and corpus.unlabelled and teaching.unlabelled:
            for entry in corpus.unlabelled:
                stored = entry.stored
                opinion = lessons.opinion(stored.digest)
                audible = levels(corpus.samples, stored, corpus.sample_rate)
                made = pictures[stored.digest]
                lesson = lessons.lessons(stored.digest, stored.length, _speeds(made))
                tracks.append(Track(made, opinion, audible, lesson))
            seconds = np.array([e.stored.length for e in corpus.unlabelled], np.float64)
            seconds *= teaching.unlabelled / seconds.sum()
            weights = np.concatenate([weights * (1 - teaching.unlabelled), seconds])
        return tracks, weights

    def epoch(self, seed: int, team: Team) -> Iterator[tuple[Tensor, Any]]:
        """Passages as log-mel ``[batch, n_mels, frames]``; each process makes its own share."""
        random = np.random.default_rng([seed, team.rank])
        size = max(2, self.recipe.training.batch_size // team.size)
        for _ in range(self.batches):
            batch = self.studio.batch(size, random)
            wanted = Wanted(
                *(
                    part.to(self.device)
                    for part in (batch.targets, batch.weights, batch.lessons, batch.taught)
                )
            )
            yield batch.logmel.to(self.device), wanted

    def pupil(self, network: Network) -> nn.Module:
        """The network with a prediction of what the teacher says, if that counts."""
        predicted = self.components if self.recipe.teaching.embedding else 0
        return Pupil(network, self.shape.step, predicted)

    def loss(self, answers: Any, wanted: Any) -> Tensor:
        """Cross-entropy of the decisions, and the squared distance to the teacher's embedding."""
        logits: Tensor
        logits, view = answers
        smoothing = self.recipe.training.label_smoothing
        targets = wanted.targets * (1 - smoothing) + smoothing / wanted.targets.shape[-1]
        each = -(targets * torch.log_softmax(logits, -1)).sum(-1)
        total: Tensor = (each * wanted.weights).sum() / wanted.weights.sum().clamp(min=1.0)
        if view is not None:
            distance = (view - wanted.lessons).square().sum(-1)
            counts = wanted.weights * wanted.taught
            total = total + self.recipe.teaching.embedding * (
                (distance * counts).sum() / counts.sum().clamp(min=1.0)
            )
        return total

    def measure(self, network: Network) -> tuple[Tensor, Tensor]:
        """Mean and deviation over passages as they are trained on."""
        random = np.random.default_rng(self.recipe.training.seed)
        seen = self.studio.batch(_NORMALISATION_PASSAGES, random).logmel.to(self.device)
        numbers = network.normalised(seen)
        return numbers.mean(dim=(0, 2)), numbers.std(dim=(0, 2))

    def validate(
        self, network: Network, team: Team
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """What is remembered at the end of each second of the validation split."""
        window = self.recipe.audio.window
        chosen = scoring.windows(self.corpus, self.corpus.of("val"), window, window)
        mine = chosen.every(team.size, team.rank)
        answers = team.woven(self.remembered(network, mine))
        return answers, chosen.labels, chosen.groups

    @torch.no_grad()
    def remembered(self, network: Network, chosen: scoring.Windows) -> NDArray[np.float32]:
        """Logits ``[windows, labels]`` at the ends of windows, each recording heard from its start.

        Windows must begin at whole hops of their recordings.
        """
        assert isinstance(network, Listens)
        network.eval()
        recipe, hop = self.recipe, self.recipe.audio.hop
        front = recipe.front_end
        first = -(-recipe.audio.window // hop)
        lead = first * hop - self.reach
        answers = np.empty((chosen.starts.size, len(self.corpus.labels)), np.float32)
        for position in np.unique(chosen.positions):
            mask = chosen.positions == position
            samples = self.corpus.audio(int(position))
            audio = torch.from_numpy(samples.astype(np.float32) / 32768.0)
            last = int(chosen.starts[mask].max()) + chosen.length
            heard = self.transform(audio[None, lead : last // hop * hop].to(self.device))
            said = network.listen(heard, hop // front.hop_length).logits[0].float().cpu().numpy()
            answers[mask] = said[(chosen.starts[mask] + chosen.length) // hop - first]
        return answers


def _speeds(renderings: Sequence[spectrograms.Picture]) -> list[float]:
    return [each.speed for each in renderings]


__all__: Sequence[str] = ("Passages", "Pupil", "Wanted")
