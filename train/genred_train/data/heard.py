"""What a model has heard, kept in its file: short hashes of recordings and groups.

So that a model file by itself can tell, on any data, which artists it was trained on.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from genred_train.data.corpus import Corpus, Entry

# Bytes of each hash: with a hundred thousand of them, a chance of 1 in 3000 that any recording
# of as many others is taken for a heard one.
SIZE = 6


@dataclass(frozen=True, slots=True)
class Heard:
    """The recordings and groups that training and validation had."""

    tokens: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, corpus: Corpus) -> Heard:
        """All of ``corpus`` but its test split."""
        known = [entry for entry in corpus.entries if entry.split != "test"]
        known += corpus.unlabelled
        return cls(frozenset(token for entry in known for token in tokens(entry)))

    @classmethod
    def unpack(cls, text: str) -> Heard:
        """Read what :meth:`pack` wrote; text that is not that, as of older files, is nothing."""
        try:
            packed = base64.b85decode(text)
        except ValueError:
            return cls()
        return cls(frozenset(packed[at : at + SIZE] for at in range(0, len(packed), SIZE)))

    def pack(self) -> str:
        """As text, for the metadata of a model file."""
        return base64.b85encode(b"".join(sorted(self.tokens))).decode()

    def groups(self, entries: Collection[Entry]) -> set[str]:
        """The groups among ``entries`` that were heard, by name or by a recording of theirs."""
        return {entry.group for entry in entries if self.tokens.intersection(tokens(entry))}


def tokens(entry: Entry) -> tuple[bytes, bytes]:
    """Short hashes of a recording's content and of its group's name."""
    group = hashlib.sha256(f"group {entry.group}".encode()).digest()
    return bytes.fromhex(entry.stored.digest)[:SIZE], group[:SIZE]
