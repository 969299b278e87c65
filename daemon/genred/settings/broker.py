"""``[broker]``: the embedded MQTT broker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genred.settings.section import Section


class BrokerSettings(Section):
    """The embedded MQTT broker, on loopback alone; for trying out, not for a house."""

    embedded: Literal["auto", "on", "off"] = "auto"
    """``auto`` starts it for the demo when ``[mqtt] url`` is not given."""

    port: int = Field(default=18830, ge=0, le=65535)
    """The loopback port; a free one is taken if it is 0 or taken already."""
