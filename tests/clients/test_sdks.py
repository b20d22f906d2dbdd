"""The vendors' own SDKs, unmodified, pointed at this server."""
# ruff: noqa: E402

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from extra import need
from foreign import LONG, TEXT, contexts, native_audio
from servers import Server, until

need("cartesia", "deepgram", "elevenlabs", "openai")

import soundfile
from cartesia import Cartesia
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text
from elevenlabs.client import ElevenLabs
from openai import BadRequestError, NotFoundError, OpenAI

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]

RATE = 24000
PIECES = ["Hello there, ", "said the fox. ", "This is the second sentence! ", "And is this the third?"]


def cartesia_client(server: Server) -> Cartesia:
    return Cartesia(api_key="x", base_url=server.url, websocket_base_url=server.ws_url)


def deepgram_client(server: Server) -> DeepgramClient:
    environment = DeepgramClientEnvironment(
        base=server.url, production=server.ws_url, agent=server.ws_url, agent_rest=server.url
    )
    return DeepgramClient(api_key="x", environment=environment)


def cartesia_context(connection: Any) -> Any:
    return connection.context(
        model_id="sonic-3",
        voice={"mode": "id", "id": "aria"},
        output_format={"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE},
        add_timestamps=True,
    )


async def test_cartesia_speaks_what_is_pushed(server: Server) -> None:
    pcm, words = b"", []
    with cartesia_client(server).tts.websocket_connect() as connection:
        context = cartesia_context(connection)
        for piece in PIECES:
            context.push(piece)
        context.no_more_inputs()
        for event in context.receive():
            if event.type == "chunk":
                pcm += event.audio
            elif event.type == "timestamps":
                words += event.word_timestamps.words
    assert pcm == await native_audio(server, TEXT, sample_rate=RATE)
    assert words == TEXT.split()


async def test_cartesia_cancels_and_speaks_on(server: Server) -> None:
    with cartesia_client(server).tts.websocket_connect() as connection:
        first = cartesia_context(connection)
        first.push(LONG)
        for event in first.receive():
            if event.type == "chunk":
                break
        first.cancel()
        until(lambda: contexts(server) == 0, 1.0)
        second = cartesia_context(connection)
        second.push(TEXT)
        second.no_more_inputs()
        events = list(second.receive())
    mine = [event for event in events if event.context_id == second._context_id]
    assert events[-1].type == "done"
    assert b"".join(e.audio for e in mine if e.type == "chunk") == await native_audio(
        server, TEXT, sample_rate=RATE
    )


async def test_deepgram_speaks_clears_and_speaks_on(server: Server) -> None:
    pcm = bytearray()
    heard, flushed, cleared = threading.Event(), threading.Event(), threading.Event()

    def on_message(message: Any) -> None:
        if isinstance(message, bytes):
            pcm.extend(message)
            heard.set()
        elif message.type == "Flushed":
            flushed.set()
        elif message.type == "Cleared":
            pcm.clear()
            cleared.set()

    with deepgram_client(server).speak.v1.connect(
        model="aria", encoding="linear16", sample_rate=str(RATE)
    ) as connection:
        connection.on(EventType.MESSAGE, on_message)
        listening = threading.Thread(target=connection.start_listening)
        listening.start()
        connection.send_text(SpeakV1Text(type="Speak", text=LONG))
        assert heard.wait(10)
        connection.send_clear()
        assert cleared.wait(1)
        assert contexts(server) == 0
        for piece in PIECES:
            connection.send_text(SpeakV1Text(type="Speak", text=piece))
        connection.send_flush()
        assert flushed.wait(10)
        connection.send_close()
        listening.join(10)
        assert not listening.is_alive()
    assert bytes(pcm) == await native_audio(server, TEXT, sample_rate=RATE)


async def test_elevenlabs_streams_in_real_time(server: Server) -> None:
    client = ElevenLabs(api_key="x", base_url=server.url)
    client.text_to_speech._ws_base_url = server.ws_url  # It would insist on TLS.
    for output in ("pcm_24000", "mp3_44100_128"):
        audio = b"".join(
            client.text_to_speech.convert_realtime(
                "aria", text=iter(PIECES), model_id="eleven_flash_v2_5", output_format=output
            )
        )
        wanted = await native_audio(server, TEXT, sample_rate=RATE)
        if output == "pcm_24000":
            assert audio == wanted
        else:
            samples, rate = soundfile.read(io.BytesIO(audio))
            assert len(samples) / rate == pytest.approx(len(wanted) / 2 / RATE, abs=0.15)


async def test_elevenlabs_speaks_over_http(server: Server) -> None:
    client = ElevenLabs(api_key="x", base_url=server.url)
    audio = b"".join(
        client.text_to_speech.stream(
            "aria", text=TEXT, model_id="eleven_flash_v2_5", output_format="pcm_24000"
        )
    )
    assert audio == await native_audio(server, TEXT, sample_rate=RATE)
    assert "aria" in [voice.voice_id for voice in client.voices.get_all().voices]


async def test_cartesia_speaks_over_http(server: Server) -> None:
    answer = cartesia_client(server).tts.generate(
        model_id="sonic-3",
        transcript=TEXT,
        voice={"mode": "id", "id": "aria"},
        output_format={"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE},
    )
    assert answer.read() == await native_audio(server, TEXT, sample_rate=RATE)


async def test_deepgram_speaks_over_http(server: Server) -> None:
    pieces = deepgram_client(server).speak.v1.audio.generate(
        text=TEXT, model="aria", encoding="linear16", container="none", sample_rate=RATE
    )
    assert b"".join(pieces) == await native_audio(server, TEXT, sample_rate=RATE)


async def test_openai_speaks_streams_and_tells_what_is_wrong(server: Server) -> None:
    client = OpenAI(api_key="x", base_url=f"{server.url}/v1", max_retries=0)
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=TEXT, response_format="pcm"
    ) as answer:
        assert b"".join(answer.iter_bytes()) == wanted
        assert answer.headers["x-request-id"]
    assert "tts-1" in [model.id for model in client.models.list()]
    with pytest.raises(NotFoundError, match="no voice has this id"):
        client.audio.speech.create(model="tts-1", voice="nobody", input=TEXT)
    with pytest.raises(BadRequestError, match="speed"):
        client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, speed=9.0)
