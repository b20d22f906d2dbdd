"""The application: its routes, middleware and lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from typing_extensions import TypedDict

import streaming_server
from streaming_server.engines.selection import SelectedEngine, select_engine
from streaming_server.errors import SpeechError
from streaming_server.settings import Settings
from streaming_server.web.assembly import running_services
from streaming_server.web.limits import BodyPlaces
from streaming_server.web.middleware.body import BodyLimit
from streaming_server.web.middleware.hangup import HangUp
from streaming_server.web.middleware.origin import OriginCheck
from streaming_server.web.middleware.paths import NormalizedPath
from streaming_server.web.middleware.security_headers import SecurityHeaders
from streaming_server.web.native.session import speak
from streaming_server.web.native.status_channel import status_channel
from streaming_server.web.openapi import document
from streaming_server.web.openapi.operation import operation
from streaming_server.web.origins import Origins
from streaming_server.web.page_files import PageFiles
from streaming_server.web.responses import (
    Json,
    client_disconnect,
    http_exception,
    internal_error,
    speech_error,
)
from streaming_server.web.rest import (
    cleanup,
    config,
    discovery,
    jobs,
    logs,
    previews,
    pronunciations,
    status,
    transcripts,
    voice_samples,
    voices,
)
from streaming_server.web.rest import speech as generate
from streaming_server.web.vendors import kyutai, openai
from streaming_server.web.vendors.cartesia import http as cartesia_http
from streaming_server.web.vendors.cartesia.websocket import tts_websocket
from streaming_server.web.vendors.deepgram import http as deepgram_http
from streaming_server.web.vendors.deepgram.websocket import speak_websocket
from streaming_server.web.vendors.elevenlabs import http as elevenlabs_http
from streaming_server.web.vendors.elevenlabs.websocket import multi_stream_input, stream_input
from streaming_server.web.websocket.unknown import UnknownWebSocket

log = structlog.stdlib.get_logger(__name__)

EXPOSED_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "Retry-After",
    "X-Generation-ID",
    "X-Request-ID",
    "DG-Model-Name",
    "DG-Request-ID",
)
"""Response headers that pages of allowed origins may read, besides those CORS always exposes."""


def create_app(
    settings: Settings | None = None,
    engine: SelectedEngine | None = None,
    *,
    on_failure: Callable[[str], None] | None = None,
) -> Starlette:
    """Return the application. Everything it opens belongs to its lifespan; it can be started again.

    Any ASGI server runs it: `uvicorn --factory streaming_server.web.app:create_app`. Its host stops it by
    `services_of(app).drain.run(timeout)`, and then closes the sockets.

    settings: by default those of the `DIA_*` variables. engine: by default the one that `settings` names,
    configured by variables alone. Raise EngineFailure if it is not installed. on_failure: called with a
    message when the lifespan fails, before the error is raised. An ASGI server exits by itself only if it
    fails at start-up.
    """
    settings = settings or Settings()
    origins = Origins(settings)
    selected = engine or select_engine(settings.engine)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with _reporting_failure(on_failure):
            async with running_services(settings, selected, origins) as app.state.services:
                try:
                    yield
                finally:
                    app.state.services = None

    files = PageFiles(_static())
    app = Starlette(
        routes=_routes(files),
        lifespan=lifespan,
        middleware=_middleware(settings, origins),
        exception_handlers={
            SpeechError: speech_error,
            HTTPException: http_exception,
            ClientDisconnect: client_disconnect,
        },
    )
    app.router.redirect_slashes = False
    app.state.page_files = files
    return app


def _routes(files: PageFiles) -> list[BaseRoute]:
    """Return the routes in the order in which they are matched."""
    return [
        Route("/", _page),
        Mount("/static", files),
        WebSocketRoute("/ws/speak", speak),
        WebSocketRoute("/ws/status", status_channel),
        WebSocketRoute("/tts/websocket", tts_websocket),
        WebSocketRoute("/v1/text-to-speech/{voice}/multi-stream-input", multi_stream_input),
        WebSocketRoute("/v1/text-to-speech/{voice}/stream-input", stream_input),
        WebSocketRoute("/v1/speak", speak_websocket),
        WebSocketRoute("/api/tts_streaming", kyutai.tts_streaming),
        WebSocketRoute("/{path:path}", UnknownWebSocket()),
        *cartesia_http.routes(),
        *voices.routes(),
        *discovery.routes(),
        *voice_samples.routes(),
        *transcripts.routes(),
        *generate.routes(),
        *previews.routes(),
        *jobs.routes(),
        *config.routes(),
        *pronunciations.routes(),
        *cleanup.routes(),
        *logs.routes(),
        *document.routes(),
        *openai.routes(),
        *elevenlabs_http.routes(),
        *deepgram_http.routes(),
        *kyutai.routes(),
        *status.routes(),
    ]


def _middleware(settings: Settings, origins: Origins) -> list[Middleware]:
    """Return the middleware, outermost first."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=("*",),  # Clients' libraries add headers of their own.
        allow_private_network=True,
        expose_headers=EXPOSED_HEADERS,
    )
    return [
        Middleware(SecurityHeaders, embeddable=bool(settings.allowed_origins)),
        Middleware(OriginCheck, origins=origins),
        *([cors] if settings.allowed_origins else []),
        Middleware(HangUp),
        Middleware(BodyLimit, grace_s=settings.header_timeout_s, places=BodyPlaces()),
        Middleware(NormalizedPath, keep=("/voices/",)),  # Cartesia's list; ours is at /voices.
        Middleware(ServerErrorMiddleware, handler=internal_error),  # Inside, so that a 500 has the headers.
    ]


@contextmanager
def _reporting_failure(on_failure: Callable[[str], None] | None) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        known = _speech_error_in(error)
        if known is None:
            log.critical("the server failed", exc_info=error)
        if on_failure is not None:
            on_failure(known.message if known else "A part of the server failed; see the log.")
        raise


def _speech_error_in(error: BaseException) -> SpeechError | None:
    """Return the error itself or, of an exception group, the first such error in it."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_speech_error_in, error.exceptions)), None)
    return error if isinstance(error, SpeechError) else None


def _static() -> Path:
    """Return the folder of the page: beside the package in a checkout, inside it when installed."""
    package = Path(streaming_server.__file__).parent
    beside = package.parent / "static"
    return beside if beside.is_dir() else package / "static"


class Welcome(TypedDict):
    message: str
    status: str


@operation("state", "Get the page, or as JSON that the server runs", media=("text/html",))
async def _page(request: Request) -> Response | Json[Welcome]:
    """Return the page to browsers, which name text/html, and JSON to other clients."""
    if "text/html" in request.headers.get("accept", ""):
        files: PageFiles = request.app.state.page_files
        response = await files.get_response("index.html", request.scope)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        return response
    return Json(
        {"message": "A text-to-speech server; see /docs for its API.", "status": "healthy"},
        headers={"Vary": "Accept"},
    )
