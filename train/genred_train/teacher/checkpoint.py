"""Reads the variables of a TensorFlow checkpoint without TensorFlow, which is half a gigabyte.

A checkpoint of version 2 is a file of numbers and an index that says where each variable lies:
a sorted string table (the one of LevelDB) whose values are ``BundleEntryProto`` messages, see
``tensorflow/core/util/tensor_bundle`` and ``table_format.md`` of LevelDB.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
_FLOAT = 1  # DT_FLOAT


def variables(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """All variables of 32 bits by name, from the content of ``.index`` and of its one data file.

    Raises :class:`ValueError` if they are no such files.
    """
    try:
        if struct.unpack_from("<Q", index, len(index) - 8)[0] != _MAGIC:
            raise ValueError("this is no index of a checkpoint")
        footer = index[-_FOOTER:]
        at = 0
        for _ in range(2):  # the table of filters, which nobody needs
            _, at = _varint(footer, at)
        found = {}
        for _, handle in _entries(index, footer[at:]):
            for name, entry in _entries(index, handle):
                if name:  # the one without a name is about the files
                    value = _variable(entry, data)
                    if value is not None:
                        found[name.decode()] = value
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"the checkpoint is broken: {error}") from None
    return found


def _variable(entry: bytes, data: bytes) -> NDArray[np.float32] | None:
    numbers, parts = _message(entry)
    if numbers.get(1) != _FLOAT:
        return None
    shape = [_message(size)[0].get(1, 0) for size in _message(parts[2][0])[1].get(2, [])]
    begin, size = numbers.get(4, 0), numbers[5]
    if numbers.get(3, 0) or begin + size > len(data):
        raise ValueError("the checkpoint has parts that are missing")
    return np.frombuffer(data[begin : begin + size], "<f4").reshape(shape).astype(np.float32)


def _entries(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block that ``handle`` tells of: each key goes on from the last."""
    begin, at = _varint(handle, 0)
    size, _ = _varint(handle, at)
    block = table[begin : begin + size]
    if table[begin + size]:
        raise ValueError("the index of the checkpoint is compressed")
    end = size - 4 - 4 * struct.unpack_from("<I", block, size - 4)[0]
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _message(wire: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """Fields of a protocol buffer by number: those that are numbers, those that are bytes."""
    numbers: dict[int, int] = {}
    parts: defaultdict[int, list[bytes]] = defaultdict(list)
    at = 0
    while at < len(wire):
        tag, at = _varint(wire, at)
        kind = tag & 7
        if kind == 0:
            numbers[tag >> 3], at = _varint(wire, at)
        elif kind == 2:
            size, at = _varint(wire, at)
            parts[tag >> 3].append(wire[at : at + size])
            at += size
        elif kind == 5:  # a checksum
            at += 4
        else:
            raise ValueError(f"the index has a field of kind {kind}")
    return numbers, parts


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
