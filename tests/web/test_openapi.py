"""The description of the HTTP routes against what is served."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest
from helpers.servers import Server, running_server
from helpers.whisper_checkpoint import make
from hypothesis import HealthCheck, settings
from schemathesis import Case, openapi
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from streaming_server.settings import Settings
from streaming_server.web.app import create_app
from streaming_server.web.openapi.description import description

KEPT: tuple[CheckFunction, ...] = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)

operations = openapi.from_dict(description())


@pytest.fixture(scope="module")
def used_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in debug mode, with a Whisper of its own, that need not be as it was afterwards."""
    folder = tmp_path_factory.mktemp("described")
    checkpoint = make(folder / "heard.pt", say=" Hello there.")
    options = ("--debug", "--log-format=json", f"--whisper-model={checkpoint}")
    with running_server(folder / "log", *options) as server:
        yield server


def test_every_route_is_described_and_every_description_served(tmp_path: Path) -> None:
    served = {
        (route.path.replace(":path", ""), method.lower())
        for route in create_app(Settings(data_dir=tmp_path)).routes
        if isinstance(route, Route)
        for method in (route.methods or ()) - {"HEAD"}
    }
    described = {
        (path, method)
        for path, item in description()["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    assert served == described


@pytest.mark.slow
@operations.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_asked_the_answer_is_as_described(case: Case, used_up: Server) -> None:
    case.call_and_validate(base_url=used_up.url, checks=KEPT, timeout=30)


def test_the_description_is_there_to_be_read(server: Server) -> None:
    page = httpx.get(f"{server.url}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    told = unescape(page.text)
    for path, item in httpx.get(f"{server.url}/openapi.json").json()["paths"].items():
        for method in item.keys() - {"parameters"}:
            assert f"{method.upper()} {path}" in told
    assert httpx.get(f"{server.url}/static/docs.css").status_code == 200
