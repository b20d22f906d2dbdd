"""The OpenAPI document against the running server."""

from __future__ import annotations

from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.routes import documented_routes
from helpers.servers import Server
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from streaming_server.settings import Settings
from streaming_server.web.app import create_app
from streaming_server.web.openapi.document import document
from streaming_server.web.openapi.operation import operation, operation_of
from streaming_server.web.responses import Error, Json

ROUTES = documented_routes()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{sorted(route.methods)[0]} {route.path}")
def test_every_route_is_documented(route: Route) -> None:
    assert operation_of(route.endpoint) is not None, "decorate the endpoint with @operation"
    methods = {method.lower() for method in (route.methods or ()) - {"HEAD"}}
    assert methods <= document(ROUTES)["paths"][route.path_format].keys()


def test_only_aliases_are_left_out(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    hidden = {route.path for route in app.routes if isinstance(route, Route) and not route.include_in_schema}
    assert hidden == {"/voices"}  # Cartesia's, which shares the path of our own.


@pytest.mark.parametrize(
    "path",
    [
        "/audio_prompts/{prompt_id}/audio",
        "/jobs/{job_id}/result",
        "/logs/{entry_id}/download",
        "/preview/{voice_id}",
    ],
)
def test_routes_that_serve_ranges_say_so(path: str) -> None:
    responses = document(ROUTES)["paths"][path]["get"]["responses"]
    assert {"200", "206", "400", "416"} <= responses.keys()


@operation("state", "An error of another status", media=("text/html",), also={409: "Not yet."})
async def page_or_error(request: Request) -> HTMLResponse | Json[Error]:
    raise NotImplementedError


@operation("state", "A body of another status", also={503: "Not ready."})
async def same_body(request: Request) -> Json[dict[str, int]]:
    raise NotImplementedError


def test_other_statuses_have_an_error_where_the_endpoint_returns_one_else_the_body_of_success() -> None:
    paths = document([Route("/page", page_or_error), Route("/same", same_body)])["paths"]
    assert paths["/page"]["get"]["responses"]["409"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}}
    }
    same = paths["/same"]["get"]["responses"]
    assert same["503"]["content"] == same["200"]["content"]


@pytest.mark.anyio
async def test_the_document_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a tenth of a second, which every listener would wait."""
    built = []

    def counted(routes: Sequence[BaseRoute]) -> dict[str, Any]:
        built.append(document(routes))
        return built[-1]

    monkeypatch.setattr("streaming_server.web.openapi.document.document", counted)
    transport = httpx.ASGITransport(create_app(Settings(data_dir=tmp_path)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path in ("/openapi.json", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200
    assert len(built) == 1


def test_the_page_lists_every_operation(server: Server) -> None:
    page = httpx.get(f"{server.url}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    told = unescape(page.text)
    for path, item in httpx.get(f"{server.url}/openapi.json").json()["paths"].items():
        for method in item.keys() - {"parameters"}:
            assert f"{method.upper()} {path}" in told
    assert httpx.get(f"{server.url}/static/docs.css").status_code == 200
