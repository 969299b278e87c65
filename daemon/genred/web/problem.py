"""Errors as ``application/problem+json`` (RFC 9457), whatever raised them."""

from __future__ import annotations

import logging
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

log = logging.getLogger("genred.web")

MEDIA_TYPE: Final = "application/problem+json"

FAULT_EVERY_S: Final = 60.0
"""A fault that every request meets is written to the log this often, not for each of them."""


class Problem(Exception):  # noqa: N818 - the RFC's own word
    """What a request is answered with instead of what it asked for.

    ``name`` becomes the problem's type, ``urn:genred:problem:NAME``; ``detail`` says what is
    wrong and what to do.
    """

    def __init__(
        self, status: int, name: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.headers = headers

    def response(self) -> JSONResponse:
        """As sent."""
        return problem(self.status, self.detail, name=self.name, headers=self.headers)


def problem(
    status: int,
    detail: str = "",
    *,
    name: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A response; ``more`` are members beyond those of the RFC."""
    content = {
        "type": f"urn:genred:problem:{name}" if name else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
    }
    if detail:
        content["detail"] = detail
    return JSONResponse(content | more, status, headers, media_type=MEDIA_TYPE)


class Handlers:
    """Turns what an app raises into problems."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._logged = -FAULT_EVERY_S
        app.add_exception_handler(Problem, self._problem)
        app.add_exception_handler(HTTPException, self._http)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(Exception, self._fault)

    async def _problem(self, _: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return error.response()

    async def _http(self, request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        standard = HTTPStatus(error.status_code).phrase
        detail = error.detail if error.detail != standard else ""
        headers = error.headers
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and self._methods(request):
            # Of itself it names those of the first route alone.
            headers = {"allow": ", ".join(self._methods(request))}
        return problem(error.status_code, detail, headers=headers)

    def _methods(self, request: Request) -> list[str]:
        """What the resource that was asked for supports, by the API's own description."""
        for path, operations in self._app.openapi()["paths"].items():
            if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", path), request.url.path):
                return sorted(each.upper() for each in operations)
        return []

    async def _invalid(self, _: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # Not what was sent: it may be long, and need not be JSON.
        faults = [
            {"where": ".".join(str(part) for part in each["loc"]), "message": each["msg"]}
            for each in error.errors()
        ]
        told = "; ".join(f"{each['where']}: {each['message']}" for each in faults)
        return problem(422, told, name="invalid", errors=faults)

    async def _fault(self, request: Request, error: Exception) -> JSONResponse:
        now = time.monotonic()
        if now - self._logged >= FAULT_EVERY_S:
            self._logged = now
            log.error("a fault in answering %s: %s", request.url.path, error, exc_info=error)
        # The server hangs up after this; whoever knows does not send the next question into it.
        headers = {"connection": "close"}
        return problem(500, "a fault of genred; its log says more", name="fault", headers=headers)
