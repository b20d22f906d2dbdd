"""Clients that flush hundreds of times a second, while much text waits to be spoken."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.foreign import LONG, exchanging
from helpers.servers import Server

pytestmark = pytest.mark.anyio

FLUSHES = 1000
PIECES = [LONG[:800]] * 8


async def test_cartesia_answers_every_flush(server: Server) -> None:
    """Each has an id, which clients count."""
    form = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
    common = {"context_id": "one", "model_id": "sonic-3", "voice": "aria", "output_format": form}
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        for piece in PIECES:
            await exchange.send(**common, transcript=piece, **{"continue": True})
        for _ in range(FLUSHES):
            await exchange.send(**common, transcript="", flush=True, **{"continue": True})
        await exchange.send(**common, transcript="", **{"continue": False})
        await exchange.until(lambda message: message["type"] == "done")
    answers = [message["flush_id"] for message in exchange.told if message["type"] == "flush_done"]
    assert answers == list(range(1, FLUSHES + 1))
    last_audio = max(at for at, message in enumerate(exchange.told) if message["type"] == "chunk")
    assert exchange.told[last_audio + 1]["type"] == "flush_done"


async def test_deepgram_answers_every_flush(server: Server) -> None:
    async with exchanging(f"{server.ws_url}/v1/speak") as exchange:
        for piece in PIECES:
            await exchange.send(type="Speak", text=piece)
        for _ in range(FLUSHES):
            await exchange.send(type="Flush")

        def is_last(message: Any) -> bool:
            return isinstance(message, dict) and message.get("sequence_id") == FLUSHES - 1

        await exchange.until(is_last)
        await exchange.send(type="Speak", text="Still here.")
        await exchange.send(type="Flush")
        await exchange.until(lambda message: isinstance(message, bytes))
        await exchange.until(lambda message: isinstance(message, dict) and message["type"] == "Flushed")
    answers = [message["sequence_id"] for message in exchange.told if message["type"] == "Flushed"]
    assert answers == list(range(FLUSHES + 1))


@pytest.mark.parametrize("path", ["stream-input", "multi-stream-input"])
@pytest.mark.parametrize("flush", ["flush", pytest.param("try_trigger_generation", marks=pytest.mark.slow)])
async def test_elevenlabs_speaks_once_what_is_flushed_often(server: Server, path: str, flush: str) -> None:
    async with exchanging(f"{server.ws_url}/v1/text-to-speech/aria/{path}") as exchange:
        await exchange.send(text=" ")
        for piece in PIECES[:4]:
            await exchange.send(text=piece)
        for _ in range(FLUSHES):
            await exchange.send(text=" ", **{flush: True})
        await exchange.send(text="", flush=True, close_context=True)
        await exchange.until(lambda message: message.get("isFinal"))
    assert not [message for message in exchange.told if "error" in message]


@pytest.mark.slow
async def test_kyutai_speaks_text_sent_a_letter_at_a_time(server: Server) -> None:
    """Its protocol has no flush; each message completes a word."""
    import msgpack
    from websockets.asyncio.client import connect

    url = f"{server.ws_url}/api/tts_streaming?format=PcmMessagePack"
    async with connect(url, proxy=None) as socket:
        for _ in range(FLUSHES):
            await socket.send(msgpack.packb({"type": "Text", "text": "a"}))
        await socket.send(msgpack.packb({"type": "Eos"}))
        kinds = set()
        async for raw in socket:
            kinds.add(msgpack.unpackb(raw)["type"])
            if "Audio" in kinds:
                break
    assert "Error" not in kinds
