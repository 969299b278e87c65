"""A browser shows the token once and has a cookie from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from genred.web.auth import COOKIE, SESSION_S
from genred.web.problem import Problem
from genred.web.schemas import PROBLEMS, LoggedIn, Login

if TYPE_CHECKING:
    from genred.web.auth import Gate


def routes(gate: Gate) -> APIRouter:
    """``/api/v1/session``."""
    router = APIRouter(prefix="/api/v1", tags=["session"], responses=PROBLEMS)

    @router.get("/session")
    async def look(request: Request) -> LoggedIn:
        """May who asks this ask anything else."""
        headers = request.headers
        admitted = gate.admits(headers.get("authorization", ""), headers.get("cookie", ""))
        return LoggedIn(admitted=admitted, open=gate.open)

    @router.post("/session")
    async def enter(login: Login, request: Request, response: Response) -> LoggedIn:
        """Show the token, and have a cookie."""
        if not gate.knows(login.token):
            raise Problem(403, "token", "this is not the token")
        if not gate.open:
            response.set_cookie(
                COOKIE,
                gate.cookie(),
                max_age=SESSION_S,
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
            )
        return LoggedIn(admitted=True, open=gate.open)

    @router.delete("/session", status_code=204)
    async def leave() -> Response:
        """Forget the cookie."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return router
