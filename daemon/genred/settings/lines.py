"""On which line of a TOML file each key stands, which ``tomllib`` does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from typing import TypeAlias

Key: TypeAlias = tuple[str | int, ...]
"""Where a value stands: names of tables and keys, and indices into arrays, from 0."""

_DEPTH = 8
"""Keys deeper than this are not noted: the settings have four levels, and a file of one dotted
key that goes on for ever must not cost the square of its length."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?""""{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[Key, int]:
    """The line, from 1, of every table, key and array element in ``text``.

    ``text`` must be TOML that ``tomllib`` accepts; of anything else the result is unspecified,
    and may be incomplete.
    """
    scanner = _Scanner(text)
    with suppress(RecursionError, IndexError, AttributeError, tomllib.TOMLDecodeError):
        scanner.document()
    return scanner.lines


class _Scanner:
    """One pass over the text; ``at`` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Key, int] = {}
        self._counts: dict[Key, int] = {}
        self._breaks = [found.start() for found in re.finditer("\n", text)]

    def document(self) -> None:
        table: Key = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _note(self, path: Key, at: int) -> None:
        if len(path) <= _DEPTH:
            self.lines.setdefault(path, bisect_right(self._breaks, at) + 1)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise IndexError(self.at)  # not TOML: see `locate`
        self.at = found.end()
        return found.group()

    def _header(self) -> Key:
        start = self.at
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        *outer, name = self._key()
        self._skip(_SPACE)
        self.at += brackets
        path: Key = ()
        for part in outer:
            path = (*path, part)
            self._note(path, start)
            if path in self._counts:  # a table inside the newest element of an array of tables
                path = (*path, self._counts[path] - 1)
        path = (*path, name)
        self._note(path, start)
        if brackets == 2:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            path = (*path, index)
            self._note(path, start)
        return path

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            if self.text[self.at] in "\"'":
                part = str(tomllib.loads(f"key = {self._skip(_STRING)}")["key"])
            else:
                part = self._skip(_BARE)
            if len(parts) <= _DEPTH:
                parts.append(part)
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _pair(self, table: Key) -> None:
        start = self.at
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self._skip(_SPACE)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Key) -> None:
        first = self.text[self.at]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        elif first in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Key) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "]":
                break
            element = (*path, index) if len(path) <= _DEPTH else path
            self._note(element, self.at)
            self._value(element)
            index += 1
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: Key) -> None:
        self.at += 1
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "}":
                break
            self._pair(path)
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1
