"""CORS lets pages of allowed origins, and no others, read responses."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from helpers.rest import to
from helpers.servers import Server, running_server

ALLOWED = "https://app.example:8443"
KEY = "key-of-the-page"
PREFLIGHT = {
    "Origin": ALLOWED,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key and one allowed origin."""
    log = tmp_path_factory.mktemp("cors") / "log"
    with running_server(log, f"--allowed-origins={ALLOWED}", "--max-workers=1", DIA_API_KEYS=KEY) as server:
        yield server


@pytest.fixture
def client(locked: Server) -> Iterator[httpx.Client]:
    with to(locked) as one:
        yield one


def cors_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", ["/generate", "/v1/audio/speech", "/audio_prompts/upload", "/config"])
def test_a_preflight_needs_no_key(client: httpx.Client, path: str) -> None:
    answer = client.options(path, headers=PREFLIGHT)
    assert answer.status_code == 200
    told = cors_headers(answer)
    assert told["access-control-allow-origin"] == ALLOWED
    assert {"GET", "POST", "PUT", "DELETE"} == set(told["access-control-allow-methods"].split(", "))
    assert told["access-control-allow-headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    assert int(told["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in told
    assert "Origin" in answer.headers["vary"]


def test_an_allowed_page_can_read_responses(client: httpx.Client) -> None:
    headers = {"Origin": ALLOWED, "Authorization": f"Bearer {KEY}"}
    answer = client.get("/voices", headers=headers)
    assert answer.json()["voices"]
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert "Origin" in answer.headers["vary"]
    body = {"text": "Hello.", "voice_id": "aria"}
    spoken = client.post("/generate", json=body, headers=headers)
    assert spoken.content[:4] == b"RIFF"
    assert spoken.headers["access-control-allow-origin"] == ALLOWED
    assert "Content-Disposition" in spoken.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/voices", 401), ("GET", "/nowhere", 404), ("PUT", "/voices", 405)]
)
def test_an_allowed_page_can_read_errors(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, headers={"Origin": ALLOWED})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == ALLOWED


@pytest.mark.parametrize(
    "origin", ["https://app.example", "http://app.example:8443", "https://evil.app.example:8443", "null"]
)
def test_other_origins_get_no_cors_headers(client: httpx.Client, origin: str) -> None:
    for answer in (
        client.options("/generate", headers=PREFLIGHT | {"Origin": origin}),
        client.get("/health", headers={"Origin": origin}),
    ):
        assert answer.status_code == 403
        assert cors_headers(answer) == {}


def test_without_allowed_origins_there_are_no_cors_headers(server: Server) -> None:
    with to(server) as client:
        assert client.options("/generate", headers=PREFLIGHT).status_code == 403
        assert cors_headers(client.get("/voices", headers={"Origin": server.url})) == {}
        assert cors_headers(client.get("/voices")) == {}


def test_private_network_access_is_granted_to_allowed_pages(client: httpx.Client) -> None:
    asked = PREFLIGHT | {"Access-Control-Request-Private-Network": "true"}
    assert cors_headers(client.options("/voices", headers=asked))["access-control-allow-private-network"]
    assert "access-control-allow-private-network" not in client.options("/voices", headers=PREFLIGHT).headers
