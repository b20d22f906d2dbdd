"""The websocket client, against frames of another implementation and against a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from streaming_server.audio.frames import AUDIO_KIND, FRAME_HEADER
from streaming_server.bench.client import Address, Client
from streaming_server.bench.door_clients import HttpClient, KyutaiClient, WyomingClient

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Recorder:
    """Records messages and audio."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self._more = asyncio.Event()

    async def wait_for(self, count: int) -> list[Any]:
        """Return everything recorded, once there is this much."""
        async with asyncio.timeout(20):
            while len(self.said) < count:
                self._more.clear()
                await self._more.wait()
        return self.said

    def _note(self, something: Any) -> None:
        self.said.append(something)
        self._more.set()

    def on_message(self, message: dict[str, Any], now: float) -> None:
        self._note(message)

    def on_audio(self, first_sample: int, size: int, now: float) -> None:
        self._note((first_sample, size))

    def on_close(self, reason: str | None) -> None:
        self._note(reason)


def _binary(first_sample: int, size: int) -> bytes:
    payload = FRAME_HEADER.pack(AUDIO_KIND, 0, 7, 0, first_sample) + bytes(size)
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


def _text(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


@given(st.lists(st.integers(1, 400), max_size=200))
def test_frames_may_be_split_anywhere(cuts: list[int]) -> None:
    stream = SWITCH + _text(b'{"type":"ready"}') + _binary(0, 40) + _binary(20, 900) + _binary(470, 70_000)
    stream += _text(b'{"type":"done"}')
    recorder = Recorder()
    client = Client(recorder, Address("127.0.0.1", 1))
    for size in cuts:
        client.data_received(stream[:size])
        stream = stream[size:]
    if stream:
        client.data_received(stream)
    assert recorder.said == [{"type": "ready"}, (0, 40), (20, 900), (470, 70_000), {"type": "done"}]


@given(st.lists(st.integers(1, 100), max_size=60))
def test_events_may_be_split_anywhere(cuts: list[int]) -> None:
    stream = b'{"type":"audio-start","data_length":15}\n{"rate": 22050}'
    stream += b'{"type":"audio-chunk","data_length":2,"payload_length":40}\n{}' + b"\n" * 40
    stream += b'{"type":"audio-chunk","payload_length":6}\n' + bytes(6)
    stream += b'{"type":"audio-stop"}\n{"type":"synthesize-stopped"}\n'
    recorder = Recorder()
    client = WyomingClient(recorder, Address("127.0.0.1", 1))
    for size in cuts:
        client.data_received(stream[:size])
        stream = stream[size:]
    if stream:
        client.data_received(stream)
    assert recorder.said == [{"type": "started", "sample_rate": 22050}, (0, 40), (20, 6), {"type": "done"}]


@pytest.mark.anyio
async def test_reconnects_to_a_server_that_closes_after_every_turn() -> None:
    calls: list[list[str]] = []

    async def turn(socket: ServerConnection) -> None:
        calls.append([])
        await socket.send(msgpack.packb({"type": "Ready"}))
        while (message := msgpack.unpackb(await socket.recv()))["type"] == "Text":
            calls[-1].append(message["text"])
        await socket.send(msgpack.packb({"type": "Audio", "pcm": [0.5] * 10}))

    recorder = Recorder()
    async with serve(turn, "127.0.0.1", 0) as server:
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        client = KyutaiClient(recorder, address)
        await asyncio.get_running_loop().create_connection(lambda: client, address.host, address.port)
        await recorder.wait_for(1)
        for number in (1, 2, 3):
            client.write(b"")
            client.write(msgpack.packb({"type": "Text", "text": str(number)}))
            client.write(msgpack.packb({"type": "Eos"}), last=True)
            await recorder.wait_for(1 + 2 * number)
        client.end()
    assert calls == [["1"], ["2"], ["3"]]
    assert recorder.said[0]["type"] == "ready"
    assert recorder.said[1:7] == [(0, 20), {"type": "done"}] * 3


def test_parses_a_url() -> None:
    assert Address.of("http://localhost:7860/", "k") == Address("localhost", 7860, "", False, "k")
    assert Address.of("https://a.example/tts") == Address("a.example", 443, "/tts", True)


def test_an_ipv6_address_keeps_its_brackets() -> None:
    address = Address.of("http://[::1]:8000/tts")
    assert (address.host, address.authority) == ("::1", "[::1]:8000")
    assert address.url("/readyz") == "http://[::1]:8000/tts/readyz"
    assert Address.of("https://a.example").authority == "a.example:443"


@pytest.mark.anyio
@pytest.mark.parametrize("client", [Client, HttpClient])
async def test_the_host_header_of_an_ipv6_address_has_brackets(
    client: type[Client] | type[HttpClient],
) -> None:
    asked = asyncio.get_running_loop().create_future()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    try:
        server = await asyncio.start_server(note, "::1", 0)
    except OSError:
        pytest.skip("needs IPv6")
    async with server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        one = client(Recorder(), Address.of(f"http://[::1]:{port}"))
        await asyncio.get_running_loop().create_connection(lambda: one, "::1", port)
        one.write(b"{}")
        assert f"Host: [::1]:{port}\r\n".encode() in await asked
        one.end()


@pytest.mark.anyio
async def test_works_with_a_real_server() -> None:
    async def echo(socket: ServerConnection) -> None:
        assert socket.request is not None
        await socket.send('{"key":"' + socket.request.headers["Authorization"] + '"}')
        async for message in socket:
            await socket.send(message)
            await (await socket.ping())

    recorder = Recorder()
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = Client(recorder, Address("127.0.0.1", port, key="secret"))
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)
        client.write(b'{"text":"short"}')
        client.write(b'{"text":"' + b"long " * 100 + b'"}')
        await recorder.wait_for(3)
        client.end()
        assert await recorder.wait_for(4) == [
            {"key": "Bearer secret"},
            {"text": "short"},
            {"text": "long " * 100},
            None,
        ]


@pytest.mark.anyio
async def test_distinguishes_a_refused_handshake_from_a_lost_connection() -> None:
    async def close(socket: ServerConnection) -> None:
        await socket.close()

    def refuse(socket: ServerConnection, request: Request) -> Response | None:
        return socket.respond(503, "full") if request.path.startswith("/full") else None

    async with serve(close, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        for path, reason in (("/full", "refused"), ("/open", "lost")):
            recorder = Recorder()
            client = Client(recorder, Address("127.0.0.1", port, path))
            await asyncio.get_running_loop().create_connection(
                lambda client=client: client, "127.0.0.1", port
            )
            assert await recorder.wait_for(1) == [reason]
