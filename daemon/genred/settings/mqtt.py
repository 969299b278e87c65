"""``[mqtt]``: where what is heard is published, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from genred.settings.section import Section


class MqttSettings(Section):
    """The broker, the topics, and Home Assistant's discovery."""

    url: str | None = None
    """``mqtt://[user@]host[:port]`` or ``mqtts://…`` for TLS. Without it nothing is published, and
    ``genred demo`` starts a broker of its own. A password does not belong here: see below."""

    username: str | None = None
    """The user name, if not in the URL."""

    password_file: Path | None = None
    """A file that holds the password. Looked for first: the credential ``mqtt-password`` in
    ``$CREDENTIALS_DIRECTORY`` (systemd), then the variable ``GENRED_MQTT_PASSWORD``."""

    client_id: str | None = None
    """The client id; ``genred-<node>`` if not given."""

    base_topic: str = Field(default="genred", min_length=1, pattern=r"^[a-zA-Z0-9_\-/]+$")
    """The first part of all topics."""

    keepalive_s: int = Field(default=30, ge=5, le=3600)
    """After one and a half times this without a sign the broker sends the last will."""

    heartbeat_s: float = Field(default=30.0, ge=1, le=3600)
    """State and health are sent again this often, changed or not."""

    queue: int = Field(default=1000, ge=10, le=1_000_000)
    """Messages kept while the broker is away; beyond it the oldest are dropped and counted."""

    scores: bool = False
    """Publish every decision (about 4 messages a second for each feed)."""

    ca_file: Path | None = None
    """The certificate authority to trust, PEM. The system's own if not given."""

    cert_file: Path | None = None
    """A client certificate, PEM."""

    key_file: Path | None = None
    """The client certificate's key, PEM."""

    alpn: str | None = None
    """An ALPN protocol name, for brokers that share port 443."""

    discovery: Literal["device", "component", "off"] = "device"
    """Home Assistant: ``device`` for 2024.12 and newer, ``component`` for older ones."""

    discovery_prefix: str = Field(default="homeassistant", pattern=r"^[a-zA-Z0-9_\-/]+$")
    """Home Assistant's discovery prefix."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self
