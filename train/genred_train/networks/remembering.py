"""``remembering``: hears one second as a small convolutional network, and remembers what it heard.

Three plain convolutions, a depthwise-separable one, one convolution that joins the bands, and
separable ones along time alone give a vector 20 times a second. Mean and maximum of those that
lie in the last second go through one layer: what is heard *now*. A gated leaky average of it, each
unit with a gate of its own that opens where memory and present differ (the minimal gated unit of
Zhou et al., 2016, without its forget gate on the inside), is what is *remembered*. The logits are
a linear function of both, so that it can say something after one second and more after ten.

With a teacher there is a second way to the logits: the network predicts what the teacher makes of
each second, and remembers that too, behind one gate that opens by the distance between what is
predicted now and what is remembered. Nothing of it learns from labels. Both are trained apart, and
added in the end (a product of experts: Hinton, 2002). Labels of few recordings are soon known by
heart; what the teacher has to say is not. It may be left out of what kind a sound is, of which
there are recordings enough, and may open all gates where something else comes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genred_train.networks.base import (
    LISTENED,
    Remembers,
    Said,
    Stage,
    Standardise,
    StreamableNetwork,
)
from genred_train.networks.stages import Convolution, JoinBands, Separable, bands_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The gates' first bias: a fifth of the memory is new after a step of a quarter of a second.
_GATE_BIAS = -1.4


class Options(BaseModel):
    """What a recipe may set under ``[network.options]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    """Channels after each of the four stages that see bands."""

    vector: int = Field(default=192, ge=1)
    """Channels of the stages along time alone."""

    layers: int = Field(default=2, ge=0)
    """How many of those there are."""

    hidden: int = Field(default=256, ge=1)
    """Units of what is heard now."""

    memory: int = Field(default=128, ge=0)
    """Units of what is remembered; 0 for a network of one second."""

    opinions: float = Field(default=0.0, ge=0)
    """Weight in the logits of the teacher's opinion as it is remembered (see
    ``teaching.opinions``); 0 for a network that does not know it."""

    opinions_of_kinds: bool = True
    """Whether opinions have a say in what kind it is. Without, they only tell the labels of a kind
    apart: of kinds there are recordings enough, and what labels taught hears a new one sooner."""

    opinion_gate: tuple[float, float] = (-6.5, 6.0)
    """What opens the gate of opinions, as a logit: this, and so many times the distance between
    opinion and memory. Of recordings it has learnt from the network guesses the teacher's opinion
    better than of others; a gate that learnt from labels would find that less of it needs to be
    remembered than does."""

    patience: float = Field(default=0.0, ge=0)
    """Once it is trained, taken off what opens the gates of units, for the same reason."""

    opinion_reset: tuple[float, float] | None = None
    """Once it is trained, all gates open by the second for each unit that opinion and memory are
    further apart than the first: who hears that something else is on should forget what was."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """How much of what is heard and remembered is dropped in training."""


class Remembering(StreamableNetwork, Remembers):
    """The network; see the module."""

    label_gradient = 1.0
    caution = 0.0
    opinion_scale: Tensor
    opinion_mean: Tensor
    shifts: Tensor
    member: Tensor

    def __init__(self, n_mels: int, frames: int, labels: int, options: Options) -> None:
        super().__init__()
        self.n_mels, self.frames = n_mels, frames
        w = options.widths
        self.standardise = Standardise(n_mels)
        stages: list[Stage] = [
            Convolution((1, w[0]), (5, 4), (2, 2)),
            Convolution((w[0], w[1]), (3, 4), (2, 2)),
            Convolution((w[1], w[2]), (3, 3), (2, 1)),
            Separable((w[2], w[3]), (3, 3), (2, 1)),
        ]
        bands = n_mels
        for stage in stages:
            bands = bands_after(stage, bands)
        stages.append(JoinBands((w[3], options.vector), bands))
        stages += [
            Separable((options.vector, options.vector), (1, 3), (1, 1))
            for _ in range(options.layers)
        ]
        self.stages = nn.ModuleList(stages)
        self.present = nn.Sequential(
            nn.Linear(2 * options.vector, options.hidden, bias=False),
            nn.BatchNorm1d(options.hidden),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(options.dropout)
        self.units = options.memory
        self.opinions = labels if options.opinions else 0
        if self.opinions:
            self.opinion = nn.Linear(options.hidden, labels)
            # Without a teacher, none.
            nn.init.zeros_(self.opinion.weight)
            nn.init.zeros_(self.opinion.bias)
            self.weight = options.opinions
            self.register_buffer("opinion_scale", torch.zeros(labels))
            self.register_buffer("opinion_mean", torch.zeros(labels))
        # What is set up and not learnt stands in no checkpoint.
        self.register_buffer("shifts", torch.zeros(labels), persistent=False)
        self.within_kinds = bool(self.opinions) and not options.opinions_of_kinds
        self.take_kinds([0] * labels)
        self.memory = options.memory + self.opinions if options.memory else 0
        if self.memory:
            self.candidate = nn.Linear(options.hidden, options.memory)
            self.gate = nn.Linear(2 * self.memory, self.units)
            nn.init.constant_(self.gate.bias, _GATE_BIAS)
            self.opinion_gate, self.patience = options.opinion_gate, options.patience
            self.opinion_reset = options.opinion_reset
        self.answer = nn.Linear(options.hidden + options.memory, labels)
        self.settle()

    @property
    def logits_layer(self) -> str:
        """The layer whose output is the logits."""
        return "answer"

    @property
    def of_labels(self) -> tuple[str, ...]:
        """The layer of logits, and opinions: other labels have others."""
        return (*super().of_labels, "opinion")

    def body(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Its gates are taken over as well, but for what they have to do with opinions."""
        body = super().body(weights)
        if not self.opinions or not self.units or "gate.weight" not in body:
            return body
        theirs = body["gate.weight"]
        own, other = self.units, theirs.shape[1] // 2
        if len(theirs) != own or other < own:
            return body
        gates = torch.zeros_like(self.gate.weight)
        for mine, place in ((0, 0), (self.memory, other)):
            gates[:, mine : mine + own] = theirs[:, place : place + own]
        return body | {"gate.weight": gates}

    @property
    def vector_size(self) -> int:
        """Units of what is heard now."""
        return self.answer.in_features - self.units

    @property
    def memory_layers(self) -> tuple[str, ...]:
        """What remembers, and what drops some of it in training."""
        return ("candidate", "gate", "dropout") if self.memory else ("dropout",)

    def forward(self, logmel: Tensor) -> Tensor:
        """Classify windows by themselves: ``[batch, n_mels, frames]`` to ``[batch, labels]``."""
        return self.listen(logmel, 1).logits[:, 0]

    def listen(self, logmel: Tensor, hop: int) -> Said:
        """Listen to ``[batch, n_mels, frames + k * hop]``, from an empty memory on.

        There are ``k + 1`` decisions, the first at the end of the first whole window.
        """
        activations = self.standardise(logmel).unsqueeze(1)
        for stage in self.stages:
            activations = stage(activations)
        positions = activations.flatten(1, 2)
        apart = self._through(hop, whole=False) if positions.shape[2] > self.positions else 1
        mean = nn.functional.avg_pool1d(positions, self.positions, apart)
        top = nn.functional.max_pool1d(positions, self.positions, apart)
        pooled = torch.cat([mean, top], dim=1).transpose(1, 2)
        count = pooled.shape[1]
        now = self.present(pooled.flatten(0, 1)).unflatten(0, (-1, count)).float()
        opinions = self.opinion(now).float() if self.opinions else None
        share = self.label_gradient
        heard = now if share == 1.0 else now * share + now.detach() * (1.0 - share)
        # Opinions stay what the teacher says: labels have no say in them.
        held = self._candidates(heard, None if opinions is None else opinions.detach())
        if self.memory:
            held = self._remember(held)
        known, opined = self._answers(self.dropout, heard, held)
        logits = self._together(known, opined)
        if self.memory:
            needed = self._whole(hop)
            steps = torch.arange(needed, needed + count, device=logits.device)
            logits = logits * self._sure(steps.unsqueeze(1), needed)
        return Said(logits, now, opinions, known)

    def take_caution(self, caution: float) -> None:
        """Once it is trained, divide logits by 1 + ``caution`` / windows heard (to 240 of them).

        Raises :class:`~genred.errors.ConfigError` if there is caution, but no memory.
        """
        if not self.memory:
            super().take_caution(caution)
        self.caution = caution

    def take_kinds(self, kinds: Sequence[int]) -> None:
        """Know of which kind each label is, kinds by number: ``[labels]``."""
        numbers = torch.tensor([*kinds])
        member = nn.functional.one_hot(numbers).to(self.shifts)
        self.register_buffer("member", member, persistent=False)

    @torch.no_grad()
    def take_shifts(self, shifts: Tensor) -> None:
        """Once it is trained, add ``shifts`` ``[labels]`` to what it says in the end."""
        if self.within_kinds:
            # Not to what labels taught: kinds are told by that before they are shifted.
            self.shifts.add_(shifts.to(self.shifts))
        else:
            super().take_shifts(shifts)

    def take_opinions(self, mean: Tensor, scale: Tensor) -> None:
        """Know how opinions are told: as logits less ``mean``, times ``scale`` (``[labels]``)."""
        self.opinion_mean.copy_(mean)
        self.opinion_scale.copy_(1.0 / scale)

    def memory_shapes(self, new_frames: int) -> list[tuple[int, ...]]:
        """Those of the convolutions, what is remembered, and how many steps went by."""
        shapes = super().memory_shapes(new_frames)
        return [*shapes, (self.memory,), (1,)] if self.memory else shapes

    def step(self, logmel: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decide at the end of the new frames ``[batch, n_mels, new]``."""
        own = 2 if self.memory else 0
        window, following = self._advance(logmel, memory[: len(memory) - own])
        positions = window.flatten(1, 2)
        pooled = torch.cat([positions.mean(dim=2), positions.amax(dim=2)], dim=1)
        now = self.present(pooled)
        candidates = self._candidates(now, self.opinion(now) if self.opinions else None)
        if not self.memory:
            return self._said(now, candidates), following
        before, steps = memory[-2:]
        # Until the first window is whole, nothing is remembered; then it is the first memory.
        needed = self._whole(logmel.shape[2])
        whole = (steps - (needed - 2)).clamp(0.0, 1.0)
        going = (steps - (needed - 1)).clamp(0.0, 1.0)
        after = candidates + going * (self._blend(before, candidates) - candidates)
        after = after * whole
        steps = (steps + 1.0).clamp(max=float(needed * LISTENED))
        logits = self._said(now, after) * self._sure(steps, needed)
        return logits, [*following, after, steps]

    def _candidates(self, heard: Tensor, opinions: Tensor | None) -> Tensor:
        """What the memory would be if it were of this second alone: ``[..., units + labels]``."""
        parts = [self.candidate(heard).float()] if self.units else []
        if opinions is not None:
            parts.append(opinions)
        return torch.cat(parts, dim=-1) if parts else heard[..., :0]

    def _answers(
        self, dropout: nn.Module, heard: Tensor, held: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Logits by what is heard now and what is held of it, and by the opinions held."""
        known = self.answer(dropout(torch.cat([heard, held[..., : self.units]], dim=-1)))
        if not self.opinions:
            return known, None
        return known, held[..., self.units :] * self.opinion_scale + self.opinion_mean

    def _together(self, known: Tensor, opined: Tensor | None) -> Tensor:
        if opined is None:
            return known
        said = known + self.weight * opined
        if not self.within_kinds:
            return said
        return said + (self._of_kinds(known) - self._of_kinds(said)) @ self.member.T + self.shifts

    def _of_kinds(self, logits: Tensor) -> Tensor:
        """The logarithm of what each kind's labels have together, ``[..., kinds]``."""
        top = logits.amax(dim=-1, keepdim=True)
        shares = torch.exp(logits - top) @ self.member
        # What is 88 below the top leaves nothing, and of that there is no logarithm.
        return shares.clamp(min=torch.finfo(shares.dtype).tiny).log() + top

    def _said(self, heard: Tensor, held: Tensor) -> Tensor:
        return self._together(*self._answers(nn.Identity(), heard, held))

    def _whole(self, hop: int) -> int:
        """How many steps of ``hop`` frames the first whole window takes."""
        return -(-self.frames // hop)

    def _sure(self, steps: Tensor, needed: int) -> Tensor:
        """What logits are multiplied by after ``steps``, ``needed`` of which make a window."""
        # Asked of the gate, as below.
        if not self.caution or self.gate.training:
            return torch.ones_like(steps)
        heard = (steps / needed).clamp(min=1.0)
        return heard / (heard + self.caution)

    def _remember(self, candidates: Tensor) -> Tensor:
        first, *rest = candidates.unbind(1)
        held = [first]
        for candidate in rest:
            held.append(self._blend(held[-1], candidate))
        return torch.stack(held, dim=1)

    def _blend(self, before: Tensor, candidate: Tensor) -> Tensor:
        new = candidate - before
        # In 32 bits: what changes by little at a time would not change in 16.
        opening = self.gate(torch.cat([candidate, new.abs()], dim=1)).float()
        # Asked of the gate: while what remembers learns on, the network itself rests.
        if not self.gate.training:
            opening = opening - self.patience
        if self.opinions:
            distance = new[:, self.units :].square().sum(dim=1, keepdim=True).sqrt()
            first, rise = self.opinion_gate
            opinions = (first + rise * distance).expand(-1, self.opinions)
            opening = torch.cat([opening, opinions], dim=1)
            if self.opinion_reset and not self.gate.training:
                beyond, rise = self.opinion_reset
                opening = opening + rise * (distance - beyond).clamp(min=0.0)
        return before + torch.sigmoid(opening) * new


OPTIONS = Options


def build(n_mels: int, frames: int, labels: int, options: Options) -> Remembering:
    """Make the network for windows of ``[n_mels, frames]``."""
    return Remembering(n_mels, frames, labels, options)
