"""``[judgement]``: from scores to what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, Field, model_validator

from genred.settings.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Keys(Section):
    silence_dbfs: float = Field(default=-55.0, ge=-120, le=0)
    """Below this level (RMS of one hop, dBFS) the gate closes and nothing is classified."""

    silence_hysteresis_db: float = Field(default=3.0, ge=0, le=40)
    """The gate opens again only this far above ``silence_dbfs``."""

    silence_after_s: float = Field(default=2.0, ge=0, le=3600)
    """The gate must be closed for so long before ``silence`` is said."""

    dead_air_after_s: float = Field(default=10.0, gt=0, le=86400)
    """The gate must be closed for so long before it is dead air."""

    recover_after_s: float = Field(default=1.0, ge=0, le=3600)
    """The gate must be open for so long before dead air is over."""

    mean_duration_s: float = Field(default=40.0, gt=0, le=86400)
    """How long one label lasts on average: how sticky the smoother is."""

    evidence: float = Field(default=0.25, gt=0, le=1)
    """Weight of one decision between labels of a kind, as genres of music. Windows overlap, so
    that decisions repeat each other: about hop divided by window counts each second once."""

    kind_evidence: float = Field(default=0.25, gt=0, le=4)
    """Weight of one decision between kinds: music, speech and noise. A network that is less sure
    of kinds than it is right has more than 1 here."""

    enter: float = Field(default=0.6, gt=0, lt=1)
    """A label is said when its smoothed probability reaches this."""

    kind_enter: float = Field(default=0.6, gt=0, lt=1)
    """A kind of several labels, as music, is sure when they reach this together: what was said of
    another kind is over then, and `unknown` is of this kind until a label of it is sure."""

    exit: float = Field(default=0.35, gt=0, lt=1)
    """A label that is said stays until its smoothed probability falls below this."""

    unknown_after_s: float = Field(default=2.0, ge=0, le=3600)
    """No label must have been sure for so long before ``unknown`` is said."""


class JudgementSettings(_Keys):
    """From scores to what is said. A feed may set its own under ``[feeds.judgement]``.

    A model may recommend its own values in place of these defaults (see ``genred model``); what
    is set here holds for any model.
    """

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.exit > self.enter:
            raise ValueError("exit must not be above enter")
        return self

    def suited(self, recommended: Mapping[str, float]) -> JudgementSettings:
        """These settings with what a model recommends in place of the keys that were not set."""
        if not recommended:
            return self
        given = self.model_fields_set
        values = {**self.model_dump(), **{k: v for k, v in recommended.items() if k not in given}}
        # What was set holds, and what is recommended gives way, if the two cross.
        if values["exit"] > values["enter"]:
            kept = "exit" if "exit" in given else "enter"
            values["enter"] = values["exit"] = values[kept]
        return JudgementSettings.model_validate(values)


def _without_defaults(schema: dict[str, Any]) -> None:
    for each in schema["properties"].values():
        each.pop("default", None)


class JudgementOverrides(_Keys):
    """A feed's own judgement: any keys of ``[judgement]``, which gives those not named here."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    def over(self, base: JudgementSettings) -> JudgementSettings:
        """``base`` with the keys that were given here.

        Raises ``pydantic.ValidationError`` where the two do not go together.
        """
        given = self.model_dump(exclude_unset=True)
        if not given:
            return base
        # What neither has set must stay unset: a model may recommend it.
        return JudgementSettings.model_validate({**base.model_dump(exclude_unset=True), **given})
