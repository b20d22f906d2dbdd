"""Speech over HTTP is complete or visibly aborted."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import httpx
import numpy as np
import psutil
import pytest
from helpers.foreign import LONG, native_audio
from helpers.rest import PATIENCE_S, heard, say, to
from helpers.servers import Server, until
from helpers.sessions import speech_services_in
from starlette.types import Message

from streaming_server.errors import TooSlow
from streaming_server.render import CHARACTERS_AT_ONCE, Rendering
from streaming_server.speech_options import UNPACED_MS, SpeechOptions
from streaming_server.web.http_protocol import ABORT
from streaming_server.web.responses import error_response
from streaming_server.web.services import SpeechServices
from streaming_server.web.speech_response import ReaderPatience, SpeechResponse


@pytest.fixture
def alone(start_server: Callable[..., Server]) -> Server:
    """Start a server with one worker that a test may kill."""
    return start_server("--max-workers=1")


@pytest.fixture
def client(alone: Server) -> Iterator[httpx.Client]:
    with to(alone) as one:
        yield one


def worker(server: Server) -> psutil.Process:
    return psutil.Process(server.workers()[0]["pid"])


def test_a_lost_worker_aborts_the_response(alone: Server, client: httpx.Client) -> None:
    """A normal end would make it look complete."""
    body = {"text": "and so on " * 400, "voice_id": "aria", "speed": 0.25}
    speaking = worker(alone)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        with client.stream("POST", "/generate", json=body) as answer:
            assert answer.status_code == 200
            sound = answer.iter_raw(1024)
            assert next(sound)
            speaking.kill()
            for _ in sound:
                pass
    until(lambda: client.get("/queue/stats").json()["contexts"] == 0)
    until(alone.ready)
    heard(say(client))


def test_a_failure_before_the_first_audio_is_an_error_response(alone: Server, client: httpx.Client) -> None:
    """Without a worker there is no capacity until it restarts."""

    def answer_without_a_worker() -> httpx.Response | None:
        until(alone.ready)
        worker(alone).kill()
        until(lambda: alone.workers()[0]["state"] != "ready")
        answer = say(client)
        return answer if answer.status_code != 200 else None  # It may be back by now.

    refused = until(answer_without_a_worker, 30)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["code"] == "full"
    until(lambda: say(client).status_code == 200, 20)


@pytest.mark.anyio
async def test_a_text_appended_in_pieces_has_no_seam(server: Server) -> None:
    """The text is split within a word, while the native websocket receives it whole."""
    text = "A short beginning. " + "A sentence of a few words. " * (CHARACTERS_AT_ONCE // 20) + "Short again."
    assert text[CHARACTERS_AT_ONCE - 1 : CHARACTERS_AT_ONCE + 1].isalpha()
    body = {"text": text, "voice_id": "aria", "response_format": "pcm"}
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:
        answer = await client.post("/generate", json=body)
    assert answer.content == await native_audio(server, text, max_lead_ms=UNPACED_MS)


def test_audio_is_sent_before_the_text_is_finished(client: httpx.Client) -> None:
    body = {"text": LONG[:4000], "voice_id": "aria"}
    with client.stream("POST", "/generate", json=body) as answer:
        assert "content-length" not in answer.headers
        body_of_it = answer.iter_raw(1024)
        first = next(body_of_it)
        assert client.get("/queue/stats").json()["contexts"] == 1
        sound = np.frombuffer((first + b"".join(body_of_it))[44:], "<i2")
    assert len(sound) > 60 * 22050
    assert np.abs(sound[-22050:].astype(int)).max() > 500


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_a_response_has_a_content_type_and_no_content_length(server: Server, form: str) -> None:
    with to(server) as client:
        answer = say(client, response_format=form)
    assert answer.headers["content-type"] == f"audio/{form}"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-disposition"] == f'attachment; filename="speech.{form}"'


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[SpeechServices]:
    async with speech_services_in(tmp_path) as found:
        await wait_for(lambda: found.pool.has_room)
        yield found


async def wait_for(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


class Exchange:
    """One request at the level of ASGI. Its body, which nobody has read, is refused once `refuses` is set."""

    scope: ClassVar[dict[str, Any]] = {"type": "http", "extensions": {ABORT: {}}}

    def __init__(self) -> None:
        self.refuses = anyio.Event()
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        await self.refuses.wait()
        raise TooSlow("The body did not arrive in time.")

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_an_unread_body_that_is_refused_before_the_response_is_the_answer(
    services: SpeechServices,
) -> None:
    exchange = Exchange()
    exchange.refuses.set()
    response = SpeechResponse(services, LONG, SpeechOptions("aria"), explain=error_response)
    await response(exchange.scope, exchange.receive, exchange.send)
    start, body = exchange.sent
    assert start["status"] == 408
    assert json.loads(body["body"])["error"]["code"] == "too_slow"
    assert len(services.contexts) == 0


@pytest.mark.anyio
async def test_an_unread_body_that_is_refused_during_the_response_aborts_it(services: SpeechServices) -> None:
    exchange = Exchange()

    async def endless(rendering: Rendering) -> AsyncGenerator[bytes, None]:
        while True:
            yield b"audio"
            exchange.refuses.set()

    response = SpeechResponse(services, "Hello.", SpeechOptions("aria"), explain=error_response, body=endless)
    with anyio.fail_after(20):
        await response(exchange.scope, exchange.receive, exchange.send)
    assert exchange.sent[0]["status"] == 200
    assert exchange.sent[-1] == {"type": ABORT}
    assert len(services.contexts) == 0


@pytest.mark.anyio
async def test_an_operating_system_error_of_the_server_is_not_taken_for_a_client_that_left(
    services: SpeechServices,
) -> None:
    exchange = Exchange()

    async def failing(rendering: Rendering) -> AsyncGenerator[bytes, None]:
        yield b"audio"
        raise OSError("the disk is full")

    response = SpeechResponse(services, "Hello.", SpeechOptions("aria"), explain=error_response, body=failing)
    with pytest.raises(ExceptionGroup) as raised:
        await response(exchange.scope, exchange.receive, exchange.send)
    assert raised.group_contains(OSError, match="disk")


def test_a_reader_may_stall_for_a_limited_time() -> None:
    patience = ReaderPatience(60.0)
    assert patience.left_s(0.0) == 60
    patience.waited(40.0)
    assert patience.left_s(0.0) == 20
    assert patience.left_s(10.0) == 40
    assert patience.left_s(1000.0) == 2020
    assert patience.left_s(1000.0) == 60


def test_a_real_time_reader_is_kept_and_a_slower_one_is_not() -> None:
    playing, crawling = ReaderPatience(60.0), ReaderPatience(60.0)
    for second in range(1, 3600):
        assert playing.left_s(second) == 62
        playing.waited(1.0)
        crawling.waited(3.0)
    assert crawling.left_s(3600) == 0


@pytest.mark.parametrize("crawls", [False, True], ids=["stands still", "crawls"])
def test_a_reader_that_trickles_loses_its_context(start_server: Callable[..., Server], crawls: bool) -> None:
    """Reading a byte now and then used to hold a context and its engine resources indefinitely."""
    server = start_server("--max-workers=1", "--stall-timeout-s=2")
    body = json.dumps({"text": LONG[:4000], "voice_id": "aria", "speed": 0.25}).encode()
    with socket.socket() as line, to(server) as client:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", server.port))
        line.sendall(
            b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        line.sendall(body)
        assert line.recv(1024).startswith(b"HTTP/1.1 200")

        def contexts() -> int:
            if crawls:
                line.recv(50)
            return int(client.get("/queue/stats").json()["contexts"])

        assert contexts() == 1
        until(lambda: contexts() == 0, 15)
