"""``[mqtt]``: where what is heard is published, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from genred.settings.section import Section

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
"""The port of each scheme where the URL names none: those that IANA has registered."""

_LEVELS: Final = r"^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker is. As text it is the URL without user and password."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def _take_apart(url: str) -> tuple[str, str, str]:
    """``url`` without user and password, and those two, decoded; ``""`` where there is none.

    A password may hold ``/``, ``?``, ``#`` and ``@`` as they are: all up to the last ``@`` counts.
    """
    scheme, colon, rest = url.partition("://")
    if not colon:
        return url, "", ""
    person, _, place = rest.rpartition("@")
    user, _, password = person.partition(":")
    return f"{scheme}://{place}", unquote(user), unquote(password)


def _address(url: str) -> BrokerAddress:
    """Read a URL that holds no user; raises ``ValueError`` with what is wrong."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or "://" not in url:
        raise ValueError("write mqtt://host[:port], or mqtts://host[:port] for TLS")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("nothing may follow host and port")
    try:
        port = parts.port
        host = parts.hostname or ""
        host.encode("idna")
    except (ValueError, UnicodeError):
        raise ValueError("host or port is not valid") from None
    if not host or any(mark.isspace() or not mark.isprintable() for mark in host) or port == 0:
        raise ValueError("host or port is not valid")
    return BrokerAddress(host, port or PORTS[parts.scheme], parts.scheme == "mqtts")


class MqttSettings(Section):
    """The broker, the topics, and Home Assistant's discovery."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: str | None = Field(default=None, examples=["mqtts://mqtt.example.org:8883"])
    """``mqtt://[user@]host[:port]`` or ``mqtts://…`` for TLS. Without it nothing is published, and
    ``genred demo`` starts a broker of its own. A password does not belong here: see below."""

    username: str | None = Field(default=None, min_length=1, examples=["genred"])
    """The user name, if not in the URL."""

    password_file: Path | None = Field(default=None, examples=["/etc/genred/mqtt-password"])
    """A file that holds the password. Looked for first: the credential ``mqtt-password`` in
    ``$CREDENTIALS_DIRECTORY`` (systemd), then the variable ``GENRED_MQTT_PASSWORD``."""

    client_id: str | None = Field(
        default=None, min_length=1, max_length=128, examples=["genred-studio"]
    )
    """The client id; ``genred-<node>`` if not given."""

    base_topic: str = Field(default="genred", pattern=_LEVELS)
    """The first part of all topics."""

    keepalive_s: int = Field(default=30, ge=5, le=3600)
    """After one and a half times this without a sign the broker sends the last will."""

    heartbeat_s: float = Field(default=30.0, ge=1, le=3600)
    """State and health are sent again this often, changed or not."""

    queue: int = Field(default=1000, ge=10, le=1_000_000)
    """Messages kept while the broker is away; beyond it the oldest are dropped and counted."""

    scores: bool = False
    """Publish every decision (about 4 messages a second for each feed)."""

    ca_file: Path | None = Field(default=None, examples=["/etc/genred/ca.pem"])
    """The certificate authority to trust, PEM. The system's own if not given."""

    cert_file: Path | None = Field(default=None, examples=["/etc/genred/client.pem"])
    """A client certificate, PEM."""

    key_file: Path | None = Field(default=None, examples=["/etc/genred/client.key"])
    """The client certificate's key, PEM."""

    alpn: str | None = Field(default=None, min_length=1, max_length=255, examples=["mqtt"])
    """An ALPN protocol name, for brokers that share port 443."""

    discovery: Literal["device", "component", "off"] = "device"
    """Home Assistant: ``device`` for 2024.12 and newer, ``component`` for older ones."""

    discovery_prefix: str = Field(default="homeassistant", pattern=_LEVELS)
    """Home Assistant's discovery prefix."""

    # A password that came in the URL is moved here, so that no dump, repr or error can show it.
    _url_password: SecretStr | None = PrivateAttr(default=None)

    @property
    def address(self) -> BrokerAddress | None:
        """Where the broker is; None if nothing is to be published."""
        return None if self.url is None else _address(_take_apart(self.url)[0])

    @property
    def user(self) -> str | None:
        """The user name, wherever it was given."""
        return self.username or (_take_apart(self.url)[1] if self.url else "") or None

    @property
    def url_password(self) -> SecretStr | None:
        """The password that came in the URL, if one did."""
        return self._url_password

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str | None) -> str | None:
        if url is not None:
            _address(_take_apart(url)[0])
        return url

    @model_validator(mode="wrap")
    @classmethod
    def _without_password(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        password = ""
        if isinstance(data, Mapping) and isinstance(data.get("url"), str):
            bare, user, password = _take_apart(data["url"])
            if password:
                scheme, _, place = bare.partition("://")
                # "%40" for an "@" in the user's name, as it was written
                person = data["url"].partition("://")[2].rpartition("@")[0].partition(":")[0]
                url = f"{scheme}://{person}@{place}" if user else bare
                data = {**data, "url": url}
        made = handler(data)
        if password:
            if not made.user:
                raise ValueError("a password in url needs a user: mqtt://user:password@host")
            made._url_password = SecretStr(password)  # noqa: SLF001 - its own
        return made

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        in_url = _take_apart(self.url)[1] if self.url else ""
        if in_url and self.username and in_url != self.username:
            raise ValueError("username and the user in url differ")
        if self.password_file is not None and self.url and not self.user:
            raise ValueError("password_file needs a user: set username")
        if self.url and self.alpn and not _address(_take_apart(self.url)[0]).tls:
            raise ValueError("alpn needs TLS: write mqtts:// in url")
        return self
