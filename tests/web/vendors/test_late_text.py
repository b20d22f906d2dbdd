"""Text that comes after the end of a turn, at every door with a stream of messages.

A turn that was accepted is heard whole, whatever follows it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgpack
import pytest
from helpers.doors import RATE, TEXT, cartesia_request
from helpers.events import at_port, wyoming_port
from helpers.foreign import Exchange, exchanging, native_audio
from helpers.servers import Server, running_server
from helpers.talk import talking
from websockets.asyncio.client import connect

pytestmark = pytest.mark.anyio

LATE = "Too late."
NONSENSE = 5
"""A text that no door takes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("late") / "log"
    with running_server(log, "--log-format=json", "--wyoming-port=0") as server:
        yield server
    assert not [line for line in server.logged().splitlines() if json.loads(line)["level"] == "error"]


async def native(server: Server, late: Any) -> bytes:
    """The message is refused, with no context: an error with one would be its end."""
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=TEXT, sample_rate=RATE)
        await talk.send("text", text=late)
        await talk.send("flush")
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"
        assert talk.of("error") == [event for event in talk.events if event["type"] == "error"] != []
        assert not [event for event in talk.of("error") if "context" in event]
        return talk.audio()


async def cartesia(server: Server, late: Any) -> bytes:
    """The message is refused by a warning; the next turn may have the same name."""
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        await exchange.send(**cartesia_request(TEXT, context_id="one"))
        await exchange.send(**{**cartesia_request(TEXT, context_id="one"), "transcript": late})
        await exchange.until(lambda message: message["done"])
        assert [message["type"] for message in exchange.told].count("warning") == 1
        heard = _cartesia_audio(exchange)
        exchange.heard.clear()
        await exchange.send(**cartesia_request(TEXT, context_id="one"))
        await exchange.until(lambda message: message["done"])
        assert {message["type"] for message in exchange.told} == {"chunk", "done"}
        assert _cartesia_audio(exchange) == heard
        return heard


def _cartesia_audio(exchange: Exchange) -> bytes:
    return b"".join(b64decode(message["data"]) for message in exchange.told if message["type"] == "chunk")


async def elevenlabs(server: Server, late: Any) -> bytes:
    """Nothing is taken after the empty text, which closes the connection once all is heard."""
    url = f"{server.ws_url}/v1/text-to-speech/aria/stream-input?output_format=pcm_{RATE}"
    async with exchanging(url) as exchange:
        await exchange.send(text=" ")
        await exchange.send(text=TEXT)
        await exchange.send(text="")
        await exchange.send(text=late, flush=True)
        assert await exchange.closed() == (1000, "")
    assert exchange.told[-1]["isFinal"]
    return b"".join(b64decode(message["audio"]) for message in exchange.told if message.get("audio"))


async def elevenlabs_contexts(server: Server, late: Any) -> bytes:
    """Text after a context was closed opens the next one of that name."""
    url = f"{server.ws_url}/v1/text-to-speech/aria/multi-stream-input?output_format=pcm_{RATE}"
    name = {"context_id": "one"}
    async with exchanging(url) as exchange:
        await exchange.send(text=TEXT, flush=True, **name)
        await exchange.send(close_context=True, **name)
        await exchange.send(text=late, **name)
        await exchange.until(lambda message: message.get("isFinal"))
        audio = [b64decode(message["audio"]) for message in exchange.told if message.get("audio")]
        if late == LATE:
            await exchange.send(flush=True, **name)
            await exchange.send(close_context=True, **name)
            await exchange.until(lambda message: message.get("isFinal"))
            assert len([message for message in exchange.told if message.get("audio")]) > len(audio)
    return b"".join(audio)


async def deepgram(server: Server, late: Any) -> bytes:
    """Text after a flush belongs to the next one; text after Close is not taken."""
    url = f"{server.ws_url}/v1/speak?model=aria&encoding=linear16&sample_rate={RATE}"
    async with exchanging(url) as exchange:
        await exchange.send(type="Speak", text=TEXT)
        await exchange.send(type="Flush")
        await exchange.send(type="Close")
        await exchange.send(type="Speak", text=late)
        await exchange.send(type="Flush")
        await exchange.closed()
    assert [message["type"] for message in exchange.told] == ["Metadata", "Flushed"]
    return b"".join(message for message in exchange.heard if isinstance(message, bytes))


async def deepgram_flushed(server: Server, late: Any) -> bytes:
    """Text after a flush is heard after it."""
    url = f"{server.ws_url}/v1/speak?model=aria&encoding=linear16&sample_rate={RATE}"
    async with exchanging(url) as exchange:
        await exchange.send(type="Speak", text=TEXT)
        await exchange.send(type="Flush")
        await exchange.send(type="Speak", text=late)
        await exchange.until(lambda message: isinstance(message, dict) and message["type"] == "Flushed")
        return b"".join(message for message in exchange.heard if isinstance(message, bytes))


async def kyutai(server: Server, late: Any) -> bytes:
    """Nothing is taken after Eos, which closes the connection once all is heard."""
    audio = b""
    async with connect(f"{server.ws_url}/api/tts_streaming?voice=aria", proxy=None) as socket:
        for message in ({"type": "Text", "text": TEXT}, {"type": "Eos"}, {"type": "Text", "text": late}):
            await socket.send(msgpack.packb(message))
        async for raw in socket:
            told = msgpack.unpackb(raw)
            assert told["type"] != "Error"
            for sample in told.get("pcm", ()):
                audio += int(32768 * sample).to_bytes(2, "little", signed=True)
    return audio


async def wyoming_streamed(server: Server, late: Any) -> bytes:
    """The error, after which the server hangs up, comes when all is heard."""
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize-start")
        await events.send("synthesize-chunk", text=TEXT)
        await events.send("synthesize-stop")
        await events.send("synthesize-chunk", text=late)
        await events.send("synthesize-stop")
        await events.hung_up()
    assert events.types == ["audio-start", "audio-chunk", "audio-stop", "synthesize-stopped", "error"]
    return events.audio()


async def wyoming_whole(server: Server, late: Any) -> bytes:
    """A request that is refused does not end the one before it; nor do bytes that are no event."""
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize", text=TEXT)
        if late == LATE:
            await events.send("synthesize", text=late, voice={"name": "nobody"})
        else:
            await events.send_raw(b"GET / HTTP/1.1\r\n\r\n")
        await events.hung_up()
    assert events.types == ["audio-start", "audio-chunk", "audio-stop", "error"]
    return events.audio()


Door = Callable[[Server, Any], Awaitable[bytes]]

DOORS: tuple[tuple[Door, int | None], ...] = (
    (native, RATE),
    (cartesia, RATE),
    (elevenlabs, RATE),
    (elevenlabs_contexts, RATE),
    (deepgram, RATE),
    (deepgram_flushed, RATE),
    (kyutai, RATE),
    (wyoming_streamed, None),
    (wyoming_whole, None),
)
"""Each with the rate in Hz of its audio; None for the engine's."""


@pytest.mark.parametrize("late", [LATE, NONSENSE], ids=["text", "nonsense"])
@pytest.mark.parametrize(("door", "rate"), DOORS, ids=[door.__name__ for door, _ in DOORS])
async def test_a_turn_is_heard_whole_although_more_came_after_its_end(
    server: Server, door: Door, rate: int | None, late: Any
) -> None:
    spoken = await door(server, late)
    expected = await native_audio(server, TEXT, **({"sample_rate": rate} if rate else {}))
    assert len(expected) > 10_000
    assert spoken[: len(expected)] == expected
    assert not any(spoken[len(expected) :])  # The last of Kyutai's messages is filled up with silence.
