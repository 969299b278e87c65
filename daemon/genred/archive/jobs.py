"""What is to be heard of a collection, and how one file of it is."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from genred import __version__
from genred.errors import GenredError, InputError, InternalError
from genred.model.session import FILE_NAME, load_model, shipped_model
from genred.settings.judgement import JudgementSettings
from genred.sources.files import audio_files, decode
from genred.tagging import tag_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

TOLD_S: Final = 5.0
"""How often a worker says of a long file that it goes on."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file, as it was when the collection was listed."""

    path: str
    """Absolute, so that a worker finds it whatever its folder."""
    shown: str
    """As it was named on the command line; what results call it."""
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file has no result: one line, and the exit code that goes with it."""

    shown: str
    message: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file: ``result`` without its path, or a fault."""

    job: Job
    result: dict[str, Any] | None
    fault: Fault | None = None
    warnings: tuple[str, ...] = ()


def failed(job: Job, error: GenredError) -> Outcome:
    """The outcome of a file that could not be heard."""
    message = str(error).replace(job.path, job.shown)
    return Outcome(job, None, Fault(job.shown, message, error.exit_code))


def listing(paths: Iterable[Path]) -> tuple[list[Job], list[Fault]]:
    """Every file of ``paths`` once, folders searched for audio files; and what is not there."""
    jobs: dict[str, Job] = {}
    faults: list[Fault] = []
    for path in paths:
        try:
            found = audio_files(path) if path.is_dir() else [path]
        except GenredError as error:
            faults.append(Fault(str(path), str(error), error.exit_code))
            continue
        for each in found:
            absolute = os.path.abspath(each)  # noqa: PTH100 - Path.resolve would follow links
            if absolute in jobs:
                continue
            try:
                status = each.stat()
            except OSError as error:
                text = f"{each}: {error.strerror}"
                faults.append(Fault(str(each), text, InputError.exit_code))
                continue
            jobs[absolute] = Job(absolute, str(each), status.st_size, status.st_mtime_ns)
    return list(jobs.values()), faults


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a worker needs to hear files as every other one does."""

    model: str
    provider: Literal["auto", "cpu", "cuda"]
    threads: int
    judgement: str
    """:class:`JudgementSettings` as JSON."""

    @classmethod
    def of(
        cls,
        model: Path | None,
        provider: Literal["auto", "cpu", "cuda"],
        threads: int,
        by: JudgementSettings,
    ) -> Recipe:
        """With the model's path made absolute; the shipped model if none is named."""
        path = (model or shipped_model()).absolute()
        # What was not set stays open: the model may recommend something.
        return cls(str(path), provider, threads, by.model_dump_json(exclude_unset=True))

    def fingerprint(self) -> str:
        """Sixteen hex digits that differ where results may: model, judgement, version.

        Raises :class:`InputError` where the model cannot be read.
        """
        path = Path(self.model)
        file = path / FILE_NAME if path.is_dir() else path
        digest = hashlib.sha256(f"{__version__}\n{self.judgement}\n".encode())
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}") from None
        return digest.hexdigest()[:16]


class Hearer:
    """Loads the model once, then hears one file after the other.

    Raises what :func:`genred.model.session.load_model` does.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._model = load_model(
            Path(recipe.model), provider=recipe.provider, threads=recipe.threads
        )
        self._by = JudgementSettings.model_validate_json(recipe.judgement)

    def hear(self, job: Job, alive: Callable[[], None] | None = None) -> Outcome:
        """Hear one file; whatever is wrong with it is an outcome too.

        ``alive`` is called now and then while it goes on.
        """
        with _warnings() as warnings:
            try:
                row = self._row(job, alive)
            except GenredError as error:
                return failed(job, error)
            except Exception as error:  # noqa: BLE001 - one file must never end the others
                kind = type(error).__name__
                said = f"{job.path}: a fault of genred's: {kind}: {error}"
                return failed(job, InternalError(said))
        del row["path"]
        told = tuple(line.replace(job.path, job.shown) for line in warnings)
        return Outcome(job, row, warnings=told)

    def _row(self, job: Job, alive: Callable[[], None] | None) -> dict[str, Any]:
        sound = decode(job.path, self._model.metadata.sample_rate)
        if alive is not None:
            sound = _told(sound, alive)
        return tag_blocks(self._model, job.path, sound, self._by).to_dict()


def _told(sound: Iterator[Floats], alive: Callable[[], None]) -> Iterator[Floats]:
    """``sound``, and a word at most every :data:`TOLD_S` that more of it has come."""
    said = time.monotonic()
    for block in sound:
        if time.monotonic() - said > TOLD_S:
            alive()
            said = time.monotonic()
        yield block


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """What is warned of meanwhile: it goes where the result goes, not to a worker's stderr."""
    logger = logging.getLogger("genred")
    kept = _Kept()
    before, logger.handlers, logger.propagate = (logger.handlers, logger.propagate), [kept], False
    try:
        yield kept.lines
    finally:
        logger.handlers, logger.propagate = before


class _Kept(logging.Handler):
    """Keeps warnings until they are asked for."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
