"""How ``run`` comes to serve HTTP, where it is wanted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from genred.errors import ConfigError

if TYPE_CHECKING:
    from genred.model.session import Model
    from genred.settings.root import Settings
    from genred.web.server import WebPublisher

LOGMEL_S: Final = 26.0
"""Seconds of log-mel that the live page shows."""

STRIP_S: Final = 900.0
"""Seconds of segments that the live page shows where no history is kept."""


def web_publisher(settings: Settings, model: Model) -> WebPublisher:
    """The server by ``[web]``.

    Raises :class:`ConfigError` where its libraries are not installed, and what
    :class:`genred.web.server.WebPublisher` raises.
    """
    try:
        from genred.web.server import WebPublisher
    except ModuleNotFoundError as error:
        if (error.name or "genred").split(".")[0] == "genred":
            raise
        raise ConfigError(
            f"[web] is enabled, but {error.name} is not installed",
            "pip install 'genred[web]', or set web.enabled = false",
        ) from None
    from genred.history.place import written_to
    from genred.history.reader import Reader

    kept = written_to(settings.history, os.environ)
    return WebPublisher(
        settings.web,
        settings.model.path,
        settings.judgement,
        Reader(kept) if kept is not None else None,
        fell_back=model.fell_back,
    )
