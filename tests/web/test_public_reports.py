"""Reports of users of other speech servers, tried on this one. Each case names its source on GitHub."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import wave
from array import array
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from helpers.events import at_port
from helpers.foreign import native_audio
from helpers.rest import PATIENCE_S, metadata_of, recording, to, upload
from helpers.servers import Server, free_port, running_server, until
from helpers.talk import talking

pytestmark = pytest.mark.anyio

TEXT = "Hello there, fox. And a second sentence."
MANY = 12
LOUD = 1000
"""A sample of speech, of 32,767 at most."""


@dataclass(frozen=True, slots=True)
class Subject:
    server: Server
    wyoming_port: int

    async def speech(self, text: str = TEXT, **fields: Any) -> httpx.Response:
        """Ask for speech as OpenAI's clients do."""
        body = {"model": "tts-1", "voice": "alloy", "input": text, **fields}
        async with httpx.AsyncClient(base_url=self.server.url, timeout=PATIENCE_S) as client:
            return await client.post("/v1/audio/speech", json=body)

    async def pcm(self, text: str = TEXT, **fields: Any) -> bytes:
        answer = await self.speech(text, response_format="pcm", **fields)
        assert answer.status_code == 200, answer.text
        return answer.content

    def logged_errors(self) -> list[str]:
        lines = self.server.logged().splitlines()
        return [line for line in lines if json.loads(line)["level"] == "error" or "Traceback" in line]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """One server for all cases. Whatever the case, it logs no error and loses no worker."""
    port = free_port()
    log = tmp_path_factory.mktemp("reports") / "log"
    with running_server(log, "--log-format=json", "--max-workers=1", f"--wyoming-port={port}") as server:
        one = Subject(server, port)
        pids = [worker["pid"] for worker in server.workers()]
        yield one
        assert one.logged_errors() == []
        assert [worker["pid"] for worker in server.workers()] == pids


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to `/v1/audio/speech` and its answer. source: the report, and what was wrong there."""

    source: str
    fields: dict[str, Any]
    status: int = 200
    begins: bytes = b""


LIST = "---\nHow to verify and fix:\n1. Check ACLs on parent directories:\n2."
EXPRESSIVE = (
    '<speak version="1.0"><voice name="x"><mstts:express-as style="assistant">🤪🤩 You have a call.'
    "</mstts:express-as></voice></speak>"
)

REQUESTS = [
    Asked("boson-ai/higgs-audio#53: a list of Open WebUI's fails", {"input": LIST}),
    Asked("machineonamission/mediaforge#277: emoji and no words fail", {"input": "🎉 OIOOOOOOOOO"}),
    Asked("Lourdle/cosyvoice.cpp#31: emoji between the letters fail", {"input": "😄a😄b😄, c😄."}),
    Asked("Azure-Samples/cognitive-services-speech-sdk#1118: emoji in SSML", {"input": EXPRESSIVE}),
    Asked("moeru-ai/airi#454: nothing to say is a 200 without audio", {"input": ""}, 400),
    Asked("moeru-ai/airi#454: emoji alone", {"input": "👍"}, 400),
    Asked("moltis-org/moltis#1030: opus is refused", {"response_format": "opus"}, begins=b"OggS"),
    Asked("genkit-ai/genkit-dart#405: ogg is an internal error", {"response_format": "ogg"}, begins=b"OggS"),
    Asked("genkit-ai/genkit-dart#405: an unknown format", {"response_format": "tiff"}, 400),
    Asked("genkit-ai/genkit-dart#405: a speed out of range is spoken", {"speed": 99.0}, 400),
    Asked("matatonic/openedai-speech#11: an unknown voice is a server error", {"voice": "male1"}, 404),
    Asked("devnen/Chatterbox-TTS-Server#147: a path for a voice", {"voice": "../../etc/passwd"}, 404),
    Asked("devnen/Chatterbox-TTS-Server#136: a path tells of files", {"voice": "../../etc/nothing"}, 404),
    Asked("nari-labs/dia#67: a tag without text screams", {"input": "[S1]"}, 400),
]


@pytest.mark.parametrize("asked", REQUESTS, ids=lambda asked: asked.source)
async def test_request(asked: Asked, subject: Subject) -> None:
    answer = await subject.speech(**asked.fields)
    assert answer.status_code == asked.status, answer.text
    if asked.status == 200:
        assert len(answer.content) > 1000
        assert answer.content.startswith(asked.begins)
    else:
        assert answer.json()["error"]["message"]


async def crowd_with_cancellations(subject: Subject) -> None:
    """Some leave in the middle of their stream; the others hear what they would hear alone."""
    alone = await subject.pcm()

    async def leave() -> None:
        body = {"input": TEXT * 20, "voice": "alloy", "response_format": "mp3"}
        async with httpx.AsyncClient(base_url=subject.server.url, timeout=PATIENCE_S) as client:
            async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
                await anext(answer.aiter_raw())

    async with asyncio.TaskGroup() as group:
        for _ in range(MANY):
            group.create_task(leave())
        stayed = [group.create_task(subject.pcm()) for _ in range(MANY)]
    assert {task.result() for task in stayed} == {alone}
    until(lambda: subject.server.get("/queue/stats")[1]["contexts"] == 0)


async def flood_of_sentences(subject: Subject) -> None:
    answers = await asyncio.gather(*(subject.speech(f"Sentence number {n}.") for n in range(3 * MANY)))
    assert {answer.status_code for answer in answers} == {200}


async def one_head(subject: Subject) -> None:
    """A WAV that is streamed has one head of unknown length, and nothing after the audio."""
    answer = await subject.speech(response_format="wav")
    body = answer.content
    assert body.count(b"RIFF") == body.count(b"data") == 1
    (size,) = struct.unpack_from("<I", body, 4)
    assert size >= 0x7FFFFFFF
    rate = struct.unpack_from("<I", body, 24)[0]
    assert body[44:] == await native_audio(subject.server, TEXT, sample_rate=rate, voice="alloy")


async def head_of_a_file(subject: Subject) -> None:
    """A file that is complete says how long it is."""
    with to(subject.server) as client:
        made = client.post("/generate?async_mode=true", json={"text": TEXT, "voice_id": "aria"}).json()
        until(lambda: client.get(made["status_url"]).json()["status"] == "completed")
        body = client.get(made["result_url"]).content
    with wave.open(io.BytesIO(body)) as file:
        assert len(file.readframes(file.getnframes())) == 2 * file.getnframes() == len(body) - 44


async def placeholder_in_an_upload(subject: Subject) -> None:
    body = bytearray(recording(3.0))
    struct.pack_into("<I", body, 4, 2_000_000_036)
    struct.pack_into("<I", body, body.index(b"data") + 4, 2_000_000_000)
    with to(subject.server) as client:
        assert upload(client, "placeholder", bytes(body), transcript="A hum.").status_code == 200
        assert metadata_of(client, "placeholder")["duration"] == pytest.approx(3.0, abs=0.05)


async def text_for_a_recording(subject: Subject) -> None:
    with to(subject.server) as client:
        answer = upload(client, "text", b"This is no recording.", "notes.txt")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "bad_audio")


async def path_for_a_sample(subject: Subject) -> None:
    with to(subject.server) as client:
        for name in ("../outside", "/tmp/outside", "..%2foutside", "a/../../outside"):
            assert upload(client, name).status_code == 422
            assert client.get(f"/audio_prompts/{name}/audio").status_code == 404
        for path in ("../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd"):
            assert client.get(f"/audio_prompts/{path}/audio").status_code == 404
            assert client.get(f"/static/{path}").status_code == 404
    data = subject.server.log.with_suffix(".data")
    assert not list(data.parent.rglob("*outside*"))


async def speed(subject: Subject) -> None:
    usual = len(await subject.pcm())
    assert 1.7 < len(await subject.pcm(speed=0.5)) / usual < 2.3
    assert 0.4 < len(await subject.pcm(speed=2.0)) / usual < 0.6


async def nothing_twice(subject: Subject) -> None:
    """Streamed audio is as long as a file of it, whatever the form of the stream."""
    whole = await subject.pcm()
    assert await subject.pcm(stream=True) == whole
    told = (await subject.speech(response_format="pcm", stream_format="sse")).text
    events = [
        json.loads(line.removeprefix("data: ")) for line in told.splitlines() if line.startswith("data: ")
    ]
    pieces = [b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta"]
    assert b"".join(pieces) == whole
    assert [event["type"] for event in events].count("speech.audio.done") == 1


async def short_words_alike(subject: Subject) -> None:
    """One word is heard; a question mark makes it no longer than twice its length."""
    word = await subject.pcm("uno")
    assert max(array("h", word)) > LOUD
    assert len(await subject.pcm("uno?")) < 2 * len(word)


async def tags_in_small_letters(subject: Subject) -> None:
    """They are not read aloud, as capital ones are not."""
    small, capital = await subject.pcm("[s1] Hi. [s2] Hello."), await subject.pcm("[S1] Hi. [S2] Hello.")
    assert len(small) == len(capital)


async def clients_that_vanish(subject: Subject) -> None:
    """A client that is gone without a word takes no place."""
    for _ in range(MANY):
        async with talking(subject.server.ws_url) as talk:
            await talk.send("text", text=TEXT * 20)
            await talk.send("flush")
            await talk.first_frame()
            talk.socket.transport.abort()
    until(lambda: subject.server.get("/queue/stats")[1]["connections"] == 0)
    assert subject.server.get("/queue/stats")[1]["contexts"] == 0


async def empty_text(subject: Subject) -> None:
    async with talking(subject.server.ws_url) as talk:
        for text in ("", "Hello.", "", " "):
            await talk.send("text", text=text)
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"


async def wyoming_leaves_early(subject: Subject) -> None:
    async with at_port(subject.wyoming_port) as client:
        await client.send("synthesize", text=TEXT * 20)
        await client.until("audio-chunk")
        client.writer.transport.abort()
    until(lambda: subject.server.get("/queue/stats")[1]["contexts"] == 0)


async def wyoming_start_without_data(subject: Subject) -> None:
    async with at_port(subject.wyoming_port) as client:
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text=TEXT)
        await client.send("synthesize-stop")
        await client.until("synthesize-stopped")
        assert len(client.audio()) > 10_000


async def wyoming_is_whole(subject: Subject) -> None:
    """The first time, a long text too, and to the last word."""
    text = "The battery is at 50%, do not use heavy equipment with a lot of power. " * 2
    async with at_port(subject.wyoming_port) as client:
        await client.send("synthesize", text=text)
        await client.until("audio-stop")
        assert client.audio() == await native_audio(subject.server, text)


async def never_empty(subject: Subject) -> None:
    for n in range(MANY):
        assert len((await subject.speech(f"Try {n}.", response_format="mp3")).content) > 1000


CASES: dict[Callable[[Subject], Awaitable[None]], tuple[str, ...]] = {
    crowd_with_cancellations: (
        "remsky/Kokoro-FastAPI#337: requests at once, or cancelled, crash the server",
        "remsky/Kokoro-FastAPI#384: interrupted requests crash workers",
    ),
    flood_of_sentences: ("remsky/Kokoro-FastAPI#288: a call of Open WebUI crashes the container",),
    one_head: (
        "remsky/Kokoro-FastAPI#94: WAV ends after its first piece",
        "remsky/Kokoro-FastAPI#463: a click at the end of WAV",
        "speaches-ai/speaches#493: WAV is not streamed",
    ),
    head_of_a_file: ("pollinations/pollinations#8929: WAV files tell a wrong length",),
    placeholder_in_an_upload: ("kyutai-labs/pocket-tts#229: WAV files tell a placeholder for a length",),
    text_for_a_recording: ("speaches-ai/speaches#164: a file that is no recording hangs",),
    path_for_a_sample: (
        "SWivid/F5-TTS#1293: a name of a sample writes outside",
        "daswer123/xtts-api-server#61: a name of a sample reads outside",
    ),
    speed: (
        "devnen/Dia-TTS-Server#23: speed is ignored or unpredictable",
        "idiap/coqui-ai-TTS#141: speed is ignored",
    ),
    nothing_twice: (
        "vllm-project/vllm-omni#3326: a stream holds the speech twice",
        "vllm-project/vllm-omni#2907: a stream is twice as long",
        "vllm-project/vllm-omni#3031: the last piece comes twice",
    ),
    short_words_alike: (
        "mozilla/TTS#505: one short word is silent",
        "mozilla/TTS#505: a question mark makes a word seven seconds long",
    ),
    tags_in_small_letters: ("nari-labs/dia#107: tags in small letters are read aloud",),
    clients_that_vanish: ("kyutai-labs/delayed-streams-modeling#159: clients that vanish take all channels",),
    empty_text: ("livekit/agents#2420: empty text is an error",),
    wyoming_leaves_early: ("home-assistant/core#134910: a client that leaves is a traceback",),
    wyoming_start_without_data: ("home-assistant/core#149870: a start without data is a traceback",),
    wyoming_is_whole: (
        "home-assistant/core#150397: the last words are cut off",
        "home-assistant/core#145581: a long text is silent the first time",
    ),
    never_empty: ("langgenius/dify#21893: some answers are empty",),
}
"""Each case, with the reports of its like and what went wrong there."""


@pytest.mark.slow
@pytest.mark.parametrize("tried", CASES, ids=lambda tried: tried.__name__)
async def test_report(tried: Callable[[Subject], Awaitable[None]], subject: Subject) -> None:
    await tried(subject)
