"""A wheel like musicnn's with weights that are drawn: TensorFlow's format, written here."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NORMS = (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)
KERNELS = (
    *((7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)),
    *((7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)),
)
MODEL = "musicnn/MSD_musicnn/"


def drawn(seed: int) -> dict[str, NDArray[np.float32]]:
    """Variables of the right names and shapes, such that what comes out is neither 0 nor huge."""
    random = np.random.default_rng(seed)
    found = {"step": np.float32(3.0) * np.ones((), np.float32)}

    def named(name: str, number: int) -> str:
        return f"{name}_{number}" if number else name

    for number, size in enumerate(NORMS):
        of = named("batch_normalization", number)
        found[f"{of}/gamma"] = random.choice([-1, 1], size) * random.uniform(0.5, 1.5, size)
        found[f"{of}/beta"] = random.normal(size=size) / 4
        found[f"{of}/moving_mean"] = random.normal(size=size) / 4
        found[f"{of}/moving_variance"] = random.uniform(0.5, 2.0, size)
    for number, shape in enumerate(KERNELS):
        of = named("conv2d", number)
        found[f"{of}/kernel"] = random.normal(size=shape) / np.sqrt(np.prod(shape[:3]))
        found[f"{of}/bias"] = random.normal(size=shape[3]) / 4
    for name, shape in (("dense", (1506, 200)), ("dense_1", (200, 50))):
        found[f"{name}/kernel"] = random.normal(size=shape) / np.sqrt(shape[0])
        found[f"{name}/bias"] = random.normal(size=shape[1]) / 4
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def write_wheel(path: Path, variables: dict[str, NDArray[np.float32]]) -> Path:
    """A package with ``variables`` as a checkpoint where musicnn has its own."""
    index, data = checkpoint(variables)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{MODEL}.index", index)
        wheel.writestr(f"{MODEL}.data-00000-of-00001", data)
    return path


def checkpoint(variables: dict[str, NDArray[np.float32]]) -> tuple[bytes, bytes]:
    """Index and data: as many blocks as it takes, keys told by what differs from the last."""
    data, entries = b"", [(b"", number(1, 1) + piece(3, number(1, 1)))]
    for name in sorted(variables):
        value = variables[name]
        shape = b"".join(piece(2, number(1, size)) for size in value.shape)
        entry = number(1, 1) + piece(2, shape) + number(4, len(data)) + number(5, value.nbytes)
        entries.append((name.encode(), entry + b"\x35abcd"))  # and a checksum, of nothing
        data += value.astype("<f4").tobytes()
    table, handles = b"", []
    for first in range(0, len(entries), 20):
        part = entries[first : first + 20]
        handles.append((part[-1][0], varint(len(table)) + varint(len(block(part)))))
        table += block(part) + bytes(5)  # not compressed, and a checksum
    ends = []
    for part in ([], handles):
        ends.append(varint(len(table)) + varint(len(block(part))))
        table += block(part) + bytes(5)
    return table + b"".join(ends).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57), data


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Entries of a table, the key of each but the first cut by what it shares with the last."""
    made, last = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        own = key[shared:]
        made += varint(shared) + varint(len(own)) + varint(len(value)) + own + value
        last = key
    return made + struct.pack("<II", 0, 1)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def piece(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    made = b""
    while value > 127:
        made += bytes([value & 127 | 128])
        value >>= 7
    return made + bytes([value])
