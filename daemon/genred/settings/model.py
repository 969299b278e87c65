"""``[model]``: what listens, and on what."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from genred.settings.section import Section


class ModelSettings(Section):
    """What listens, and on what it runs."""

    path: Path | None = Field(default=None, examples=["/var/lib/genred/model.onnx"])
    """A model file or its folder. The shipped model if not given."""

    provider: Literal["auto", "cpu", "cuda"] = "auto"
    """``cuda`` refuses to start without it; ``auto`` takes what measures fastest."""

    threads: int = Field(default=1, ge=1, le=64)
    """Threads that one step of the model may use. One is the cheapest."""
