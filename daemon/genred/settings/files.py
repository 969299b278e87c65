"""The configuration file: where it is looked for, and what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import AccessError, ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = Path("genred", "genred.toml")
"""The file's name under a configuration folder."""

SYSTEM = Path("/etc")
"""The configuration folder of the machine."""

VARIABLE = "GENRED_CONFIG"
"""The environment variable that names the file."""

MAX_BYTES = 1 << 20
"""The largest file that is read: a thousand feeds take about a third of it, and whatever is
larger is no configuration."""

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def candidates(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where the file is looked for when none is named, in this order.

    ``$XDG_CONFIG_HOME`` counts if it is absolute, as the XDG base directory specification says;
    otherwise ``~/.config`` takes its place, where there is a home.
    """
    folders = [SYSTEM]
    xdg = environ.get("XDG_CONFIG_HOME", "")
    home = environ.get("HOME", "")
    if Path(xdg).is_absolute():
        folders.insert(0, Path(xdg))
    elif home:
        folders.insert(0, Path(home, ".config"))
    return tuple(folder / NAME for folder in folders)


def find(named: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the one ``named``, ``$GENRED_CONFIG``, or the first that exists.

    Raises :class:`InputError` where ``$GENRED_CONFIG`` names no file; a ``named`` one is checked
    when it is read.
    """
    if named is not None:
        return named
    if variable := environ.get(VARIABLE):
        path = Path(variable)
        if not _exists(path):
            raise InputError(f"{path}: no such file", f"${VARIABLE} names it")
        return path
    return next((path for path in candidates(environ) if _exists(path)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except ValueError:  # a NUL byte
        return False
    except OSError:
        return True  # perhaps: reading it will say what stands in the way


def read(path: Path) -> str:
    """The text of the file, its lines ended as Unix does.

    Raises :class:`InputError` where there is none, :class:`AccessError` where it may not be read,
    :class:`ConfigError` where it is no UTF-8 text or too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        hint = "`genred check-config --print-example` prints one to begin with"
        raise InputError(f"{path}: no such file", hint) from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder", f"name the file, {path / NAME.name}?") from None
    except PermissionError:
        hint = "let genred's user read it, and the folders above it"
        raise AccessError(f"{path}: may not be read", hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{show(path)}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than 1 MiB, which no configuration of genred's is")
    hint = "save it as UTF-8"
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")  # the mark that some editors leave
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text", hint) from None
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise ConfigError(f"{path}:{line}: a NUL byte, which text does not hold", hint)
    return text


def parse(text: str, path: Path) -> dict[str, Any]:
    """``text`` as TOML. Raises :class:`ConfigError` with line and column where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _POSITION.search(message)
        what = message[: found.start()] if found else message
        what = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in what)
        if found and found[1]:
            place = f"{path}:{found[1]}:{found[2]}"
        else:
            place = f"{path}:{len(text.splitlines()) or 1}"
        raise ConfigError(f"{place}: not valid TOML: {what}", _hint(what)) from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _hint(what: str) -> str:
    if what == "Invalid value":
        return 'text stands in quotes: key = "value"'
    if what.startswith("Cannot declare") or what == "Cannot overwrite a value":
        return "each table and each key may stand once"
    return ""


def show(path: Path) -> str:
    """``path`` with what is not printable escaped."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(path))
