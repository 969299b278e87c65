"""The file of all records: one a line, the newest last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from genred.bench.survey import FORMAT
from genred.errors import InputError, OutputError

if TYPE_CHECKING:
    from pathlib import Path


def append(path: Path, record: dict[str, Any]) -> None:
    """Add a record. Raises :class:`OutputError` where it cannot be written."""
    line = json.dumps(_rounded(record), separators=(",", ":"))
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


def read(path: Path) -> list[dict[str, Any]]:
    """All records this version can read, oldest first.

    Raises :class:`InputError` where there is no such file, or a line of it is no record.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if record["format"] == FORMAT:
                records.append(record)
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}:{number} is no record of 'genred bench'") from None
    return records


def _rounded(value: Any) -> Any:
    """Four digits are more than any measurement has."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
