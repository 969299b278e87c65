"""``POST /api/v1/classify``: a clip in, what is in it out."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Query, Request
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from genred.text import clean
from genred.web.problem import Problem
from genred.web.schemas import PROBLEMS, Classified

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from typing import IO

    from genred.settings.web import WebSettings
    from genred.web.bench import Bench
    from genred.web.metrics import Metrics

AT_ONCE: Final = 8
"""Clips that are being received, wait or are judged at once; the next is told to come again."""

IN_MEMORY: Final = 1 << 20
"""A clip up to here waits in memory, a larger one in a file without a name."""

FORM_BYTES: Final = 65536
"""What a form may hold beside the clip."""

FIELDS: Final = 100
"""And in how many fields, all of which are ignored."""

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The clip, as it is or as the file of a form, in any format that FFmpeg "
        "decodes.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "contentMediaType": "application/octet-stream"}
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def routes(bench: Bench, settings: WebSettings, metrics: Metrics) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/api/v1", tags=["clips"])
    places = asyncio.Semaphore(AT_ONCE)

    @router.post("/classify", responses=PROBLEMS, openapi_extra=_BODY)
    async def classify(
        request: Request,
        name: Annotated[
            str, Query(description="what the clip is called in the answer", max_length=200)
        ] = "",
    ) -> Classified:
        """What is in a clip: the same as `genred tag` says of a file.

        Nothing of it is kept. Too large: 413; too slow: 408; not audio, or too long to judge in
        time: 422; too many at once: 503, with the seconds to wait in `Retry-After`.
        """
        outcome = "failed"
        try:
            async with _place(places), _received(request, settings) as (file, sent_name):
                shown = clean(name or sent_name) or "clip"
                result = await bench.judge(shown, file)
            outcome = "judged"
            return Classified.model_validate(result)
        except Problem as problem:
            outcome = {503: "busy", 408: "late"}.get(
                problem.status, "refused" if problem.status < 500 else "failed"
            )
            raise
        except ClientDisconnect:
            outcome = "gone"
            raise Problem(400, "gone", "the upload broke off") from None
        finally:
            metrics.uploads.labels(outcome).inc()

    return router


@asynccontextmanager
async def _place(places: asyncio.Semaphore) -> AsyncIterator[None]:
    if places.locked():
        raise Problem(
            503, "busy", f"{AT_ONCE} clips are being judged; come again", {"retry-after": "1"}
        )
    async with places:
        yield


@asynccontextmanager
async def _received(
    request: Request, settings: WebSettings
) -> AsyncIterator[tuple[IO[bytes], str]]:
    """The clip in an open file, and the name it was sent under."""
    limit = settings.upload_mb * 1_000_000
    form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    most = limit + (FORM_BYTES if form else 0)
    _refuse_in_advance(request, most)
    files: list[IO[bytes]] = []
    try:
        try:
            async with asyncio.timeout(settings.upload_s):
                stream = _limited(request, most)
                file, name = await (_of_form(request, stream) if form else _of_body(stream))
        except TimeoutError:
            raise Problem(
                408, "slow", f"the upload took longer than {settings.upload_s:g} s"
            ) from None
        files.append(file)
        if not file.tell() and not file.seek(0, 2):
            raise Problem(422, "empty", "there is no clip in the request")
        yield file, name
    finally:
        for each in files:
            each.close()


def _refuse_in_advance(request: Request, most: int) -> None:
    """What says that it is too large need not be received first."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise _too_large(most)


def _too_large(most: int) -> Problem:
    return Problem(
        413, "large", f"more than {most // 1_000_000} MB; upload a part of it, or see web.upload_mb"
    )


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise _too_large(most)
        yield chunk


async def _of_body(stream: AsyncGenerator[bytes, None]) -> tuple[IO[bytes], str]:
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed by who gets it
    try:
        async for chunk in stream:
            file.write(chunk)
        file.rollover()  # the worker takes a descriptor
    except BaseException:
        file.close()
        raise
    return file, ""


async def _of_form(request: Request, stream: AsyncGenerator[bytes, None]) -> tuple[IO[bytes], str]:
    try:
        parser = MultiPartParser(
            request.headers, stream, max_files=1, max_fields=FIELDS, max_part_size=FORM_BYTES
        )
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, "form", error.message) from None
    except (KeyError, ValueError):  # no boundary, or one that is none
        raise Problem(400, "form", "the form cannot be taken apart") from None
    upload = form.get("file")
    if upload is None or isinstance(upload, str):
        await form.close()
        raise Problem(422, "empty", "the form has no file 'file'")
    spooled: Any = upload.file
    spooled.rollover()
    return spooled, unquote(upload.filename or "")
