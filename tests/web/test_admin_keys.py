"""Admin keys: where there are any, the operator's routes and every deletion need one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from helpers.rest import recording
from helpers.servers import Server, running_server
from starlette.routing import Route
from websockets.sync.client import connect

from streaming_server.settings import Settings
from streaming_server.web.app import create_app

KEY, ADMIN = "a-users-key", "the-operators-key"

GUARDED = ("/config", "/logs", "/logs/{entry_id}", "/logs/{entry_id}/download", "/cleanup")
REPLACED = ("/pronunciations", "/voice_mappings/{voice_id}")
"""A PUT replaces what is there, which deletes it."""


def operations() -> Iterator[tuple[str, str]]:
    """Yield method and path of the routes that an admin key guards."""
    for route in create_app(Settings(engine="espeak")).routes:
        if isinstance(route, Route):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                replaces = method == "PUT" and route.path in REPLACED
                if method == "DELETE" or replaces or route.path in GUARDED:
                    yield method, route.path.replace("{", "").replace("}", "")


OPERATIONS = list(operations())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("admin") / "log"
    keys = {"DIA_API_KEYS": KEY, "DIA_ADMIN_KEYS": f"another,{ADMIN}"}
    with running_server(log, "--max-workers=1", "--debug", **keys) as one:
        yield one


def ask(
    server: Server, method: str, path: str, key: str | None, address: str = "127.0.0.1"
) -> httpx.Response:
    """Send a request from an address; one that has sent several wrong keys has to wait."""
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=20) as client:
        return client.request(method, server.url + path, headers=headers)


def test_the_guarded_operations_are_those_of_operators() -> None:
    assert {path for _, path in OPERATIONS if path.startswith(("/config", "/logs", "/cleanup"))}
    assert {("DELETE", "/jobs"), ("DELETE", "/voice_mappings/voice_id"), ("PUT", "/config")} <= {*OPERATIONS}
    assert len(OPERATIONS) >= 11


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_needs_an_admin_key(server: Server, method: str, path: str) -> None:
    address = f"127.0.2.{OPERATIONS.index((method, path)) + 1}"
    for key, status, code in (
        (None, 401, "unauthorized"),
        ("wrong", 401, "unauthorized"),
        (KEY, 403, "forbidden"),
    ):
        answer = ask(server, method, path, key, address)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ask(server, method, path, ADMIN).status_code in (200, 400, 404)


def test_everything_else_takes_either_key(server: Server) -> None:
    for key in (KEY, ADMIN, "another"):
        assert ask(server, "GET", "/voices", key).status_code == 200
        with connect(f"{server.ws_url}/ws/speak?token={key}", proxy=None) as socket:
            assert '"ready"' in str(socket.recv(10))
    assert ask(server, "GET", "/voices", "wrong").status_code == 401


def test_without_api_keys_speech_needs_none(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", DIA_ADMIN_KEYS=ADMIN)
    assert ask(server, "GET", "/voices", None).status_code == 200
    assert ask(server, "GET", "/config", None).status_code == 401
    assert ask(server, "GET", "/config", "wrong").status_code == 401
    assert ask(server, "GET", "/config", ADMIN).status_code == 200


def test_workers_do_not_know_the_keys(server: Server) -> None:
    for child in server.children():
        assert not {"DIA_API_KEYS", "DIA_ADMIN_KEYS"} & child.environ().keys()


def send(server: Server, key: str, method: str, path: str, **request: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, server.url + path, headers=headers, timeout=20, **request)


@pytest.mark.parametrize("voice", ["mine", "aria", "ALLOY"])
def test_an_ordinary_key_adds_a_voice_and_replaces_none(server: Server, voice: str) -> None:
    """Neither its own, nor a built-in one, nor an alias."""
    body = {"voice_id": voice, "style": "friendly"}
    if voice == "mine":
        assert send(server, KEY, "POST", "/voice_mappings", json=body).status_code == 200
    refused = send(server, KEY, "POST", "/voice_mappings", json=body)
    assert refused.status_code == 403
    assert "Replacing a voice needs an admin key" in refused.text
    assert send(server, ADMIN, "POST", "/voice_mappings", json=body).status_code == 200


def test_an_ordinary_key_adds_a_sample_and_replaces_none(server: Server) -> None:
    def store(key: str, **fields: str) -> httpx.Response:
        files = {"audio_file": ("sample.wav", recording())}
        data = {"prompt_id": "sample", **fields}
        return send(server, key, "POST", "/audio_prompts/upload", files=files, data=data)

    assert store(KEY).status_code == 200
    assert store(KEY).status_code == 403
    path, text = "/audio_prompts/sample/transcript", {"transcript": "These are the words of a sample."}
    assert send(server, KEY, "PUT", path, json=text).status_code == 200
    assert send(server, KEY, "PUT", path, json=text).status_code == 403
    assert send(server, ADMIN, "PUT", path, json=text).status_code == 200
    assert store(ADMIN).status_code == 200
