"""One configuration for many nodes: which of its feeds are this node's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shard(BaseModel):
    """Part ``index`` of ``count``; as text ``3/10``, counted from 0 like a StatefulSet's pods.

    A feed goes to the part that scores highest for its id: rendezvous hashing (Thaler and
    Ravishankar, "Using name-based mappings to increase hit rates", 1998). So each feed has one
    node, all nodes agree without talking to each other, a feed more moves no other, and one part
    more takes its share from all and moves nothing else.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``I/N``. Raises ``ValueError`` with what is wrong."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise ValueError("write I/N: part I, counted from 0, of N")
        made = cls(index=int(index), count=int(count))
        if not made.index < made.count:
            raise ValueError(f"parts are counted from 0: the last of {count} is {made.count - 1}")
        return made

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def owns(self, feed: str) -> bool:
        """Does the feed of this id belong to the part?"""
        return max(range(self.count), key=lambda part: (_score(feed, part), part)) == self.index

    def part(self, feeds: Sequence[str]) -> list[int]:
        """The positions of those ids that belong to the part."""
        return [position for position, feed in enumerate(feeds) if self.owns(feed)]


def _score(feed: str, part: int) -> bytes:
    return hashlib.blake2b(f"{feed}/{part}".encode(), digest_size=8).digest()
