"""What the doctor finds: one line each, with what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from genred.errors import GenredError


class Verdict(StrEnum):
    """How it stands."""

    OK = "ok"
    DOUBT = "doubt"
    """It works, but probably not as it is meant."""
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    about: str
    """``configuration``, ``model``, ``feed radio`` …"""
    verdict: Verdict
    found: str
    mend: str = ""
    """What to do; empty where there is nothing to do."""
    exit_code: int = 0
    """Of the command, if this is the worst; 0 unless it is a fault."""

    @classmethod
    def ok(cls, about: str, found: str) -> Self:
        """All is well."""
        return cls(about, Verdict.OK, found)

    @classmethod
    def doubt(cls, about: str, found: str, mend: str = "") -> Self:
        """Allowed, and doubtful."""
        return cls(about, Verdict.DOUBT, found, mend)

    @classmethod
    def fault(cls, about: str, error: GenredError) -> Self:
        """What an error means here."""
        found = "; ".join(error.message.splitlines())
        return cls(about, Verdict.FAULT, found, error.hint, error.exit_code)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "verdict": self.verdict.value}
