"""What a network is to the lab: log-mel in, logits out, and what it needs to run as a stream."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from genred.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Said:
    """What a network says of a passage, decision by decision."""

    logits: Tensor
    """``[batch, decisions, labels]``."""

    vectors: Tensor
    """``[batch, decisions, units]``: what the last second is to it, before any label."""

    opinions: Tensor | None = None
    """``[batch, decisions, labels]``: what a teacher would make of it, if the network tells."""

    known: Tensor | None = None
    """That part of the logits that is to learn from labels, if not all of them are."""


Normalisation = Literal["bands", "window", "none"]

# A window of less deviation, a decibel or so, is silence with nothing in it; to blow it up to the
# deviation of music would show rounding errors.
_LEAST_DEVIATION = 1.0


LISTENED = 240
"""Windows after which a network that remembers no longer counts how many it has heard."""


class Network(nn.Module, abc.ABC):
    """A classifier of one window of log-mel frames.

    ``forward`` takes ``[batch, n_mels, frames]`` and returns logits ``[batch, labels]``. In a
    model file the network runs over the stream: :meth:`step` takes the new frames and a list of
    tensors, the *memory*, and returns logits and the next memory, which starts as zeros. Unless
    a network knows better, its memory is the window's frames and it looks at all of them anew.
    Where the new frames of a step are a window or more, nothing of that is left to remember.
    """

    frames: int
    """How many frames one window has."""

    n_mels: int
    """How many mel bands a frame has."""

    @abc.abstractmethod
    def forward(self, logmel: Tensor) -> Tensor:
        """Classify whole windows: ``[batch, n_mels, frames]`` to ``[batch, labels]``."""

    def memory_shapes(self, new_frames: int) -> list[tuple[int, ...]]:
        """Shapes, without the batch, of what :meth:`step` remembers between steps."""
        kept = self.frames - new_frames
        return [(self.n_mels, kept)] if kept > 0 else []

    def step(self, logmel: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Classify the window that ends with the new frames ``[batch, n_mels, new]``."""
        if not memory:
            return self.forward(logmel[:, :, -self.frames :]), []
        window = torch.cat([memory[0], logmel], dim=2)[:, :, -self.frames :]
        kept = memory[0].shape[2]
        return self.forward(window), [window[:, :, window.shape[2] - kept :]]

    @property
    def wants_normalisation(self) -> bool:
        """Whether :meth:`set_normalisation` is of any use; measuring takes a while."""
        return True

    def normalised(self, logmel: Tensor) -> Tensor:
        """What :meth:`set_normalisation` wants mean and deviation of, ``[batch, numbers, *]``."""
        return logmel

    def set_normalisation(self, mean: Tensor, scale: Tensor) -> None:
        """Take the mean and standard deviation ``[n_mels]`` of the training frames."""

    def take_caution(self, caution: float) -> None:
        """Once it is trained, divide logits by 1 + ``caution`` / windows heard (to 240 of them).

        Raises :class:`ConfigError` if there is caution and it hears no more than one.
        """
        if caution:
            raise ConfigError(
                "training.caution is for networks that remember",
                "set it to 0, or network.name to 'remembering', with options.memory above 0",
            )

    def take_kinds(self, kinds: Sequence[int]) -> None:
        """Know of which kind each label is, kinds by number: ``[labels]``. Most need not."""

    @torch.no_grad()
    def take_shifts(self, shifts: Tensor) -> None:
        """Once it is trained, add ``shifts`` ``[labels]`` to its logits."""
        bias = self.get_submodule(self.logits_layer).get_parameter("bias")
        bias.add_(shifts.to(bias))

    @property
    def logits_layer(self) -> str:
        """The name of the layer whose output is the logits: the last linear one."""
        linear = [name for name, module in self.named_modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError("the network has no linear layer for its logits")
        return str(linear[-1])

    @property
    def of_labels(self) -> tuple[str, ...]:
        """How the names of all tensors begin that mean something for these labels alone."""
        return (f"{self.logits_layer}.",)

    def body(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What this network can begin with of the ``weights`` of another, whatever its labels."""
        return {
            name: value for name, value in weights.items() if not name.startswith(self.of_labels)
        }


class Listens(abc.ABC):
    """What a network that remembers more than its window offers besides."""

    @abc.abstractmethod
    def listen(self, logmel: Tensor, hop: int) -> Said:
        """Listen to ``[batch, n_mels, frames + k * hop]``, from an empty memory on.

        There are ``k + 1`` decisions, the first at the end of the first whole window.
        """


class Remembers(Listens):
    """And what it takes to train it."""

    label_gradient: float
    """Share of the gradient of logits that goes on into what is heard now."""

    opinions: int
    """How many numbers of what a teacher would say it tells itself."""

    @abc.abstractmethod
    def take_opinions(self, mean: Tensor, scale: Tensor) -> None:
        """Know how opinions are told: as logits less ``mean``, times ``scale`` (``[labels]``)."""

    @property
    @abc.abstractmethod
    def vector_size(self) -> int:
        """Units of what is heard now."""

    @property
    @abc.abstractmethod
    def memory_layers(self) -> tuple[str, ...]:
        """The names of what comes after what is heard now, but for the layer of logits."""


class PictureNetwork(Network):
    """A network that looks at the whole window as a picture, standardised first.

    How is a choice of the recipe: ``bands`` by each mel band's mean and deviation over the
    training crops; ``window`` by the mean and deviation of the window itself, which takes its
    level out; ``none`` leaves it. A subclass calls :meth:`see` first and :meth:`settle` last, and
    offers :meth:`classify`.
    """

    def see(self, n_mels: int, frames: int, normalisation: Normalisation) -> None:
        """Set the window's shape and how it is standardised."""
        self.n_mels, self.frames = n_mels, frames
        self.normalisation = normalisation
        self.standardise = Standardise(n_mels) if normalisation == "bands" else None

    @abc.abstractmethod
    def classify(self, picture: Tensor) -> Tensor:
        """Classify ``[batch, 1, n_mels, frames]``; returns logits ``[batch, labels]``."""

    def forward(self, logmel: Tensor) -> Tensor:
        """Classify whole windows: ``[batch, n_mels, frames]`` to ``[batch, labels]``."""
        if self.standardise is not None:
            logmel = self.standardise(logmel)
        elif self.normalisation == "window":
            centred = logmel - _mean(logmel)
            deviation = _mean(centred.square()).sqrt()
            logmel = centred / deviation.clamp(min=_LEAST_DEVIATION)
        return self.classify(logmel.unsqueeze(1))

    @property
    def wants_normalisation(self) -> bool:
        """Only where bands are standardised over the training crops."""
        return self.standardise is not None

    def settle(self) -> None:
        """Lay the weights out as convolutions are quickest with: channels last."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # for modules

    def set_normalisation(self, mean: Tensor, scale: Tensor) -> None:
        """Take the mean and standard deviation ``[n_mels]`` of the training frames."""
        if self.standardise is not None:
            self.standardise.set(mean, scale)


def _mean(picture: Tensor) -> Tensor:
    """Mean of ``[batch, n_mels, frames]``, in two steps.

    onnxruntime adds up one by one; in 32 bits the mean of a hundred thousand loses its last digits.
    """
    return picture.mean(dim=2, keepdim=True).mean(dim=1, keepdim=True)


class Standardise(nn.Module):
    """Centre each mel band and divide by its deviation, both measured once on training data."""

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("scale", torch.ones(n_mels))

    def set(self, mean: Tensor, scale: Tensor) -> None:
        """Take mean and standard deviation, ``[n_mels]`` each."""
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("scale").copy_(1.0 / scale.clamp(min=1e-3))

    def forward(self, logmel: Tensor) -> Tensor:
        """Standardise ``[batch, n_mels, frames]``."""
        mean, scale = self.get_buffer("mean"), self.get_buffer("scale")
        return (logmel - mean[None, :, None]) * scale[None, :, None]


class Stage(nn.Module):
    """A part of a streamable network: unpadded along time, with a known reach.

    ``forward`` takes ``[batch, channels, bands, frames]`` and returns ``(frames - time_kernel)
    // time_stride + 1`` frames.
    """

    time_kernel: int = 1
    time_stride: int = 1

    @property
    def remembered(self) -> int:
        """How many of its input frames the stage needs again in the next step."""
        return self.time_kernel - self.time_stride


class StreamableNetwork(Network):
    """A chain of :class:`Stage` and a head, computing in each step only what is new.

    Because no stage pads along time, a position's value does not depend on where the window
    begins. So each stage keeps the last ``time_kernel - time_stride`` frames of its input, the
    head keeps the last positions that make one window, and the step's logits are those of the
    whole window to rounding. This is the streaming of Rybakov et al., "Streaming keyword
    spotting on mobile devices", 2020, with the state outside.

    A subclass sets ``stages``, ``standardise`` and ``head`` (which takes ``[batch, channels,
    bands, positions]``), then calls :meth:`settle`.
    """

    stages: nn.ModuleList
    standardise: Standardise
    head: nn.Module

    def settle(self) -> None:
        """Work out how many positions make a window; the newest must end at the newest frame."""
        self.positions = self._through(self.frames, whole=True)

    def forward(self, logmel: Tensor) -> Tensor:
        """Classify whole windows: ``[batch, n_mels, frames]`` to ``[batch, labels]``."""
        activations = self.standardise(logmel).unsqueeze(1)
        for stage in self.stages:
            activations = stage(activations)
        logits: Tensor = self.head(activations)
        return logits

    def memory_shapes(self, new_frames: int) -> list[tuple[int, ...]]:
        """One cache for each stage that remembers, then the head's positions."""
        new_positions = self._through(new_frames, whole=False)
        before = self._shapes()
        shapes: list[tuple[int, ...]] = [
            (*shape, stage.remembered)
            for stage, shape in zip(self._stages(), before[:-1], strict=True)
            if stage.remembered
        ]
        kept = self.positions - new_positions
        return [*shapes, (*before[-1], kept)] if kept > 0 else shapes

    def step(self, logmel: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Classify the window that ends with the new frames ``[batch, n_mels, new]``."""
        window, following = self._advance(logmel, memory)
        return self.head(window), following

    def _advance(self, logmel: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The positions of the window that ends with the new frames, and what is kept."""
        following: list[Tensor] = []
        caches = iter(memory)
        activations = self.standardise(logmel).unsqueeze(1)
        for stage in self._stages():
            if stage.remembered:
                activations = torch.cat([next(caches), activations], dim=3)
                following.append(activations[..., activations.shape[3] - stage.remembered :])
            activations = stage(activations)
        history = next(caches, None)
        if history is None:
            return activations[..., -self.positions :], following
        window = torch.cat([history, activations], dim=3)[..., -self.positions :]
        following.append(window[..., window.shape[3] - history.shape[3] :])
        return window, following

    def set_normalisation(self, mean: Tensor, scale: Tensor) -> None:
        """Take the mean and standard deviation ``[n_mels]`` of the training frames."""
        self.standardise.set(mean, scale)

    def _stages(self) -> list[Stage]:
        return [stage for stage in self.stages if isinstance(stage, Stage)]

    def _through(self, frames: int, *, whole: bool) -> int:
        for stage in self._stages():
            reach = frames - stage.time_kernel if whole else frames
            if reach % stage.time_stride:
                what = "the window's frames" if whole else "the frames of one step"
                raise ValueError(f"{what} do not fit the strides of the network's stages")
            frames = reach // stage.time_stride + (1 if whole else 0)
        return frames

    def _shapes(self) -> list[tuple[int, ...]]:
        """Shapes ``(channels, bands)`` at the input of each stage and at the head."""
        with torch.no_grad():
            device = self.standardise.get_buffer("mean").device
            activations = torch.zeros(1, 1, self.n_mels, self.frames, device=device)
            training, shapes = self.training, []
            self.eval()
            for stage in self.stages:
                shapes.append(tuple(activations.shape[1:3]))
                activations = stage(activations)
            shapes.append(tuple(activations.shape[1:3]))
            self.train(training)
        return shapes
