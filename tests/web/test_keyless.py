"""A server with keys tells those who have none nothing of its voices, samples, jobs and paths.

An answer to a name that exists equals the answer to one that does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import anyio
import httpx
import pytest
from helpers.events import at_port, wyoming_port
from helpers.rest import job_of, upload
from helpers.servers import Server, running_server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.anyio

KEY = "a-very-secret-key"
PRIVATE = "zebra"
"""Part of the name of everything that a client without a key must not see."""
UNKNOWN = "quagga"

METHODS = ("get", "post", "put", "patch", "delete", "head")
WEBSOCKETS = (
    "/ws/speak?voice={name}",
    "/ws/status?voice={name}",
    "/tts/websocket?voice={name}",
    "/v1/speak?model={name}",
    "/v1/speak?model={name}&sample_rate=1",
    "/v1/text-to-speech/{name}/stream-input",
    "/v1/text-to-speech/{name}/multi-stream-input",
    "/v1/text-to-speech/{name}/multi-stream-input?output_format=none",
    "/api/tts_streaming?voice={name}",
    "/api/tts_streaming?voice={name}&format=none",
)


@dataclass(frozen=True, slots=True)
class Locked:
    """A server with keys, and a job that is there."""

    server: Server
    job: str

    def tells(self, answer: str) -> bool:
        """Return whether an answer holds something private."""
        secrets = (PRIVATE, self.job, KEY, str(self.server.log.parent), "Traceback")
        return any(secret.lower() in answer.lower() for secret in secrets)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    options = ("--max-workers=1", "--wyoming-port=0", f"--voice-aliases={PRIVATE}-alias=aria")
    log = tmp_path_factory.mktemp("keyless") / "log"
    with running_server(log, *options, "--auth-timeout-s=0.5", DIA_API_KEYS=KEY) as server:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
            made = client.post("/voice_mappings", json={"voice_id": PRIVATE})
            assert made.status_code == 200, made.text
            assert upload(client, PRIVATE, transcript=f"A {PRIVATE}.").status_code == 200
            yield Locked(server, job_of(client, f"A {PRIVATE} speaks."))


def _comparable(answer: httpx.Response, name: str) -> tuple[int, str]:
    """Return status and body without what differs each time, and without the name that was sent."""
    body = re.sub(r'"request_id":"[^"]*"|"timestamp":[\d.]+', "", answer.text)
    return answer.status_code, body.replace(name, "")


def test_routes_reveal_nothing_without_a_key(locked: Locked) -> None:
    with httpx.Client(base_url=locked.server.url, timeout=30) as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert len(paths) > 40
        for path, operations in paths.items():
            for method in operations.keys() & {*METHODS}:
                body = {"json": {}} if method in ("post", "put", "patch") else {}
                answers = []
                for name in (PRIVATE, locked.job, UNKNOWN):
                    url = re.sub(r"{\w+}", name, path)
                    answer = client.request(method.upper(), url, **body)
                    answers.append(_comparable(answer, name))
                    assert not locked.tells(answers[-1][1]), (method, path)
                assert len(set(answers)) == 1, (method, path)


def test_public_pages_reveal_nothing(locked: Locked) -> None:
    for path in ("/", "/docs", "/openapi.json", "/v1/audio/voices", "/v1/models", "/health", "/nothing"):
        assert not locked.tells(json.dumps(locked.server.get(path)[1])), path


@pytest.mark.parametrize("path", WEBSOCKETS)
async def test_websockets_reveal_nothing_without_a_key(locked: Locked, path: str) -> None:
    told = set()
    for name in (PRIVATE, f"{PRIVATE}-alias", UNKNOWN, "aria"):
        answer = await _answer_of(locked.server.ws_url + path.format(name=name))
        assert not locked.tells(answer)
        told.add(re.sub(r'"request_id":"[^"]*"', "", answer))
    assert len(told) == 1


async def _answer_of(url: str) -> str:
    """Return all that a websocket tells to a client that sends no key."""
    try:
        async with connect(url, proxy=None) as socket:
            told = []
            with suppress(ConnectionClosed), anyio.fail_after(20):
                while True:
                    told.append(await socket.recv())
            return f"{told} {socket.close_code} {socket.close_reason}"
    except InvalidStatus as error:
        return f"{error.response.status_code} {(error.response.body or b'').decode()}"


async def test_wyoming_reveals_only_voices_that_every_server_has(locked: Locked) -> None:
    async with at_port(wyoming_port(locked.server)) as events:
        await events.send("describe")
        told = await events.until("info")
    assert not locked.tells(json.dumps(told.data))


@pytest.mark.parametrize("place", ["voice", "voices", "voices of the voice"])
async def test_wyoming_refuses_private_voices_like_unknown_ones(locked: Locked, place: str) -> None:
    refusals = []
    for name in (PRIVATE, f"{PRIVATE}@de", f"{PRIVATE}-alias", f"{PRIVATE}-alias@de", UNKNOWN):
        voices = {"voices": {"S2": name}}
        asked = {"voice": {"voice": {"name": name}}, "voices": voices}.get(place, {"voice": voices})
        async with at_port(wyoming_port(locked.server)) as events:
            await events.send("synthesize", text="[S2] Hello.", **asked)
            await events.hung_up()
        refusals.append([(event.type, event.data) for event in events.heard])
    assert [kind for kind, _ in refusals[0]] == ["error"]
    assert all(refusal == refusals[0] for refusal in refusals)
