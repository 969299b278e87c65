"""What a peer is to do: decide as often as genred's model does, by a network of its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from genred_train import members, networks
from genred_train.front_end import frames_in
from genred_train.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from genred.model.metadata import ModelMetadata
    from genred_train.networks.base import Network

# Any will do: what a network costs does not depend on its weights.
SEED = 1


@dataclass(frozen=True, slots=True)
class Job:
    """The model to be measured against, and what else a peer needs."""

    metadata: ModelMetadata
    teacher: Path | None

    @property
    def reach(self) -> int:
        """Samples behind the frames of one window."""
        front_end = self.metadata.front_end
        frames = frames_in(self.metadata.window, front_end)
        return (frames - 1) * front_end.hop_length + front_end.n_fft

    def recipe(self) -> Recipe:
        """The recipe that the model was made by; it stands in the model file."""
        return Recipe.model_validate_json(self.metadata.training.recipe)

    def network(self) -> Network:
        """The model's network, untrained, for whole windows."""
        metadata, recipe = self.metadata, self.recipe()
        torch.manual_seed(SEED)
        built = [
            networks.build(
                recipe.network.name,
                recipe.network.options,
                n_mels=metadata.front_end.n_mels,
                frames=frames_in(metadata.window, metadata.front_end),
                labels=len(metadata.labels),
            )
            for _ in range(recipe.training.members)
        ]
        return members.together(built).eval()
