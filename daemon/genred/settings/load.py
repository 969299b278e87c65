"""Settings from everywhere they can come from: flag over environment over file over default.

The environment names a key as ``GENRED_SECTION__KEY`` (``GENRED_MQTT__BASE_TOPIC``, and
``GENRED_FEEDS__0__SOURCE`` for the first feed); without the two underscores a variable is no
setting. Its text is read as the key's type demands. An empty variable takes a key away that need
not be given; for all other keys it is an error like any wrong value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from genred.errors import ConfigError, UsageError
from genred.settings import files
from genred.settings.faults import Fault, Kind, Origin, describe, nearest, wrong_value
from genred.settings.feeds import source_path
from genred.settings.fields import dotted, keys, lookup, plain_type, section_of
from genred.settings.lines import locate
from genred.settings.root import Settings
from genred.settings.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.settings.lines import Key

PREFIX = "GENRED_"
"""What the names of genred's environment variables begin with."""

SEPARATOR = "__"
"""Between section and key in the name of an environment variable."""

HINT = "`genred check-config --print-example` shows every key"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where they come from."""

    settings: Settings
    path: Path | None
    """The file that was read."""
    origins: Mapping[Key, Origin] = field(default_factory=dict)

    def origin(self, path: Key) -> Origin:
        """Where the value at ``path`` comes from."""
        return self.origins.get(path, Origin(Kind.DEFAULT))


def load(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Loaded:
    """The settings out of the file at ``path`` (else the one found), environment and flags.

    ``overrides`` are what the command line says, ``{"mqtt": {"url": …}}``; a value of None was not
    given. ``feeds`` takes the place of all feeds of the file. Text is read as the key's type
    demands.

    Paths in the file are relative to its folder (``~/`` is the home), those of environment and
    command line to the working directory.

    Raises :class:`InputError` for a missing file, :class:`AccessError` for one that may not be
    read, :class:`UsageError` where only the command line is wrong, otherwise
    :class:`ConfigError`, which lists all faults, a line each.
    """
    found = files.find(path, environ)
    merge = _Merge(environ)
    if found is not None:
        merge.file(found)
    merge.environment()
    merge.flags(overrides or {})
    try:
        settings = Settings.model_validate(merge.values, strict=True)
    except ValidationError as error:
        merge.faults += [describe(each, merge.origins) for each in error.errors()]
    except RecursionError:
        raise ConfigError(f"{found}: nested too deeply") from None
    if merge.faults:
        faults = sorted(merge.faults, key=lambda fault: fault.order)
        lines = "\n".join(dict.fromkeys(str(fault) for fault in faults))
        if all(fault.origin.kind is Kind.FLAG for fault in faults):
            raise UsageError(lines)
        raise ConfigError(lines, HINT)
    return _of_shard(Loaded(settings, found, merge.origins))


def _of_shard(loaded: Loaded) -> Loaded:
    """The same with this node's part of the feeds alone, where it has a part."""
    settings = loaded.settings
    if settings.node.shard is None or not settings.feeds:
        return loaded
    shard = Shard.parse(settings.node.shard)
    mine = shard.part([feed.id for feed in settings.feeds])
    if not mine:
        raise ConfigError(
            f"node.shard: none of the {len(settings.feeds)} feeds is in part {shard}",
            "name fewer parts, or add feeds",
        )
    origins: dict[Key, Origin] = {}
    for key, origin in loaded.origins.items():
        if len(key) < 2 or key[0] != "feeds":
            origins[key] = origin
        elif key[1] in mine:
            origins["feeds", mine.index(key[1]), *key[2:]] = origin
    feeds = tuple(settings.feeds[position] for position in mine)
    return Loaded(settings.model_copy(update={"feeds": feeds}), loaded.path, origins)


def variable(path: Key) -> str:
    """The environment variable that sets the key at ``path``."""
    return PREFIX + SEPARATOR.join(str(part).upper() for part in path)


class _Merge:
    """Plain values from the weakest origin to the strongest, each over the one before."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.values: dict[str, Any] = {}
        self.origins: dict[Key, Origin] = {}
        self.faults: list[Fault] = []

    def file(self, path: Path) -> None:
        text = files.read(path)
        self.values = files.parse(text, path)
        shown = files.show(path)
        self.origins[()] = Origin(Kind.FILE, shown)
        for key, line in locate(text).items():
            self.origins[key] = Origin(Kind.FILE, f"{shown}:{line}", line)
        feeds = self.values.get("feeds")
        if isinstance(feeds, list):
            self.values["feeds"] = tuple(feeds)
        self._resolve(self.values, (), path.absolute().parent)

    def _resolve(self, inside: dict[str, Any], above: Key, folder: Path) -> None:
        """Make paths in the file absolute, in place."""
        for name, value in inside.items():
            key = (*above, name)
            found = lookup(key)
            if isinstance(value, dict):
                if found is not None:
                    self._resolve(value, key, folder)
            elif isinstance(value, tuple):
                for index, each in enumerate(value):
                    if isinstance(each, dict):
                        self._resolve(each, (*key, index), folder)
            elif isinstance(value, str) and value and isinstance(found, FieldInfo):
                if plain_type(found)[0] is Path:
                    inside[name] = self._absolute(value, folder)
                elif name == "source" and source_path(value) is not None:
                    inside[name] = str(self._absolute(value, folder))

    def _absolute(self, text: str, folder: Path) -> Path:
        home = self.environ.get("HOME")
        if home and (text == "~" or text.startswith("~/")):
            return Path(home, text[2:])
        return folder / text

    def environment(self) -> None:
        named: list[tuple[Key, str]] = []
        for name in self.environ:
            if name.startswith(PREFIX) and SEPARATOR in (rest := name.removeprefix(PREFIX)):
                parts = rest.lower().split(SEPARATOR)
                key: Key = tuple(int(each) if _is_index(each) else each for each in parts)
                named.append((key, name))
        for key, name in sorted(named, key=lambda each: [str(part).zfill(9) for part in each[0]]):
            self._set(key, self.environ[name], Origin(Kind.ENVIRONMENT, f"${name}"))

    def flags(self, overrides: Mapping[str, Any], above: Key = ()) -> None:
        for name, value in overrides.items():
            key = (*above, name)
            if isinstance(value, Mapping):
                self.flags(value, key)
            elif key == ("feeds",):
                self._feeds(value)
            elif value is not None:
                self._set(key, value, Origin(Kind.FLAG))

    def _feeds(self, feeds: Sequence[Any] | None) -> None:
        if feeds is None:
            return
        for key in [key for key in self.origins if key[0:1] == ("feeds",)]:
            del self.origins[key]
        self.values["feeds"] = tuple(
            each.model_dump(exclude_unset=True) if isinstance(each, BaseModel) else dict(each)
            for each in feeds
        )
        for index, each in enumerate(self.values["feeds"]):
            for name, value in each.items():
                self.origins["feeds", index, name] = Origin(Kind.FLAG)
                for inner in value if isinstance(value, Mapping) else ():
                    self.origins["feeds", index, name, inner] = Origin(Kind.FLAG)

    def _set(self, key: Key, value: Any, origin: Origin) -> None:
        """Put ``value`` at ``key``, read as its type demands."""
        found = lookup(key)
        if not isinstance(found, FieldInfo) or section_of(found) is not None:
            self.faults.append(Fault(origin, _no_setting(key, origin)))
            return
        if isinstance(value, str):
            try:
                value = _read(value, found)
            except ValidationError:
                self.faults.append(Fault(origin, wrong_value(key, value)))
                return
        inside: Any = self.values
        for part in key[:-1]:
            if isinstance(part, str) and isinstance(inside, dict):
                inside = self._step(inside, part, key, origin)
            elif isinstance(part, int) and isinstance(inside, tuple):
                if part >= len(inside):
                    what = f"feeds are numbered from 0 without a gap; the next is {len(inside)}"
                    self.faults.append(Fault(origin, what))
                    return
                inside = inside[part]
        if isinstance(inside, dict):  # else the file has something wrong, which will be told
            inside[key[-1]] = value
            self.origins[key] = origin

    def _step(self, inside: dict[str, Any], part: str, key: Key, origin: Origin) -> Any:
        if part != "feeds":
            return inside.setdefault(part, {})
        feeds = inside.setdefault(part, ())
        index = key[1]
        if isinstance(feeds, tuple) and index == len(feeds):  # one more feed
            feeds = inside[part] = (*feeds, {})
            self.origins["feeds", index] = Origin(origin.kind)
        return feeds


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6


def _read(text: str, found: FieldInfo) -> Any:
    kind, optional = plain_type(found)
    if not text and optional:
        return None
    annotation: Any = Annotated[kind, *found.metadata] if found.metadata else kind
    return TypeAdapter(annotation).validate_python(text)


def _no_setting(key: Key, origin: Origin) -> str:
    """That there is no such setting, and the nearest that there is."""
    index = next((part for part in key if isinstance(part, int)), 0)
    known = [tuple(index if part == 0 else part for part in path) for path, _ in keys()]
    if origin.kind is Kind.ENVIRONMENT:
        names = {variable(path).lower(): variable(path) for path in known}
        near = nearest(variable(key), names)
        return "no such setting; " + (f"the nearest is {names[near]}" if near else HINT)
    near = nearest(dotted(key), [dotted(path) for path in known])
    return f"{dotted(key)}: no such setting; " + (f"the nearest is {near}" if near else HINT)
