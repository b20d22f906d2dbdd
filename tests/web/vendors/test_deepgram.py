"""Deepgram's websocket, against a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from helpers.foreign import ENDLESS, LONG, TEXT, Exchange, contexts, exchanging, kill_worker, native_audio
from helpers.servers import Server, until
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

pytestmark = pytest.mark.anyio


def url(server: Server, model: str = "aria", **query: Any) -> str:
    options = "".join(f"&{name}={value}" for name, value in query.items())
    return f"{server.ws_url}/v1/speak?model={model}{options}"


def audio(exchange: Exchange) -> bytes:
    return b"".join(message for message in exchange.heard if isinstance(message, bytes))


def of(exchange: Exchange, kind: str) -> list[dict[str, Any]]:
    return [message for message in exchange.told if message["type"] == kind]


async def until_told(exchange: Exchange, kind: str) -> dict[str, Any]:
    told: dict[str, Any] = await exchange.until(lambda m: isinstance(m, dict) and m["type"] == kind)
    return told


async def speak(exchange: Exchange, *pieces: str) -> None:
    for piece in pieces:
        await exchange.send(type="Speak", text=piece)
    await exchange.send(type="Flush")


@pytest.mark.parametrize(
    ("encoding", "ours", "rate"),
    [
        ("linear16", "pcm_s16le", 24000),
        ("linear16", "pcm_s16le", 8000),
        ("linear16", "pcm_s16le", 48000),
        ("mulaw", "mulaw", 8000),
        ("alaw", "alaw", 16000),
    ],
)
async def test_audio_equals_the_native_websockets(
    server: Server, encoding: str, ours: str, rate: int
) -> None:
    async with exchanging(url(server, encoding=encoding, sample_rate=rate)) as exchange:
        await speak(exchange, TEXT)
        assert (await until_told(exchange, "Flushed"))["sequence_id"] == 0
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=rate, encoding=ours)
    assert exchange.told[0]["type"] == "Metadata"
    assert exchange.told[0]["model_name"] == "aria"
    assert {"request_id", "model_version", "model_uuid"} <= exchange.told[0].keys()
    assert isinstance(exchange.heard[-2], bytes)


@pytest.mark.parametrize(("encoding", "rate"), [("linear16", 24000), ("mulaw", 8000)])
async def test_default_sample_rate_is_the_vendors(server: Server, encoding: str, rate: int) -> None:
    async with exchanging(url(server, encoding=encoding)) as exchange:
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    ours = "mulaw" if encoding == "mulaw" else "pcm_s16le"
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=rate, encoding=ours)


@pytest.mark.parametrize(
    "pieces",
    [
        list(TEXT),
        [word + " " for word in TEXT.split()],
        ["Hello there, said the fox.", "This is the second sentence!", "And is this the third?"],
        ["Hello there, said the fox. ", "This is the second sentence! ", "And is this the third? "],
        ["Hello there, sa", "id the fo", "x. This is the second sentence! And is this the third?"],
    ],
    ids=["characters", "words", "sentences", "spaced sentences", "anywhere"],
)
async def test_audio_does_not_depend_on_how_text_is_split(server: Server, pieces: list[str]) -> None:
    async with exchanging(url(server)) as exchange:
        await speak(exchange, *pieces)
        await until_told(exchange, "Flushed")
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["It costs 3.", "50 dollars."], "It costs 3.50 dollars."),
        (["See example.", "com for more."], "See example.com for more."),
        (["Is it?", '"Yes."', "Then go."], 'Is it? "Yes." Then go.'),
        (["It was late.", "1984 was over."], "It was late. 1984 was over."),
    ],
)
async def test_a_space_may_be_sent_alone(server: Server, pieces: list[str], text: str) -> None:
    async with exchanging(url(server)) as exchange:
        await speak(exchange, *pieces)
        await until_told(exchange, "Flushed")
    assert audio(exchange) == await native_audio(server, text, sample_rate=24000)


async def test_every_flush_is_answered_once_after_its_audio(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(type="Flush")
        await speak(exchange, "One.")
        await speak(exchange, "Two.")
        await exchange.send(type="Flush")
        for sequence in range(4):
            assert (await until_told(exchange, "Flushed"))["sequence_id"] == sequence
        await speak(exchange, "Three.")
        await until_told(exchange, "Flushed")
        assert of(exchange, "Flushed")[-1]["sequence_id"] == 4
        places = [i for i, m in enumerate(exchange.heard) if isinstance(m, dict) and m["type"] == "Flushed"]
        spans = [exchange.heard[a + 1 : b] for a, b in zip([0, *places], places, strict=False)]
    said = [b"".join(m for m in span if isinstance(m, bytes)) for span in spans]
    wanted = [await native_audio(server, t, sample_rate=24000) for t in ("One.", "Two.", "Three.")]
    assert said == [b"", wanted[0], wanted[1], b"", wanted[2]]
    until(lambda: contexts(server) == 0)


async def test_no_stale_audio_follows_cleared(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await speak(exchange, LONG)
        await exchange.until(lambda m: isinstance(m, bytes))
        await exchange.send(type="Clear")
        assert (await until_told(exchange, "Cleared"))["sequence_id"] == 0
        assert contexts(server) == 0
        seen = len(exchange.heard)
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
        next_turn = Exchange(exchange.socket, exchange.heard[seen:])
    assert audio(next_turn) == await native_audio(server, TEXT, sample_rate=24000)
    assert len(of(exchange, "Flushed")) == 1


async def test_a_clear_without_speech_is_answered(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        for sequence in range(2):
            await exchange.send(type="Clear")
            assert (await until_told(exchange, "Cleared"))["sequence_id"] == sequence


async def test_flushes_before_a_clear_are_dropped_with_their_text(server: Server) -> None:
    """A late answer would end the next turn."""
    async with exchanging(url(server)) as exchange:
        await speak(exchange, LONG)
        await speak(exchange, LONG)
        await exchange.send(type="Clear")
        await until_told(exchange, "Cleared")
        await exchange.send(type="Clear")
        await until_told(exchange, "Cleared")
        kinds = [m["type"] if isinstance(m, dict) else "audio" for m in exchange.heard]
        assert kinds[kinds.index("Cleared") :] == ["Cleared", "Cleared"]
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    assert len(of(exchange, "Flushed")) == 1


async def test_close_speaks_flushed_text_and_drops_the_rest(server: Server) -> None:
    """The vendor's examples flush, close and then listen."""
    async with exchanging(url(server)) as exchange:
        await speak(exchange, TEXT)
        await exchange.send(type="Speak", text=LONG)
        await exchange.send(type="Close")
        assert (await exchange.closed())[0] == 1000
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)
    assert len(of(exchange, "Flushed")) == 1


@pytest.mark.parametrize(
    "text", ["", " ", "[S1]", "👍", "Hi."], ids=["empty", "space", "tag", "emoji", "text"]
)
async def test_a_flush_before_close_is_answered(server: Server, text: str) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(type="Speak", text=text)
        for _ in range(3):
            await exchange.send(type="Flush")
        await exchange.send(type="Close")
        assert (await exchange.closed())[0] == 1000
    assert [message["sequence_id"] for message in of(exchange, "Flushed")] == [0, 1, 2]


async def test_close_without_a_flush_ends_at_once(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(type="Speak", text=LONG)
        await exchange.until(lambda m: isinstance(m, bytes))
        await exchange.send(type="Close")
        assert (await exchange.closed())[0] == 1000
    assert len(audio(exchange)) < 2 * 24000 * 20
    until(lambda: contexts(server) == 0)


async def test_disconnecting_cancels(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await speak(exchange, LONG)
        await exchange.until(lambda m: isinstance(m, bytes))
        assert contexts(server) == 1
    until(lambda: contexts(server) == 0)


async def test_speed_is_applied(server: Server) -> None:
    async with exchanging(url(server, speed=1.5)) as exchange:
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000, speed=1.5)


@pytest.mark.parametrize(
    ("model", "voice", "warned"),
    [("aura-2-luna-en", "luna", False), ("aura-2-andromeda-en", "aria", True), ("alloy", "aria", False)],
)
async def test_the_vendors_own_models_speak(server: Server, model: str, voice: str, warned: bool) -> None:
    """The models are defaults of clients."""
    async with exchanging(url(server, model)) as exchange:
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000, voice=voice)
    assert bool(of(exchange, "Warning")) == warned


@pytest.mark.parametrize("raw", ["no JSON", "[]", '{"type": "Sing"}', '{"type": "Speak"}'])
async def test_unknown_messages_are_ignored_with_a_warning(server: Server, raw: str) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.socket.send(raw)
        warning = await until_told(exchange, "Warning")
        assert warning["code"] in ("BAD_MESSAGE", "BAD_VALUE")
        assert warning["description"] == warning["warn_msg"] != ""
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


async def test_a_failed_turn_is_reported_and_its_flush_answered(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(type="Speak", text="a" * 9000)
        assert (await until_told(exchange, "Error"))["code"] == "TOO_LARGE"
        await speak(exchange, "The rest of it.")
        await until_told(exchange, "Flushed")
        assert audio(exchange) == b""
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    assert len(of(exchange, "Error")) == 1
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


async def test_a_flush_that_comes_before_its_turns_failure_is_told_is_answered(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        for sequence in range(20):
            await speak(exchange, "a" * 9000)
            assert (await until_told(exchange, "Flushed"))["sequence_id"] == sequence
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    assert [message["type"] for message in exchange.told[1:]] == [*["Error", "Flushed"] * 20, "Flushed"]
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize("flushed", [True, False])
async def test_a_lost_worker_is_reported_after_the_first_audio(
    start_server: Callable[..., Server], flushed: bool
) -> None:
    server = start_server("--max-workers=1")
    async with exchanging(url(server)) as exchange:
        await exchange.send(type="Speak", text=ENDLESS)
        if flushed:
            await exchange.send(type="Flush")
        await exchange.until(lambda m: isinstance(m, bytes))
        kill_worker(server)
        assert (await until_told(exchange, "Error"))["code"] == "WORKER_LOST"
        if not flushed:  # The rest of the turn is ignored.
            await speak(exchange, "And more.")
        await until_told(exchange, "Flushed")
        assert isinstance(exchange.heard[-2], dict)
        until(server.ready, 30)
        seen = len(exchange.heard)
        await speak(exchange, TEXT)
        await until_told(exchange, "Flushed")
    again = Exchange(exchange.socket, exchange.heard[seen:])
    assert audio(again) == await native_audio(server, TEXT, sample_rate=24000)


async def test_a_turn_that_cannot_start_is_reported_once_and_its_flush_answered(server: Server) -> None:
    """A client waiting for the answer to a flush would otherwise wait forever."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/voice_mappings", json={"voice_id": "passing"})).status_code == 200
        async with exchanging(url(server, "passing")) as exchange:
            assert (await client.delete("/voice_mappings/passing")).status_code == 200
            for sequence in range(2):
                await speak(exchange, "One. ", "Two.")
                assert (await until_told(exchange, "Flushed"))["sequence_id"] == sequence
    told = [message["type"] for message in exchange.told]
    assert told == ["Metadata", "Error", "Flushed", "Error", "Flushed"]
    assert {error["code"] for error in of(exchange, "Error")} == {"UNKNOWN_VOICE"}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("model=nobody", 404, b"UNKNOWN_VOICE"),
        ("model=aria&encoding=mp3", 400, b"BAD_VALUE"),
        ("model=aria&sample_rate=11000", 400, b"BAD_VALUE"),
        ("model=aria&sample_rate=0", 400, b"BAD_VALUE"),
        ("model=aria&speed=9", 400, b"BAD_VALUE"),
    ],
)
async def test_unsupported_options_refuse_the_handshake(
    server: Server, query: str, status: int, code: bytes
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with exchanging(f"{server.ws_url}/v1/speak?{query}"):
            pass
    response = refused.value.response
    assert response.status_code == status
    assert b'"err_code":"' + code + b'"' in response.body
    assert response.headers["dg-error"]


async def test_accepts_keys_in_the_vendors_places(start_server: Callable[..., Server]) -> None:
    server = start_server(DIA_API_KEYS="secret")
    for scheme in ("Token", "token", "Bearer"):
        headers = {"Authorization": f"{scheme} secret"}
        async with exchanging(url(server), additional_headers=headers) as exchange:
            await speak(exchange, "Hi.")
            await until_told(exchange, "Flushed")
    offered = [Subprotocol("token"), Subprotocol("secret")]
    async with exchanging(url(server), subprotocols=offered) as exchange:
        assert exchange.socket.subprotocol == "token"
        await speak(exchange, "Hi.")
        await until_told(exchange, "Flushed")
    for options in (
        {},
        {"additional_headers": {"Authorization": "Token wrong"}},
        {"subprotocols": [Subprotocol("token"), Subprotocol("wrong")]},
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with exchanging(url(server), **options):
                pass
        assert refused.value.response.status_code == 401


async def test_a_full_server_refuses_the_handshake(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-connections=1")
    async with exchanging(url(server)):
        with pytest.raises(InvalidStatus) as refused:
            async with exchanging(url(server)):
                pass
        assert refused.value.response.status_code == 503
        assert b'"err_code":"FULL"' in refused.value.response.body
