"""Rows of results as CSV, JSONL or Parquet.

A file of results appears whole or not at all: it is written beside its name and then takes its
place. A row is what :meth:`genred.tagging.FileResult.to_dict` makes.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from genred.errors import OutputError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    Row = dict[str, Any]

Format = Literal["csv", "jsonl", "parquet"]

FORMATS: Final[tuple[Format, ...]] = ("csv", "jsonl", "parquet")

BATCH: Final = 10_000
"""Rows of one row group of Parquet: some MB of memory, and enough to be compressed well."""

COLUMNS: Final = ("path", "duration", "label", "confidence", "segments")
"""Of CSV: all scores stand in the other formats."""


def format_of(path: Path) -> Format:
    """By the ending of a name. Raises :class:`UsageError` for any other."""
    for each in FORMATS:
        if path.suffix.lower() == f".{each}":
            return each
    endings = ", ".join(f".{each}" for each in FORMATS)
    raise UsageError(f"{path} has none of the endings {endings}", "or say --format")


def ready(path: Path, kind: Format) -> None:
    """See, before hours of work, that ``path`` can be written.

    Raises :class:`OutputError` where it cannot, :class:`UnavailableError` without pyarrow.
    """
    if kind == "parquet":
        _pyarrow()
    if path.is_dir():
        raise OutputError(f"{path} is a folder", "name a file")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: no such folder", "make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path.parent} cannot be written to")


def write(path: Path, kind: Format, rows: Iterable[Row]) -> None:
    """All rows into ``path``, in the place of what was there.

    Raises :class:`OutputError` where it cannot be written.
    """
    writer = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[kind]
    with whole(path) as beside:
        writer(beside, rows)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to, which takes the place of ``path`` when all is written.

    Raises :class:`OutputError` where it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            yield beside
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None


def csv_rows(rows: Iterable[Row]) -> Iterator[tuple[Any, ...]]:
    """Rows of CSV; segments as ``start-end:label`` joined by semicolons."""
    for row in rows:
        segments = ";".join(f"{s['start']}-{s['end']}:{s['label']}" for s in row["segments"])
        yield row["path"], row["duration"], row["label"], row["confidence"], segments


def csv_into(file: IO[str], rows: Iterable[Row]) -> None:
    """A header, then the rows, each written out at once."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for row in csv_rows(rows):
        writer.writerow(row)
        file.flush()


def _csv(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(csv_rows(rows))


def _jsonl(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def _parquet(path: Path, rows: Iterable[Row]) -> None:
    pa, parquet = _pyarrow()
    segment = pa.struct(
        [
            ("start", pa.float64()),
            ("end", pa.float64()),
            ("label", pa.string()),
            ("confidence", pa.float32()),
        ]
    )
    schema = pa.schema(
        [
            ("path", pa.string()),
            ("duration", pa.float64()),
            ("label", pa.string()),
            ("confidence", pa.float32()),
            ("scores", pa.map_(pa.string(), pa.float32())),
            ("segments", pa.list_(segment)),
        ]
    )
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(itertools.islice(rows, BATCH)):
            pairs = [{**row, "scores": list(row["scores"].items())} for row in batch]
            writer.write_table(pa.Table.from_pylist(pairs, schema))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - large, and needed by few
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise UnavailableError(
            "Parquet needs pyarrow, which is not installed",
            "pip install 'pyarrow>=26,<27', or take .jsonl or .csv",
        ) from None
    return pa, parquet
