"""The whole app: routes, errors, the page, and what all of them pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from genred import __version__
from genred.web import classify, events, feeds, health, past, session
from genred.web.guard import PUBLIC, Guard
from genred.web.metrics import CONTENT_TYPE
from genred.web.problem import Handlers
from genred.web.schemas import PROBLEMS

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from genred.history.reader import Reader
    from genred.settings.web import WebSettings
    from genred.web.auth import Gate
    from genred.web.bench import Bench
    from genred.web.health import Heartbeat
    from genred.web.hub import Hub
    from genred.web.live import Live
    from genred.web.metrics import Metrics
    from genred.web.snapshot import Snapshots

PAGE: Final = Path(__file__).parent / "page"

DESCRIPTION: Final = """What is playing on the feeds of this node, now and in the past, and what is
in a clip. Times are UTC in ISO 8601, capture time of the audio. Errors are
`application/problem+json` (RFC 9457). Live events over WebSocket stand at `/api/v1/live`: the
messages of `/api/v1/events` as JSON objects with their name under `message`, and four times a
second `levels`; who sends `{"pictures": ["radio"]}` gets the log-mel pictures of these feeds."""

TELEMETRY: Final[dict[str, Any]] = {
    "auto_configure": False,
    "tracing": False,
    "metrics": False,
    "logs": False,
}
"""Nothing is told to anybody, whatever OpenTelemetry's variables in the environment say."""


def build(
    settings: WebSettings,
    gate: Gate,
    hub: Hub,
    live: Live,
    snapshots: Snapshots,
    heartbeat: Heartbeat,
    bench: Bench,
    metrics: Metrics,
    history: Reader | None,
) -> ASGIApp:
    """The app, as a server serves it."""
    app = FastAPI(
        title="genred",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=TELEMETRY,  # type: ignore[arg-type]  # a TypedDict of the library's own
        separate_input_output_schemas=False,
    )
    Handlers(app)
    app.include_router(feeds.routes(snapshots, kept=history is not None))
    app.include_router(past.routes(snapshots, history))
    app.include_router(events.routes(hub, live))
    app.include_router(classify.routes(bench, settings, metrics))
    app.include_router(session.routes(gate))
    app.include_router(health.routes(heartbeat, snapshots))
    app.include_router(_scraped(metrics))
    _describe(app, gate)
    app.add_api_route("/", _page, include_in_schema=False, methods=["GET", "HEAD"])
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return Guard(app, gate, settings, metrics.count)


async def _page() -> FileResponse:
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


def _scraped(metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"], responses=PROBLEMS)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {
                "description": "Prometheus' text format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    )
    async def scrape() -> Response:
        """All metrics, for Prometheus."""
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    return router


def _describe(app: FastAPI, gate: Gate) -> None:
    """Say in the description who needs the token."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        made = plain()
        if not gate.open:
            made.setdefault("components", {})["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer"}
            }
            for path in made["paths"].keys() - set(PUBLIC):
                for operation in made["paths"][path].values():
                    operation["security"] = [{"token": []}]
        return made

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to extend it
