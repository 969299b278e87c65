"""The networks, one a file, found by the file's name.

Such a file has ``OPTIONS``, a pydantic model of what a recipe may set under
``[network.options]``, and ``build(n_mels, frames, labels, options)``, which returns a
:class:`~genred_train.networks.base.Network`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydantic import BaseModel, ValidationError

from genred.errors import ConfigError

if TYPE_CHECKING:
    from genred_train.networks.base import Network

_NOT_NETWORKS = {"base", "stages"}


class NetworkModule(Protocol):
    """What a file in this folder offers."""

    OPTIONS: type[BaseModel]

    def build(self, n_mels: int, frames: int, labels: int, options: Any) -> Network:
        """Make the network for windows of ``[n_mels, frames]``."""


def names() -> list[str]:
    """The names of all networks there are."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if name not in _NOT_NETWORKS)


def build(name: str, options: dict[str, Any], *, n_mels: int, frames: int, labels: int) -> Network:
    """Make the network called ``name`` with the recipe's ``options``.

    Raises :class:`ConfigError` if there is none of that name, if it knows no such option, or if
    it cannot work on windows of ``[n_mels, frames]``.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names())}"
        raise ConfigError(f"there is no network called {name!r}", hint)
    module = cast("NetworkModule", importlib.import_module(f"{__name__}.{name}"))
    try:
        checked = module.OPTIONS.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("network", "options", *first["loc"]))
        known = ", ".join(module.OPTIONS.model_fields)
        raise ConfigError(f"{where}: {first['msg']}", f"options of {name!r}: {known}") from None
    try:
        return module.build(n_mels, frames, labels, checked)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"network {name!r} cannot work on windows of {frames} frames of {n_mels} bands: "
            f"{error}",
            "change window_s, hop_s or the front end in the recipe",
        ) from None
