"""Settings: one file for each section, :class:`Settings` for all of them."""

from genred.settings.root import Settings

__all__ = ["Settings"]
