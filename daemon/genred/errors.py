"""Every error genred raises on purpose, and the exit code each one ends the command with.

::

    GenredError                 what people did or met, told in one line
    ├── UsageError        64    the command line does not make sense
    ├── InputError        66    a file is missing, unreadable, empty or not what it should be
    ├── UnavailableError  69    a device, stream or broker is not there or refuses
    ├── InternalError     70    a fault of genred's own
    ├── OutputError       74    something could not be written
    ├── TemporaryError    75    try again later
    ├── AccessError       77    not allowed, or credentials refused
    └── ConfigError       78    the configuration is wrong
        └── ModelError    78    the model file is refused

The codes are those of BSD's ``sysexits.h``. A :class:`GenredError` carries one line saying what
is wrong and, as ``hint``, what to do next; it is shown without a traceback.
"""

from __future__ import annotations

from typing import ClassVar


class GenredError(Exception):
    """Base of all errors that are shown to people as one clear line.

    ``message`` says what is wrong; ``hint`` (may be empty) says what to do next.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(GenredError):
    """The command line does not make sense."""

    exit_code = 64


class InputError(GenredError):
    """A file is missing, unreadable, empty or not what it should be."""

    exit_code = 66


class UnavailableError(GenredError):
    """A device, stream or broker is not there or refuses."""

    exit_code = 69


class InternalError(GenredError):
    """A fault of genred's own."""

    exit_code = 70


class OutputError(GenredError):
    """Something could not be written."""

    exit_code = 74


class TemporaryError(GenredError):
    """It may work later."""

    exit_code = 75


class AccessError(GenredError):
    """Not allowed, or credentials refused."""

    exit_code = 77


class ConfigError(GenredError):
    """The configuration is wrong."""

    exit_code = 78


class ModelError(ConfigError):
    """The model file is refused."""
