"""What a model file says of itself: the JSON kept under the key ``genred`` inside ``model.onnx``.

The graph of a model file of format version 1 is the whole pipeline, one step of it:

======== ========== ============================ ==============================================
          name       shape, float32               what
======== ========== ============================ ==============================================
input    audio      ``[feeds, hop]``             the new samples, full scale = 1.0
input    state      ``[feeds, state_size]``      what the last step returned; zeros at the start
output   logits     ``[feeds, labels]``          one row a feed, not yet divided by temperature
output   logmel     ``[feeds, n_mels, frames]``  the log-mel frames that are new in this step
output   next_state ``[feeds, state_size]``      goes into the next step
======== ========== ============================ ==============================================

``feeds`` is free. Logits mean something only once ``window`` samples have gone in since the
state was zeros: until then part of the window is the zeros.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genred.labels import SILENCE, UNKNOWN, Kind

METADATA_KEY = "genred"
FORMAT: Final = "genred-model"
FORMAT_VERSION: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrontEnd(_Part):
    """How samples become log-mel frames; the words are torchaudio's ``MelSpectrogram``'s.

    ``log`` is the natural logarithm of ``mel + floor`` (``natural``) or ``10*log10`` of it
    (``decibel``). Frames are never centred: frame *t* covers samples ``[t*hop_length,
    t*hop_length + n_fft)`` and the newest frame ends with the newest sample.
    """

    kind: Literal["log-mel", "mfcc"] = "log-mel"
    n_fft: int = Field(gt=0)
    hop_length: int = Field(gt=0)
    n_mels: int = Field(gt=0)
    f_min: float = Field(ge=0)
    f_max: float = Field(gt=0)
    mel_scale: Literal["htk", "slaney"] = "htk"
    norm: Literal["slaney"] | None = None
    power: float = 2.0
    log: Literal["natural", "decibel"] = "natural"
    floor: float = Field(gt=0)
    n_mfcc: int | None = None


class LabelInfo(_Part):
    """One label of a model and its kind."""

    name: str = Field(min_length=1)
    kind: Literal[Kind.MUSIC, Kind.SPEECH, Kind.NOISE]


class Calibration(_Part):
    """How logits become the probabilities that people see: ``softmax(logits / temperature)``.

    Temperature scaling is that of Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """

    temperature: float = Field(gt=0)


class Judging(_Part):
    """How a daemon should judge by this model, found on streams that the model had not heard.

    All but temperatures are keys of the setting ``[judgement]`` and give way to what is
    set there; the temperatures make the smoothed belief as sure as it is right (see
    :mod:`genred.judgement.smoother`).
    """

    mean_duration_s: float = Field(gt=0)
    evidence: float = Field(gt=0, le=1)
    kind_evidence: float = Field(gt=0, le=4)
    enter: float = Field(gt=0, lt=1)
    kind_enter: float = Field(gt=0, lt=1)
    exit: float = Field(gt=0, lt=1)
    unknown_after_s: float = Field(ge=0)
    kind_temperature: float = Field(default=1.0, gt=0)
    label_temperature: float = Field(default=1.0, gt=0)
    doubt_temperature: float = Field(default=1.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _of_before_kinds(cls, given: object) -> object:
        """Models of before there was ``kind_enter`` name none: kinds waited for ``enter`` too."""
        if isinstance(given, dict) and "enter" in given:
            return {"kind_enter": given["enter"]} | given
        return given

    def settings(self) -> dict[str, float]:
        """The keys of ``[judgement]`` among them."""
        temperatures = {"kind_temperature", "label_temperature", "doubt_temperature"}
        return self.model_dump(exclude=temperatures)


class Network(_Part):
    """What the network is and what one step costs, the front end counted apart."""

    name: str
    parameters: int = Field(ge=0)
    network_macs_per_step: int = Field(ge=0)
    front_end_macs_per_step: int = Field(ge=0)


class Training(_Part):
    """Where the model comes from."""

    data_fingerprint: str
    recipe: str
    seed: int
    created: str
    versions: dict[str, str] = Field(default_factory=dict)
    notes: str = ""
    heard: str = ""
    """Short hashes of the recordings and groups trained on, for the lab's judging."""


class ModelMetadata(_Part):
    """Everything the daemon must know of a model, as it stands in the file.

    ``hop`` and ``window`` are in samples at ``sample_rate``: a decision comes every ``hop``.
    """

    format: Literal["genred-model"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    name: str = Field(min_length=1)
    sample_rate: int = Field(gt=0)
    hop: int = Field(gt=0)
    window: int = Field(gt=0)
    state_size: int = Field(gt=0)
    front_end: FrontEnd
    labels: tuple[LabelInfo, ...] = Field(min_length=2)
    calibration: Calibration
    judging: Judging | None = None
    """None: judged as the settings say, the smoothed belief shown as it is."""
    network: Network
    training: Training
    license: str = Field(min_length=1)
    short: Literal["skip", "repeat"] = "skip"
    """What the model was taught of recordings shorter than its window: nothing, or to hear them
    again from their start until they fill it."""

    @model_validator(mode="after")
    def _consistent(self) -> ModelMetadata:
        names = [label.name for label in self.labels]
        if len(set(names)) != len(names):
            raise ValueError("a label stands twice")
        for taken in (SILENCE, UNKNOWN):
            if taken in names:
                raise ValueError(f"{taken!r} is genred's own word and cannot be a model's label")
        if self.front_end.f_max > self.sample_rate / 2:
            raise ValueError("f_max is above half the sample rate")
        if self.window < self.front_end.n_fft:
            raise ValueError("the window is shorter than one frame of the front end")
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels in the order of the logits."""
        return tuple(label.name for label in self.labels)

    @property
    def decisions_per_second(self) -> float:
        """How often the model says something."""
        return self.sample_rate / self.hop

    @property
    def macs_per_second(self) -> float:
        """Multiply-adds for one second of audio of one feed, front end included."""
        step = self.network.network_macs_per_step + self.network.front_end_macs_per_step
        return step * self.decisions_per_second

    def to_json(self) -> str:
        """The text that goes into the file under :data:`METADATA_KEY`."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Read what :meth:`to_json` wrote; raises ``pydantic.ValidationError``."""
        return cls.model_validate_json(text)

    def summary(self) -> dict[str, Any]:
        """The few facts that go into ``<base>/<node>/info``."""
        return {
            "name": self.name,
            "labels": list(self.label_names),
            "sample_rate": self.sample_rate,
            "window_s": self.window / self.sample_rate,
            "hop_s": self.hop / self.sample_rate,
        }
