"""The vendors' own SDKs, unmodified, pointed at this server."""
# ruff: noqa: E402

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest
from helpers.cuts import cut, pieces_of
from helpers.extra import need
from helpers.foreign import LONG, TEXT, native_audio
from helpers.interruptions import TRIES, Interruptions
from helpers.servers import Server
from helpers.talk import native_words

need("cartesia", "deepgram", "elevenlabs", "openai")

import soundfile
from cartesia import AsyncCartesia, Cartesia
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text
from elevenlabs.client import ElevenLabs
from openai import BadRequestError, NotFoundError, OpenAI

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]

RATE = 24000
LONGER = f"{TEXT} {TEXT}"
"""Long enough to make the silence around mp3 negligible."""
CUTS = pieces_of(TEXT, "words and a space", "a space and words", "characters", "whole")


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


@CUTS
async def test_cartesia_speaks_pushed_text(server: Server, pieces: list[str]) -> None:
    with cartesia_client(server).tts.websocket_connect() as connection:
        events = cartesia_turn(connection, pieces)
    assert pcm_of(events) == await native_audio(server, TEXT, sample_rate=RATE)


def cartesia_late(name: str) -> list[dict[str, Any]]:
    """Return the messages of a turn and of text after its end."""
    request = {
        "context_id": name,
        "model_id": "sonic-3",
        "voice": {"mode": "id", "id": "aria"},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE},
    }
    return [{**request, "transcript": text, "continue_": False} for text in (TEXT, "Too late.")]


async def test_cartesia_hears_turns_out_although_text_came_too_late(server: Server) -> None:
    """The SDK takes an error with a context's id for the end of that context, or of the next with its id."""
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    with cartesia_client(server).tts.websocket_connect() as connection:
        for _ in range(3):
            context = connection.context("one")
            for message in cartesia_late("one"):
                connection.send(message)
            events = list(context.receive())
            assert [event.type for event in events].count("warning") == 1
            assert events[-1].type == "done"
            assert pcm_of(events) == wanted
        assert pcm_of(cartesia_turn(connection, [TEXT])) == wanted


async def test_cartesia_hears_turns_out_in_asyncio_although_text_came_too_late(server: Server) -> None:
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    client = AsyncCartesia(api_key="x", base_url=server.url, websocket_base_url=server.ws_url)
    async with client, client.tts.websocket_connect() as connection:
        for _ in range(3):
            context = connection.context("one")
            request, late = cartesia_late("one")
            del request["context_id"]
            await context.send(**request)
            await connection.send(late)
            with anyio.fail_after(30):
                events = [event async for event in context.receive()]
            assert events[-1].type == "done"
            assert pcm_of(events) == wanted


async def test_cartesia_word_times_are_spread_over_the_audio(server: Server) -> None:
    with cartesia_client(server).tts.websocket_connect() as connection:
        events = cartesia_turn(connection, cut(TEXT)["a space and words"])
    told = [event.word_timestamps for event in events if event.type == "timestamps"]
    assert [word for some in told for word in some.words] == TEXT.split()
    starts = [start for some in told for start in some.start]
    ends = [end for some in told for end in some.end]
    await are_spread(server, starts, ends, len(pcm_of(events)) / 2 / RATE)


async def are_spread(server: Server, starts: list[float], ends: list[float], seconds: float) -> None:
    """Return whether the word times of TEXT ascend and are spread over the duration."""
    assert all(before < after for before, after in pairwise(starts))
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert ends == sorted(ends)
    assert ends[-1] <= seconds + 0.001
    spoken_at = [word["start_ms"] / 1000 for word in await native_words(server.ws_url, TEXT)]
    assert starts == pytest.approx(spoken_at, abs=0.03)


def cartesia_turn(connection: Any, pieces: list[str]) -> list[Any]:
    """Return the events of a whole turn."""
    context = cartesia_context(connection)
    for piece in pieces:
        context.push(piece)
    context.no_more_inputs()
    events = list(context.receive())
    assert events[-1].type == "done"
    return [event for event in events if event.context_id == context._context_id]


def pcm_of(events: list[Any]) -> bytes:
    return b"".join(event.audio for event in events if event.type == "chunk")


async def test_cartesia_cancels_and_continues(server: Server, interruptions: Interruptions) -> None:
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    with cartesia_client(server).tts.websocket_connect() as connection:
        for _ in range(TRIES):
            first = cartesia_context(connection)
            first.push(LONG)
            assert any(event.type == "chunk" for event in first.receive())
            async with interruptions.timed(server):
                first.cancel()
            assert pcm_of(cartesia_turn(connection, [TEXT])) == wanted
    assert interruptions.are_obeyed(), interruptions


class DeepgramListener:
    """Collects audio since the last `Cleared`, in its own thread."""

    def __init__(self, connection: Any) -> None:
        self.pcm = bytearray()
        self.heard, self.flushed, self.cleared = threading.Event(), threading.Event(), threading.Event()
        self._connection = connection
        connection.on(EventType.MESSAGE, self._on_message)
        self._thread = threading.Thread(target=connection.start_listening)
        self._thread.start()

    def _on_message(self, message: Any) -> None:
        if isinstance(message, bytes):
            self.pcm.extend(message)
            self.heard.set()
        elif message.type == "Flushed":
            self.flushed.set()
        elif message.type == "Cleared":
            self.pcm.clear()
            self.cleared.set()

    def turn(self, pieces: list[str]) -> bytes:
        """Return the audio of a whole turn."""
        self.pcm.clear()
        self.flushed.clear()
        self.say(pieces)
        self._connection.send_flush()
        assert self.flushed.wait(10)
        return bytes(self.pcm)

    def say(self, pieces: list[str]) -> None:
        for piece in pieces:
            self._connection.send_text(SpeakV1Text(type="Speak", text=piece))

    def close(self) -> None:
        self._connection.send_close()
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def deepgram_listener(server: Server) -> Iterator[tuple[Any, DeepgramListener]]:
    client = deepgram_client(server)
    with client.speak.v1.connect(model="aria", encoding="linear16", sample_rate=str(RATE)) as connection:
        with closing(DeepgramListener(connection)) as listener:
            yield connection, listener


@pieces_of(TEXT)
async def test_deepgram_speaks_sent_text(server: Server, pieces: list[str]) -> None:
    with deepgram_listener(server) as (_, listener):
        heard = listener.turn(pieces)
    assert heard == await native_audio(server, TEXT, sample_rate=RATE)


async def test_deepgram_clears_and_continues(server: Server, interruptions: Interruptions) -> None:
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    with deepgram_listener(server) as (connection, listener):
        for _ in range(TRIES):
            listener.heard.clear()
            listener.cleared.clear()
            listener.say([LONG])
            assert listener.heard.wait(10)
            async with interruptions.timed(server):
                connection.send_clear()
            assert listener.cleared.wait(10)
            assert not listener.pcm
            assert listener.turn([TEXT]) == wanted
    assert interruptions.are_obeyed(), interruptions


def elevenlabs_client(server: Server) -> ElevenLabs:
    client = ElevenLabs(api_key="x", base_url=server.url)
    client.text_to_speech._ws_base_url = server.ws_url  # It would insist on TLS.
    return client


def elevenlabs_realtime(server: Server, pieces: list[str], output: str = "pcm_24000") -> Any:
    return elevenlabs_client(server).text_to_speech.convert_realtime(
        "aria", text=iter(pieces), model_id="eleven_flash_v2_5", output_format=output
    )


def elevenlabs_stream(server: Server, pieces: list[str]) -> Any:
    return elevenlabs_client(server).text_to_speech.stream(
        "aria", text="".join(pieces), model_id="eleven_flash_v2_5", output_format="pcm_24000"
    )


@CUTS
async def test_elevenlabs_streams_in_real_time(server: Server, pieces: list[str]) -> None:
    audio = b"".join(elevenlabs_realtime(server, pieces))
    assert audio == await native_audio(server, TEXT, sample_rate=RATE)


async def test_elevenlabs_mp3_has_the_same_duration(server: Server) -> None:
    audio = b"".join(elevenlabs_realtime(server, cut(LONGER)["words and a space"], "mp3_44100_128"))
    samples, rate = soundfile.read(io.BytesIO(audio))
    wanted = await native_audio(server, LONGER, sample_rate=RATE)
    assert len(samples) / rate == pytest.approx(len(wanted) / 2 / RATE, rel=0.02)


async def test_elevenlabs_speaks_over_http(server: Server) -> None:
    audio = b"".join(elevenlabs_stream(server, [TEXT]))
    assert audio == await native_audio(server, TEXT, sample_rate=RATE)
    assert "aria" in [voice.voice_id for voice in elevenlabs_client(server).voices.get_all().voices]


async def test_elevenlabs_character_times_are_spread_over_the_audio(server: Server) -> None:
    """It sends times of characters, in order through the whole text."""
    pcm = b""
    characters: list[tuple[str, float, float]] = []
    for piece in elevenlabs_client(server).text_to_speech.stream_with_timestamps(
        "aria", text=TEXT, model_id="eleven_flash_v2_5", output_format="pcm_24000"
    ):
        pcm += base64.b64decode(piece.audio_base_64)
        if (said := piece.alignment) is not None:
            times = said.character_start_times_seconds, said.character_end_times_seconds
            characters += zip(said.characters, *times, strict=True)
    assert pcm == await native_audio(server, TEXT, sample_rate=RATE)
    assert "".join(character for character, _, _ in characters).strip() == TEXT
    all_starts = [start for _, start, _ in characters]
    assert all_starts == sorted(all_starts)
    places = [place.start() for place in re.finditer(r"\S+", TEXT)]
    lasts = [place.end() - 1 for place in re.finditer(r"\S+", TEXT)]
    starts, ends = [characters[at][1] for at in places], [characters[at][2] for at in lasts]
    await are_spread(server, starts, ends, len(pcm) / 2 / RATE)


@pytest.mark.parametrize("speak", [elevenlabs_realtime, elevenlabs_stream], ids=["websocket", "HTTP"])
async def test_elevenlabs_disconnects_and_continues(
    server: Server, speak: Callable[[Server, list[str]], Any], interruptions: Interruptions
) -> None:
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    for _ in range(TRIES):
        audio = speak(server, [LONG])
        assert next(audio)
        async with interruptions.timed(server):
            audio.close()
        assert b"".join(speak(server, [TEXT])) == wanted
    assert interruptions.are_obeyed(), interruptions


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


def openai_client(server: Server) -> OpenAI:
    return OpenAI(api_key="x", base_url=f"{server.url}/v1", max_retries=0)


def openai_speech(client: OpenAI, text: str, form: Any = "pcm") -> Any:
    return client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=text, response_format=form
    )


async def test_openai_speaks_streams_and_reports_errors(server: Server) -> None:
    client = openai_client(server)
    with openai_speech(client, TEXT) as answer:
        assert b"".join(answer.iter_bytes()) == await native_audio(server, TEXT, sample_rate=RATE)
        assert answer.headers["x-request-id"]
    assert "tts-1" in [model.id for model in client.models.list()]
    with pytest.raises(NotFoundError, match="must be the id of a voice"):
        client.audio.speech.create(model="tts-1", voice="nobody", input=TEXT)
    with pytest.raises(BadRequestError, match="speed"):
        client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, speed=9.0)


@pytest.mark.parametrize("form", ["mp3", "wav", "opus"])
async def test_openai_files_have_the_same_duration(server: Server, form: str) -> None:
    with openai_speech(openai_client(server), LONGER, form) as answer:
        samples, rate = soundfile.read(io.BytesIO(answer.read()))
    wanted = await native_audio(server, LONGER, sample_rate=RATE)
    assert len(samples) / rate == pytest.approx(len(wanted) / 2 / RATE, rel=0.02)


async def test_openai_disconnects_and_continues(server: Server, interruptions: Interruptions) -> None:
    client = openai_client(server)
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    for _ in range(TRIES):
        with openai_speech(client, LONG) as answer:
            pieces = answer.iter_bytes(4096)
            assert next(pieces)
            async with interruptions.timed(server):
                answer.close()
        with openai_speech(client, TEXT) as answer:
            assert answer.read() == wanted
    assert interruptions.are_obeyed(), interruptions
