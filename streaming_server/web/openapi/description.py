"""The description of the HTTP routes, OpenAPI 3.1: what `/openapi.json` gives and `/docs` shows.

Bodies that come in are described by the models that check them. What goes out is written down here, and the
tests compare it with what is served.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.web.openapi import own, vendors
from streaming_server.web.openapi.page import page
from streaming_server.web.openapi.schemas import components
from streaming_server.web.openapi.words import Paths, path_parameters
from streaming_server.web.responses import Json

ABOUT = """\
Speech from text, while the text is still arriving. Two channels are websockets, which OpenAPI cannot
describe: `/ws/speak` speaks, `/ws/status` tells every second how the server is doing; the README says how.
The routes here speak whole texts and look after voices, samples and jobs.

Where the server has keys, send one as `Authorization: Bearer …` or `?token=…`. An error is
`{"error": {"code", "message"}, "detail"}`; the message is a sentence for a person, and is in `detail` again.
With 503 and 429 comes `Retry-After`.
"""


def routes() -> list[BaseRoute]:
    return [Route("/openapi.json", describe), Route("/docs", docs)]


async def describe(request: Request) -> Response:
    return Json(description())


async def docs(request: Request) -> Response:
    return Response(page(description()), media_type="text/html")


def description() -> dict[str, Any]:
    """The whole of it."""
    paths: Paths = {}
    for part in _parts():
        paths |= part
    return {
        "openapi": "3.1.0",
        "info": {"title": "Streaming speech server", "version": _version(), "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in ("speech", "voices", "samples", "jobs", "operator", "state")]
        + [{"name": name} for name in ("OpenAI", "ElevenLabs", "Deepgram", "Cartesia", "Kyutai")],
        "security": [{}, {"key": []}, {"token": []}],
        "paths": {path: {**path_parameters(path), **methods} for path, methods in paths.items()},
        "components": {
            "schemas": components(),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _version() -> str:
    try:
        return version("streaming-server")
    except PackageNotFoundError:
        return "0"


def _parts() -> tuple[Paths, ...]:
    return (
        own.speech_routes(),
        own.voices_routes(),
        own.samples_routes(),
        own.jobs_routes(),
        own.operator_routes(),
        own.state_routes(),
        vendors.openai_routes(),
        vendors.elevenlabs_routes(),
        vendors.deepgram_routes(),
        vendors.cartesia_routes(),
        vendors.kyutai_routes(),
    )
