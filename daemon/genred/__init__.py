"""genred, a radio ear: listens to audio and tells programs and people what is playing."""

from importlib.metadata import version

__version__ = version("genred")
