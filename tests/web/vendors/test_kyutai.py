"""Kyutai's websocket, against a real server."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgpack
import pytest
from helpers.foreign import ENDLESS, LONG, TEXT, active, contexts, kill_worker, native_audio
from helpers.servers import Server, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.anyio

RATE = 24000
FRAME = 1920
PATIENCE_S = 20.0


@dataclass(slots=True)
class Exchange:
    """Sends MessagePack and records all messages."""

    socket: ClientConnection
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(msgpack.packb({"type": kind, **fields}))

    async def next(self) -> dict[str, Any]:
        with anyio.fail_after(PATIENCE_S):
            message: dict[str, Any] = msgpack.unpackb(await self.socket.recv(decode=False))
        self.heard.append(message)
        return message

    async def until(self, kind: str) -> dict[str, Any]:
        while (message := await self.next())["type"] != kind:
            pass
        return message

    async def closed(self) -> int:
        """Read until the server closes; return its close code."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await self.next()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    def audio(self) -> bytes:
        """Return the audio as 16-bit samples, to which it must convert exactly."""
        samples = [32768 * sample for message in self.of("Audio") for sample in message["pcm"]]
        assert all(sample.is_integer() for sample in samples)
        return struct.pack(f"<{len(samples)}h", *map(int, samples))


@asynccontextmanager
async def exchanging(server: Server, query: str = "", **options: Any) -> AsyncIterator[Exchange]:
    url = f"{server.ws_url}/api/tts_streaming?format=PcmMessagePack{query}"
    async with connect(url, proxy=None, **options) as socket:
        yield Exchange(socket)


async def native_frames(server: Server, text: str, **options: Any) -> bytes:
    """Return the native websocket's audio, padded with silence to a whole frame."""
    audio = await native_audio(server, text, sample_rate=RATE, **options)
    return audio + bytes(-len(audio) % (2 * FRAME))


async def turn(server: Server, *pieces: str, query: str = "", **options: Any) -> Exchange:
    """Send a whole turn and read until the server closes."""
    async with exchanging(server, query, **options) as exchange:
        for piece in pieces:
            await exchange.send("Text", text=piece)
        await exchange.send("Eos")
        assert await exchange.closed() == 1000
    return exchange


async def test_audio_equals_the_native_websockets(server: Server) -> None:
    exchange = await turn(server, TEXT)
    assert exchange.heard[0] == {"type": "Ready"}
    assert exchange.audio() == await native_frames(server, TEXT)
    assert {len(message["pcm"]) for message in exchange.of("Audio")} == {FRAME}


async def test_words_precede_their_audio(server: Server) -> None:
    exchange = await turn(server, TEXT)
    words = exchange.of("Text")
    assert [word["text"] for word in words] == TEXT.split()
    times = [time for word in words for time in (word["start_s"], word["stop_s"])]
    assert times == sorted(times)
    heard_s = 0.0
    for message in exchange.heard[1:]:
        if message["type"] == "Text":
            assert heard_s <= message["start_s"] + FRAME / RATE
        else:
            heard_s += FRAME / RATE
    assert times[-1] <= heard_s


@pytest.mark.parametrize(
    "pieces",
    [
        TEXT.split(),
        [f" {word}" for word in TEXT.split()],
        [f"{word} " for word in TEXT.split()],
        ["Hello there, said the fox.", "This is the second sentence!", "And is this the third?"],
    ],
    ids=["bare words", "words after a space", "words before a space", "sentences"],
)
async def test_messages_hold_whole_words(server: Server, pieces: list[str]) -> None:
    exchange = await turn(server, *pieces)
    assert [word["text"] for word in exchange.of("Text")] == TEXT.split()
    if not pieces[0].startswith(" "):
        assert exchange.audio() == await native_frames(server, TEXT)


async def test_speech_starts_while_text_still_arrives(server: Server) -> None:
    async with exchanging(server) as exchange:
        for word in ("Hello", "there,", "said", "the", "fox."):
            await exchange.send("Text", text=word)
        await exchange.until("Audio")
        await exchange.send("Text", text="This is the second sentence! And is this the third?")
        await exchange.send("Eos")
        assert await exchange.closed() == 1000
    assert exchange.audio() == await native_frames(server, TEXT)


async def test_accepts_plain_text_and_a_zero_byte_as_the_end(server: Server) -> None:
    async with exchanging(server) as exchange:
        await exchange.socket.send(TEXT)
        await exchange.socket.send(b"\0")
        assert await exchange.closed() == 1000
    assert exchange.audio() == await native_frames(server, TEXT)


async def test_an_end_without_text_closes_the_connection(server: Server) -> None:
    exchange = await turn(server)
    assert exchange.heard == [{"type": "Ready"}]


@pytest.mark.parametrize(
    ("query", "voice"),
    [
        ("&voice=luna", "luna"),
        ("&voice=onyx", "zara"),
        ("&voice=expresso%2Fex03-ex01_happy_001_channel1_334s.wav&cfg_alpha=1.5", "aria"),
        ("&cfg_alpha=1.5&seed=3&temperature=0.6&top_k=50&max_seq_len=4096", "aria"),
    ],
)
async def test_voices(server: Server, query: str, voice: str) -> None:
    """The vendor's own voices, which are clients' defaults, map to the default voice."""
    exchange = await turn(server, TEXT, query=query)
    assert exchange.audio() == await native_frames(server, TEXT, voice=voice)


async def test_voice_embeddings_map_to_the_default_voice(server: Server) -> None:
    async with exchanging(server) as exchange:
        await exchange.send("Voice", embeddings=[0.5] * 512, shape=[1, 512, 1])
        await exchange.send("Text", text=TEXT)
        await exchange.send("Eos")
        assert await exchange.closed() == 1000
    assert exchange.audio() == await native_frames(server, TEXT)


async def test_disconnecting_cancels(server: Server) -> None:
    async with exchanging(server) as exchange:
        await exchange.send("Text", text=LONG)
        await exchange.until("Audio")
        assert contexts(server) == 1
    until(lambda: contexts(server) == 0)
    until(lambda: active(server) == 0)


async def test_a_lost_worker_is_reported_after_the_first_audio(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    async with exchanging(server) as exchange:
        await exchange.send("Text", text=ENDLESS)
        await exchange.send("Eos")
        await exchange.until("Audio")
        kill_worker(server)
        assert await exchange.closed() == 1011
    assert exchange.heard[-1]["type"] == "Error"
    assert exchange.heard[-1]["message"].endswith(".")
    until(lambda: contexts(server) == 0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x93\x01",
        msgpack.packb([1]),
        msgpack.packb({1: 2}),
        msgpack.packb({"type": "Sing"}),
        msgpack.packb({"type": "Text"}),
        msgpack.packb({"type": "Text", "text": 5}),
        msgpack.packb({"type": "Text", "text": "a\0b"}),
        msgpack.packb({"type": "Text", "text": "a" * 9000}),
        b"\x81" * 60000,
        b"\xdf\xff\xff\xff\xff",
        b"\xc7\x0c\xff" + b"\xff" * 12,
    ],
    ids=lambda raw: repr(raw[:12]),
)
async def test_an_invalid_message_closes_the_connection_with_an_error(server: Server, raw: bytes) -> None:
    async with exchanging(server) as exchange:
        await exchange.socket.send(raw)
        await exchange.send("Eos")
        assert await exchange.closed() in (1008, 1009)
    assert [message["type"] for message in exchange.heard] == ["Ready", "Error"]
    assert exchange.heard[1]["message"].endswith(".")
    until(lambda: contexts(server) == 0)


@pytest.mark.parametrize(
    ("query", "status"),
    [("&voice=nobody", 404), ("&format=OggOpus", 422), ("&temperature=9", 422), ("&seed=-1", 422)],
)
async def test_unsupported_options_refuse_the_handshake(server: Server, query: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with exchanging(server, query):
            pass
    assert refused.value.response.status_code == status
    assert b'"type":"Error"' in refused.value.response.body


async def test_accepts_keys_in_the_vendors_places(start_server: Callable[..., Server]) -> None:
    server = start_server(DIA_API_KEYS="secret")
    for query, headers in (
        ("&auth_id=secret", {}),
        ("", {"kyutai-api-key": "secret"}),
        ("", {"Authorization": "Bearer secret"}),
    ):
        exchange = await turn(server, "Hi.", query=query, additional_headers=headers)
        assert exchange.of("Audio")
    for query, headers in (("", {}), ("&auth_id=wrong", {}), ("", {"kyutai-api-key": "public_token"})):
        with pytest.raises(InvalidStatus) as refused:
            async with exchanging(server, query, additional_headers=headers):
                pass
        assert refused.value.response.status_code == 401
    assert server.get("/api/build_info")[0] == 200


async def test_a_full_server_sends_an_error_after_the_handshake(start_server: Callable[..., Server]) -> None:
    """An error in place of `Ready` makes clients try another server."""
    server = start_server("--max-connections=1")
    async with exchanging(server) as first:
        await first.until("Ready")
        async with exchanging(server) as second:
            assert await second.closed() == 1013
        assert [message["type"] for message in second.heard] == ["Error"]


async def test_unmute_finds_the_server_healthy(server: Server) -> None:
    assert server.get("/api/build_info")[0] == 200
