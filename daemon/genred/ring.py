"""A preallocated ring of samples between one thread that writes and one that reads.

Lock-free and made for the case that the writer must never wait: it overwrites what the reader has
not fetched yet, and the reader finds out. Positions count samples since the ring was made and only
ever grow, so that "was I overtaken?" is a comparison. The order of the writer's two announcements
makes that sound, as in a sequence lock (Boehm, "Can seqlocks get along with programming language
memory models?", MSPC 2012):

* before copying, the writer announces how far it is *going* to write (``claimed``);
* after copying, how far it *has* written (``written``).

The reader copies only below ``written`` and then looks at ``claimed``: whatever lies less than
``capacity`` behind it cannot have been touched meanwhile. CPython makes loads and stores of an
attribute atomic and keeps their order.

A ring whose reader always takes pieces of one size (``piece``) may go back to its beginning while
less than a piece is unread: the reader touches nothing then. The writer moves the rest there, and
as long as the reader keeps up only the first few pieces of the ring are ever used. The rest costs
no memory before it is needed, and what is written is still in the cache when it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ring:
    """The last ``capacity`` frames, float32 ``[capacity, channels]``.

    :meth:`write` and :meth:`room` belong to the one producer, :meth:`read` and :meth:`skip_to` to
    the one consumer; the properties may be read by both.
    """

    def __init__(self, capacity: int, channels: int = 1, piece: int = 0) -> None:
        if capacity < 1 or channels < 1:
            raise ValueError("a ring holds at least one frame of one channel")
        self.capacity = capacity
        self.channels = channels
        self.piece = piece
        """Frames that every read takes at least; 0 if that is not known."""
        self._data = np.zeros((capacity, channels), np.float32)
        self._flat = self._data.reshape(-1)
        self._base = 0  # the position that stands at the beginning of the memory, or a lap after
        self._claimed = 0
        self._written = 0
        self._read = 0
        self._lost = 0
        self._laps = 0

    @property
    def written(self) -> int:
        """Position after the newest frame: frames written since the start."""
        return self._written

    @property
    def position(self) -> int:
        """Position of the frame that :meth:`read` will fetch next."""
        return self._read

    @property
    def oldest(self) -> int:
        """Position of the oldest frame that can still be read intact."""
        return max(0, self._claimed - self.capacity)

    @property
    def lost(self) -> int:
        """Frames that the consumer never saw because they were overwritten."""
        return self._lost

    @property
    def laps(self) -> int:
        """Times the consumer found itself overtaken."""
        return self._laps

    def room(self) -> int:
        """Frames that can be written without overwriting unread ones."""
        return max(0, self.capacity - (self._written - self._read))

    def available(self) -> int:
        """Frames waiting to be read, at most ``capacity``."""
        return min(self._written - self._read, self.capacity)

    def write(self, frames: NDArray[np.float32]) -> None:
        """Add ``frames`` ``[n, channels]`` (``[n]`` for one channel); never waits.

        A block larger than the ring leaves only its end there; the reader counts the rest as lost.
        """
        count = len(frames)
        block = frames.reshape(count, self.channels)
        if self._written - self._read < self.piece:
            self._go_back()
        end = self._written + count
        self._claimed = end
        if count > self.capacity:
            block = block[count - self.capacity :]
        start = (end - len(block) - self._base) % self.capacity
        head = min(len(block), self.capacity - start)
        self._data[start : start + head] = block[:head]
        if head < len(block):
            self._data[: len(block) - head] = block[head:]
        self._written = end

    def _go_back(self) -> None:
        """Move what is unread, less than a piece, to the beginning if it lies a piece behind."""
        position = self._read
        rest = self._written - position
        at = (position - self._base) % self.capacity
        if self.piece <= at <= self.capacity - rest:
            self._data[:rest] = self._data[at : at + rest]
            self._base = position

    def read(self, out: NDArray[np.float32]) -> bool:
        """Fill ``out`` ``[n, channels]`` (``[n]`` for one channel) with the oldest unread frames.

        False, and nothing is consumed, when fewer than ``n`` are there. False as well when the
        writer has overtaken: then :attr:`lost` and :attr:`laps` have grown, and the position has
        jumped to where half of the ring is unread, so that the next read is not overtaken at once.
        """
        count = len(out)
        if count > self.capacity:
            raise ValueError(f"{count} frames can never be in a ring of {self.capacity}")
        if count < self.piece:
            raise ValueError(f"{count} frames are less than a piece of {self.piece}")
        start = self._read
        if self._written - start < count:
            return False
        if self.oldest <= start:
            first = (start - self._base) % self.capacity
            head = min(count, self.capacity - first)
            if head == count and self.channels == 1:
                # Nearly always; the way below, with views of two dimensions, takes twice as long.
                out[...] = self._flat[first : first + count].reshape(out.shape)
            else:
                target = out.reshape(count, self.channels)
                target[:head] = self._data[first : first + head]
                if head < count:
                    target[head:] = self._data[: count - head]
            if self.oldest <= start:
                self._read = start + count
                return True
        resume = max(self._written - self.capacity // 2, start)
        self._lost += resume - start
        self._laps += 1
        self._read = resume
        return False

    def skip_to(self, position: int) -> None:
        """Pass over unread frames up to ``position``; never goes back."""
        self._read = max(self._read, min(position, self._written))
