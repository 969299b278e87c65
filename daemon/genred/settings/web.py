"""``[web]``: the HTTP API, metrics and the live page."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field

from genred.settings.section import Section


class WebSettings(Section):
    """The HTTP API, metrics and the live page; needs the extra ``web``."""

    enabled: bool = False
    """Serve HTTP."""

    host: str = Field(default="127.0.0.1", min_length=1, pattern=r"^[^\s/]+$")
    """The address to listen on: this machine alone, ``0.0.0.0`` for everybody who can reach it, or
    one of its addresses. Anything but this machine alone needs a token."""

    port: int = Field(default=8480, ge=0, le=65535)
    """The TCP port; 0 takes a free one and says which."""

    token_file: Path | None = Field(default=None, examples=["/etc/genred/web-token"])
    """A file that holds the token that who asks must show, 16 characters or more. Looked for
    first: the credential ``web-token`` in ``$CREDENTIALS_DIRECTORY`` (systemd), then the variable
    ``GENRED_WEB_TOKEN``."""

    name: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9.-]+$", examples=["radio.example.org"]
    )
    """Another name by which people reach it, through a reverse proxy for example. Without a token
    no name but this one, the address and ``localhost`` is answered."""

    upload_mb: int = Field(default=64, ge=1, le=4096)
    """The largest clip that may be uploaded, in megabytes (10^6 bytes)."""

    upload_s: float = Field(default=60.0, ge=1, le=3600)
    """An upload that is not complete after so many seconds is refused."""

    classify_s: float = Field(default=60.0, ge=1, le=3600)
    """Judging a clip may take so many seconds; about 1,000 times as much sound is judged in it."""

    @property
    def here_alone(self) -> bool:
        """Is it reached from this machine alone."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
