"""A recipe: everything that makes one model from data, as checked TOML and no code."""

from __future__ import annotations

import difflib
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from genred.errors import ConfigError, InputError, UsageError
from genred.labels import Kind
from genred.model.metadata import FrontEnd, LabelInfo

if TYPE_CHECKING:
    from pathlib import Path

    from genred_train.data.catalogue import SplitName


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Audio(_Table):
    """``[audio]``: rate, window and how often the model decides."""

    sample_rate: int = Field(default=16_000, gt=0)
    """Hz; everything is resampled to it."""

    window_s: float = Field(default=1.0, gt=0)
    """How much audio one decision looks at."""

    hop_s: float = Field(default=0.25, gt=0)
    """How much new audio there is between two decisions."""

    short: Literal["skip", "repeat"] = "skip"
    """What becomes of recordings shorter than a window: left out, or heard again from their
    start until they fill it."""

    @property
    def window(self) -> int:
        """The window in samples."""
        return round(self.window_s * self.sample_rate)

    @property
    def hop(self) -> int:
        """The hop in samples."""
        return round(self.hop_s * self.sample_rate)

    @property
    def whole(self) -> int:
        """Samples of the whole hops that the first window takes."""
        return -(-self.window // self.hop) * self.hop


class Synthetic(_Table):
    """``[data.synthetic]``: passages of the synthesised station, for training alone."""

    seeds: tuple[int, ...] = ()
    """One passage of each style for each seed; none means none."""

    seconds: float = Field(default=20.0, gt=0)
    """How long each passage is."""


def kind_of(label: str) -> Literal[Kind.MUSIC, Kind.SPEECH, Kind.NOISE]:
    """Guess a label's kind from its name, where the recipe does not say: music but for two."""
    match label.lower():
        case "speech" | "talk" | "voice" | "spoken":
            return Kind.SPEECH
        case "noise" | "ambient" | "background":
            return Kind.NOISE
        case _:
            return Kind.MUSIC


def _label(value: object) -> object:
    """A label that is only named gets the kind that its name suggests."""
    return {"name": value, "kind": kind_of(value)} if isinstance(value, str) else value


class Data(_Table):
    """``[data]``: which recordings count, and where."""

    source: Literal["audio", "arrays"] = "audio"
    """``audio`` reads recordings; ``arrays`` reads rows of numbers that somebody else has made of
    them (see :mod:`genred_train.data.arrays`)."""

    labels: tuple[Annotated[LabelInfo, BeforeValidator(_label)], ...] = ()
    """The labels in the order of the logits, each a name or a name and a kind; empty takes those
    of the data, in order of name."""

    unscored: tuple[str, ...] = ("generated-*",)
    """Data sets (patterns) that are trained on but never in validation or test."""

    exclude: tuple[str, ...] = ()
    """Data sets (patterns) that are left out, with labels or without."""

    unlabelled: str = ""
    """The label of recordings without one; only a teacher tells something of them, and only in
    training. Empty leaves them out."""

    same_group: tuple[tuple[str, ...], ...] = ()
    """Groups that are one group, whatever the manifest says."""

    min_clips: int = Field(default=3, ge=1)
    """Fewer usable clips of a label than this are an error."""

    max_seconds: float = Field(default=600.0, gt=0)
    """Only the first part of longer files is used."""

    synthetic: Synthetic = Synthetic()


class Split(_Table):
    """``[split]``: what is trained on, what chooses the epoch, what is read once at the end."""

    by: Literal["groups", "manifest"] = "groups"
    """``groups`` draws the splits anew; ``manifest`` takes the manifest's column."""

    val: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of each label's scored groups that chooses the epoch and the temperature."""

    test: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of each label's scored groups that is read once at the end."""

    seed: int = 0
    """Seed of the draw, apart from that of training, so that runs share their test split."""


class NetworkChoice(_Table):
    """``[network]``: which network, and what it is told."""

    name: str
    """A file in ``genred_train/networks``."""

    options: dict[str, Any] = Field(default_factory=dict)
    """What that network knows; checked by it."""


class Augment(_Table):
    """``[augment]``: what happens to training crops before the front end.

    A probability of 0 turns a part off.
    """

    level_dbfs: tuple[float, float] | Literal["own"] = (-45.0, -8.0)
    """Each crop is brought to an RMS level drawn from this range, or keeps its ``own``; peaks are
    clipped."""

    gain: float = Field(default=0.0, ge=0, lt=1)
    """Each crop is multiplied by a number drawn from 1 - gain to 1 + gain."""

    speed: float = Field(default=0.0, ge=0, lt=0.5)
    """Crops are played faster or slower by up to this share, pitch with tempo."""

    stretch_p: float = Field(default=0.0, ge=0, le=1)
    stretch: float = Field(default=0.1, ge=0, lt=0.5)
    """Tempo without pitch, faster or slower by up to this share."""

    pitch_p: float = Field(default=0.0, ge=0, le=1)
    pitch_semitones: float = Field(default=2.0, ge=0, le=6)
    """Pitch without tempo, up or down by up to so much."""

    equalise_p: float = Field(default=0.5, ge=0, le=1)
    equalise_db: float = Field(default=6.0, ge=0)
    """A smooth random response of up to so many dB either way."""

    low_pass_p: float = Field(default=0.15, ge=0, le=1)
    low_pass_hz: tuple[float, float] = (3000.0, 7500.0)
    """A steep low-pass, as codecs and narrow channels have one."""

    noise_p: float = Field(default=0.5, ge=0, le=1)
    noise_snr_db: tuple[float, float] = (8.0, 40.0)
    """Noise of a random slope (white to brown) at this signal-to-noise ratio."""

    noise_sigma: float = Field(default=0.0, ge=0)
    """White noise of this standard deviation, where full scale is 1."""

    mix_p: float = Field(default=0.3, ge=0, le=1)
    mix_alpha: float = Field(default=1.0, gt=0)
    """Mixup of waveforms: two crops and their labels, the share drawn from Beta(alpha, alpha)."""

    talk_over_p: float = Field(default=0.1, ge=0, le=1)
    talk_over_db: tuple[float, float] = (6.0, 20.0)
    """Crops of speech get music under them, this much quieter, and stay speech."""

    time_masks: int = Field(default=1, ge=0)
    time_mask: int = Field(default=12, ge=0)
    time_mask_least: int = Field(default=0, ge=0)
    frequency_masks: int = Field(default=2, ge=0)
    frequency_mask: int = Field(default=8, ge=0)
    """SpecAugment (Park et al., 2019): how many masks, their greatest width, and the least of
    those in time."""


class Airing(_Table):
    """``[airing]``: train on passages of made-up radio in place of single windows.

    For networks that remember. They are put together from spectrograms that are kept on disk, so
    that of ``[augment]`` levels, equaliser, low-pass, noise, speech over music and masks are done
    there, and speed and codecs once for each rendering.
    """

    seconds: float = Field(default=0.0, ge=0)
    """How long a passage is; 0 trains on single windows."""

    renderings: int = Field(default=2, ge=1)
    """The recording itself, and others as radio plays it: faster or slower, coded, in a room."""

    speed: float = Field(default=0.06, ge=0, lt=0.5)
    """Renderings play up to this share faster or slower, pitch with tempo. The teacher is asked
    about each at its own speed, so that it has more to say than of the recordings alone."""

    pieces: tuple[float, ...] = Field(default=(0.4, 0.4, 0.2), min_length=1)
    """How often a passage has one, two, three … pieces."""

    cross_fade_p: float = Field(default=0.3, ge=0, le=1)
    cross_fade_s: tuple[float, float] = (0.3, 2.0)
    pause_p: float = Field(default=0.25, ge=0, le=1)
    pause_s: tuple[float, float] = (0.2, 1.0)
    """How often pieces go over into each other or have a pause between them; else it is a cut."""

    level_db: float = Field(default=5.0, ge=0)
    """Pieces are louder or quieter than the passage by up to so much."""

    noise_under_p: float = Field(default=0.15, ge=0, le=1)
    noise_under_db: tuple[float, float] = (8.0, 30.0)
    """Everyday noise under music and speech, so much quieter."""

    compress_p: float = Field(default=0.4, ge=0, le=1)
    """A compressor that takes 20 to 70 % off the level's movements."""


class Teaching(_Table):
    """``[teaching]``: what a teacher adds, where one is given (``--teacher``)."""

    embedding: float = Field(default=3.0, ge=0)
    """Weight of predicting its embedding, whose variance counts as 1."""

    components: int = Field(default=256, ge=1, le=1024)
    """Principal components of it that are predicted."""

    label_gradient: float = Field(default=1.0, ge=0, le=1)
    """Share of the labels' gradient that reaches the convolutions. Few recordings of a label are
    soon learnt by heart; with a small share the convolutions learn to hear from the teacher, who
    speaks of every second of every recording, and the labels are learnt upon that."""

    generated: float = Field(default=0.5, ge=0, le=1)
    """Share of its opinion in the labels of what is never scored, such as generated music."""

    real: float = Field(default=0.0, ge=0, le=1)
    """Share of its opinion in the labels of the rest."""

    opinions: float = Field(default=0.0, ge=0)
    """Weight of predicting its opinion of the labels in each second as well, beside the variance of
    its embedding, 1. By itself that variance says little of what tells genres apart."""

    opinion_penalty: float = Field(default=0.0, ge=0)
    """Penalty of the regression that its opinion comes from; 0 takes that of least loss on groups
    held out. With a stiffer one, at hardly more loss, the opinion of recordings that it was fitted
    to is less what their label says, and more what can be heard of others too."""

    opinion_generated: float = Field(default=0.0, ge=0)
    """What all that is never scored, such as generated music, counts in the regression that its
    opinion comes from, as a share of what the rest of a label counts; 0 leaves it out."""

    genres: float = Field(default=0.0, ge=0)
    """Weight of predicting what the teacher itself says of some 60 genres in each second. Unlike
    its opinion of the labels that is learnt from far more than the recordings at hand."""

    unlabelled: float = Field(default=0.15, ge=0, lt=1)
    """Share of ``data.unlabelled`` among the pieces."""


class Settling(_Table):
    """``[settling]``: once it has learnt to hear, a network learns to remember for longer.

    The convolutions rest, so that much longer passages cost little.
    """

    epochs: int = Field(default=0, ge=0)
    """After those of ``[training]``; 0 for none."""

    seconds: float = Field(default=20.0, gt=0)
    pieces: tuple[float, ...] = Field(default=(0.35, 0.35, 0.2, 0.1), min_length=1)
    """In place of those of ``[airing]``."""

    crops_per_epoch: int = Field(default=6000, ge=1)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=5e-4, gt=0)
    """In place of those of ``[training]``."""


class Training(_Table):
    """``[training]``: the loop."""

    epochs: int = Field(default=40, ge=1)
    crops_per_epoch: int = Field(default=10_240, ge=1)
    batch_size: int = Field(default=256, ge=2)
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """For ``sgd``."""

    schedule: Literal["cosine", "step", "constant"] = "cosine"
    step_epochs: int = Field(default=10, ge=1)
    step_factor: float = Field(default=0.5, gt=0, le=1)
    """For ``step``: the rate is multiplied by the factor every so many epochs."""

    patience: int = Field(default=0, ge=0)
    """Stop after so many epochs without a better one; 0 never stops early."""

    select: Literal["macro_f1", "accuracy", "last"] = "macro_f1"
    """Of the validation windows; chooses the epoch and decides on stopping early. ``last`` takes
    the last one: where validation is small, the end of a schedule is the better choice."""

    caution: float = Field(default=0.0, ge=0)
    """Once it is trained, a network that remembers divides its logits by 1 + this / windows heard.
    Temperature is that of what is remembered, and who has heard one second should be less sure
    than who has heard ten; what is likeliest stays so."""

    learn_validation: bool = False
    """Learn from the validation split as well: where labels have a handful of groups, each counts.
    Then it chooses nothing (``select`` is ``last``); temperature and shifts of the logits come
    from cross-validation (``--folds``), or there are none."""

    snapshots: bool = False
    """Keep the weights of every epoch, beside those of the best."""

    freeze: bool | Annotated[int, Field(ge=0)] | Literal["hearing"] = False
    """What a network was given by ``--init-from`` stays as it is, but for the layer of logits:
    for good, or for so many epochs. With ``hearing`` what remembers learns as well."""

    clip_gradient: float = Field(default=5.0, ge=0)
    """Gradients longer than this are shortened, against the odd batch that would undo an epoch;
    0 leaves them."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products in training. ``bfloat16`` halves the time of large convolutions where the
    processor multiplies it, and elsewhere is left alone; weights, loss and every judgement stay
    float32."""

    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, judged and exported in their
    place; 0 for none."""

    group_balance: float = Field(default=1.0, ge=0, le=1)
    """1 draws groups of a label alike, 0 draws them by their seconds of audio."""

    unscored_share: float = Field(default=0.3, ge=0, le=1)
    """At most this share of a label's crops comes from data sets that are never scored."""

    members: int = Field(default=1, ge=1)
    """So many networks are trained, each by a seed of its own from ``seed`` on, and exported as
    one that says the mean of their logits: at so many times the cost it is more often right than
    they are."""

    val_windows: int = Field(default=12, ge=1)
    """Validation looks at so many windows of each clip, evenly spread."""

    seed: int = 1

    @property
    def learns(self) -> tuple[SplitName, ...]:
        """The splits that are learnt from."""
        return ("train", "val") if self.learn_validation else ("train",)


Weights = Literal["float32", "float16", "int8"]


class Export(_Table):
    """``[export]``: the model file."""

    weights: Weights = "float32"
    """How it holds them: what loads it widens them once, so that this is a matter of its size.
    Networks are judged with what is written. ``int8`` has a scale for each output channel."""


class Card(_Table):
    """``[card]``: what the model says of itself."""

    license: str = "unknown: set card.license in the recipe"
    """The model's own terms."""

    notes: str = ""
    intended_use: str = ""
    limits: str = ""
    terms: str = ""
    """Text of the card's sections; Markdown."""


class Published(_Table):
    """``[[published]]``: a figure that was published for such a system, to stand beside ours."""

    figure: str
    """What was measured, as "test accuracy"."""

    value: str
    """As it was published: "76 %"."""

    data: str
    """On what it was measured; hardly ever the data at hand."""


class Recipe(_Table):
    """One whole recipe."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """Names the run's folder and the model."""

    audio: Audio = Audio()
    front_end: FrontEnd
    data: Data = Data()
    split: Split = Split()
    network: NetworkChoice
    augment: Augment = Augment()
    airing: Airing = Airing()
    teaching: Teaching = Teaching()
    training: Training = Training()
    settling: Settling = Settling()
    export: Export = Export()
    card: Card = Card()
    published: tuple[Published, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.audio.hop % self.front_end.hop_length:
            raise ValueError("audio.hop_s must be a whole number of front_end.hop_length")
        if self.audio.hop > self.audio.window:
            raise ValueError("audio.hop_s must not be longer than audio.window_s")
        if self.audio.window < self.front_end.n_fft:
            raise ValueError("audio.window_s is shorter than one frame of the front end")
        if self.front_end.f_max > self.audio.sample_rate / 2:
            raise ValueError("front_end.f_max is above half of audio.sample_rate")
        if self.front_end.kind != "log-mel":
            raise ValueError("front_end.kind must be 'log-mel'")
        training = self.training
        if training.learn_validation and (training.select != "last" or training.patience):
            raise ValueError(
                "training.learn_validation leaves nothing to choose an epoch by: select 'last' "
                "and let patience be 0"
            )
        if self.settling.epochs and not self.airing.seconds:
            raise ValueError("settling is for networks that learn from passages: airing.seconds")
        names = [label.name for label in self.data.labels]
        if len(set(names)) != len(names):
            raise ValueError("data.labels names a label twice")
        return self

    def settled(self) -> Recipe:
        """By what ``[settling]`` goes on: longer passages, and the convolutions rest."""
        settling = self.settling
        airing = {"seconds": settling.seconds, "pieces": settling.pieces}
        training = settling.model_dump(include={"epochs", "crops_per_epoch", "batch_size"})
        training |= {"learning_rate": settling.learning_rate, "freeze": "hearing"}
        return self.model_copy(
            update={
                "airing": self.airing.model_copy(update=airing),
                # What is heard is as it is: nothing more is to be predicted by it.
                "teaching": self.teaching.model_copy(update={"embedding": 0.0}),
                "training": self.training.model_copy(update=training),
                "settling": Settling(),
            }
        )

    def override(
        self, *, labels: str | None = None, epochs: int | None = None, seed: int | None = None
    ) -> Recipe:
        """Return the recipe with what the command line says in its place.

        ``labels`` is a list with commas, or ``data`` for those of the data. Raises
        :class:`UsageError` for a value that does not fit.
        """
        raw = self.model_dump()
        if labels is not None:
            kinds = {label.name: label.kind for label in self.data.labels}
            names = [] if labels == "data" else [n.strip() for n in labels.split(",") if n.strip()]
            raw["data"]["labels"] = [
                {"name": name, "kind": kinds.get(name, kind_of(name))} for name in names
            ]
        if epochs is not None:
            raw["training"]["epochs"] = epochs
        if seed is not None:
            raw["training"]["seed"] = seed
        try:
            return Recipe.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def load(path: Path) -> Recipe:
    """Read a recipe.

    Raises :class:`InputError` if there is no such file and :class:`ConfigError` if it is not
    TOML, has an unknown key (the nearest known one is named) or a value that does not fit.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError(
            f"cannot read the recipe {path}: {error.strerror}", "recipes are in configs/train"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text", "a recipe is a TOML file") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}", "correct that line") from None
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise _explain(error, path) from None


def _explain(error: ValidationError, path: Path) -> ConfigError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        message = first["msg"].removeprefix("Value error, ")
        place = f"{where}: " if where else ""
        return ConfigError(f"{path}: {place}{message}", "correct that key in the recipe")
    table: type[BaseModel] = Recipe
    for part in first["loc"][:-1]:
        field = table.model_fields.get(str(part))
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            table = inner
    near = difflib.get_close_matches(str(first["loc"][-1]), table.model_fields, 1, cutoff=0.0)
    return ConfigError(f"{path}: there is no key {where!r}", f"did you mean {near[0]!r}?")
