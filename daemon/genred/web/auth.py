"""Who may ask: a token, shown with each request or once by the page, which then has a cookie."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genred.errors import AccessError, ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genred.settings.web import WebSettings

CREDENTIAL: Final = "web-token"
"""The file's name in ``$CREDENTIALS_DIRECTORY`` (systemd's ``LoadCredential=``)."""

TOKEN_VARIABLE: Final = "GENRED_WEB_TOKEN"  # noqa: S105 - a variable's name
"""The environment variable that may hold the token."""

SHORTEST: Final = 16
"""Characters of a token: fewer could be guessed at the speed of a network."""

LONGEST: Final = 1024
"""Characters of a token: a larger file is none."""

COOKIE: Final = "genred_session"

SESSION_S: Final = 30 * 86_400
"""A browser shows the token again after 30 days."""


def read_token(settings: WebSettings, environ: Mapping[str, str] | None = None) -> str | None:
    """The token that must be shown; None where none is needed.

    From, in this order: the credential of systemd, the environment variable, the file. Raises
    :class:`ConfigError` where it is needed and there is none, or is too short, and
    :class:`AccessError` or :class:`InputError` for a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    token = _find(settings, environ)
    if token is None:
        if settings.here_alone:
            return None
        raise ConfigError(
            f"web.host is {settings.host}, which others can reach, and there is no token",
            "set web.token_file, or leave web.host at 127.0.0.1",
        )
    if not SHORTEST <= len(token) <= LONGEST or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"the web token must be {SHORTEST} printable ASCII characters or more",
            "make one with: openssl rand -hex 24",
        )
    return token


def _find(settings: WebSettings, environ: Mapping[str, str]) -> str | None:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory and (credential := Path(directory) / CREDENTIAL).exists():
        return _read(credential)
    if TOKEN_VARIABLE in environ:
        return environ[TOKEN_VARIABLE].strip()
    return _read(settings.token_file) if settings.token_file is not None else None


def _read(path: Path) -> str:
    hint = "it should hold the web token and nothing else"
    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 2).decode().strip()
    except PermissionError:
        raise AccessError(f"{path} may not be read", "give genred's user access") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text", hint) from None


class Gate:
    """Knows the token and the cookies made of it. Without a token everybody may ask.

    A cookie is a time and a keyed digest of it (HMAC-SHA-256): nothing is kept here, so that one
    holds over a restart, and none holds any more when the token has changed.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token.encode() if token is not None else None

    @property
    def open(self) -> bool:
        """May everybody ask."""
        return self._token is None

    def knows(self, token: str) -> bool:
        """Is this the token."""
        shown = token.encode("utf-8", "replace")
        return self._token is None or hmac.compare_digest(shown, self._token)

    def cookie(self) -> str:
        """A session from now on."""
        until = str(int(time.time()) + SESSION_S)
        return f"{until}.{self._digest(until)}"

    def admits(self, authorization: str, cookies: str) -> bool:
        """May who sent these two headers (perhaps empty) ask."""
        if self._token is None:
            return True
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self.knows(token.strip())
        try:
            morsel = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        until, _, digest = (morsel.value if morsel is not None else "").partition(".")
        if not (until.isascii() and until.isdecimal()) or len(until) > len(str(10**12)):
            return False
        return hmac.compare_digest(digest.encode(), self._digest(until).encode()) and (
            int(until) > time.time()
        )

    def _digest(self, until: str) -> str:
        assert self._token is not None
        return hmac.digest(self._token, f"genred session {until}".encode(), hashlib.sha256).hex()
