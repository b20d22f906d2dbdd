"""Reports of users of other speech servers, tried on this one. Each case names its source on GitHub."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import time
import wave
from array import array
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import av
import httpx
import numpy as np
import psutil
import pytest
from helpers.doors import RATE, cartesia_request, kyutai
from helpers.events import at_port
from helpers.foreign import ENDLESS, active, exchanging, native_audio
from helpers.rest import PATIENCE_S, heard, metadata_of, recording, to, upload, wav
from helpers.servers import Server, free_port, running_server, until
from helpers.talk import Frame, talking

pytestmark = pytest.mark.anyio

TEXT = "Hello there, fox. And a second sentence."
MANY = 12
LOUD = 1000
"""A sample of speech, of 32,767 at most."""


@dataclass(frozen=True, slots=True)
class Subject:
    server: Server
    wyoming_port: int

    def client(self) -> httpx.AsyncClient:
        """Return a client. To load certificates for each one would hold up the event loop."""
        return httpx.AsyncClient(base_url=self.server.url, timeout=PATIENCE_S, verify=False)

    async def speech(self, text: str = TEXT, **fields: Any) -> httpx.Response:
        """Ask for speech as OpenAI's clients do."""
        body = {"model": "tts-1", "voice": "alloy", "input": text, **fields}
        async with self.client() as client:
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
    Asked("calzoneman/aeiou#11: brackets are refused", {"input": "[:phoneme on] aeiou"}),
    Asked("morfeusys/speechmarkup#2: a long number is an internal error", {"input": "1337133713" * 4}),
    Asked("twirapp/silero-tts-api-server#8: a hyphen alone is spoken", {"input": "-"}, 400),
    Asked("twirapp/silero-tts-api-server#8: a hyphen that does not break", {"input": "\u2011"}, 400),
    Asked(
        "googleapis/python-texttospeech#351: a sentence without end is refused", {"input": "and on " * 150}
    ),
    Asked("mozilla/TTS#455: two exclamation marks are a server error", {"input": "Hey!! So good."}),
    Asked("remsky/Kokoro-FastAPI#238: `stream: false` is an internal error", {"stream": False}),
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


SAME = {
    "botpress/botpress#5714: asterisks are read": ("**Hi** there, *you*.", "Hi there, you."),
    "ModelEngine-Group/nexent#3336: Markdown is read": (
        "Read [the manual](https://example.com/a_b) first.",
        "Read the manual first.",
    ),
    "germanattanasio/speech-ios-sdk#14: an entity ends the speech": (
        "He said &quot;no&quot; and went on &amp; on.",
        'He said "no" and went on & on.',
    ),
    "tgstation/tgstation#38561: an apostrophe is read as its entity": ("I don&#39;t know.", "I don't know."),
}
"""Two texts that sound the same, by the report where they do not."""


@pytest.mark.parametrize(("written", "spoken"), SAME.values(), ids=SAME)
async def test_sounds_the_same(written: str, spoken: str, subject: Subject) -> None:
    assert await subject.pcm(written) == await subject.pcm(spoken)


UNDIVIDED = {
    "kyutai-labs/pocket-tts#188: decimals": (
        "Her temperature was 98.6 degrees, or 37.0 in other units.",
        "en",
    ),
    "kyutai-labs/pocket-tts#188: addresses": (
        "Write to me@example.com or see https://example.com/a.html now.",
        "en",
    ),
    "KittenML/KittenTTS#115: titles and hours": ("Dr. Sharma came at 9:30 a.m., out of breath.", "en"),
    "NVIDIA/NeMo-Speech.cpp#36: abbreviations": ("Take a coat, e.g. the U.S. one of St. Mary.", "en"),
    "FoloToy/folotoy-server-self-hosting#216: initials": ("J.K. Rowling wrote it at 23.5 degrees.", "en"),
    "mozilla/TTS#455: money": ("This one costs $99.99, which is a bargain.", "en"),
    "playht/playht-nodejs-sdk#38: hours": ("It leaves at 10:32 and costs 123.45 in all.", "en"),
    "hasscc/hass-edge-tts#76: decimal commas": ("Es sind 22,1 Grad bei 45 % Luftfeuchtigkeit.", "de"),
    "Azure-Samples/cognitive-services-speech-sdk#2985: decimals": ("臭氧：36.0 微克，风速：4.5 公里。", "zh"),
}
"""A sentence and its language, by the report where it is cut in two."""


@pytest.mark.parametrize(("text", "language"), UNDIVIDED.values(), ids=UNDIVIDED)
async def test_is_one_sentence(text: str, language: str, subject: Subject) -> None:
    """Send each text in one message, then a character a message."""
    for pieces in ([text], list(text)):
        async with talking(subject.server.ws_url) as talk:
            await talk.send("start", language=language)
            for piece in pieces:
                await talk.send("text", text=piece)
            await talk.send("finish")
            assert (await talk.end())["type"] == "done"
        assert [sentence["text"] for sentence in talk.of("sentence")] == [text]


async def crowd_with_cancellations(subject: Subject) -> None:
    """Some leave in the middle of their stream; the others hear what they would hear alone."""
    alone = await subject.pcm()

    async def leave() -> None:
        body = {"input": TEXT * 20, "voice": "alloy", "response_format": "mp3"}
        async with subject.client() as client:
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


async def every_format_is_whole(subject: Subject) -> None:
    """All decode without an error, and none lacks the end."""
    length_s = len(await subject.pcm(TEXT * 3)) / 2 / 24_000
    for form in ("mp3", "opus", "aac", "flac", "wav"):
        sound, rate = heard(await subject.speech(TEXT * 3, response_format=form))
        assert len(sound) / rate == pytest.approx(length_s, abs=0.1), form
        assert max(abs(sound[-rate:])) * 32_768 > LOUD, form


async def a_quarter_of_an_hour(subject: Subject) -> None:
    """Nothing is lost of a long text."""
    sentence = "The quick brown fox jumps over the lazy dog near the river bank, and so on. "
    some, many = [len(await subject.pcm(sentence * count)) for count in (20, 200)]
    assert many / 2 / 24_000 > 12 * 60
    assert many / some == pytest.approx(10, rel=0.02)


async def rates_are_true(subject: Subject) -> None:
    """The words last equally long at every rate, and the head of a file names the rate of its samples."""
    seconds = []
    for rate in (8000, 16_000, 22_050, 24_000, 44_100, 48_000):
        audio = await native_audio(subject.server, TEXT, sample_rate=rate)
        seconds.append(len(audio) / 2 / rate)
    body = (await subject.speech(response_format="wav")).content
    seconds.append((len(body) - 44) / 2 / struct.unpack_from("<I", body, 24)[0])
    seconds.append(len(await subject.pcm()) / 2 / 24_000)
    assert max(seconds) - min(seconds) < 0.01


async def memory(subject: Subject) -> None:
    """It does not grow with the number of requests."""

    def held() -> int:
        processes = [psutil.Process(subject.server.process.pid), *subject.server.children()]
        return sum(process.memory_info().rss for process in processes)

    async def ask() -> None:
        for _ in range(3):
            await asyncio.gather(*(subject.speech("Hello.", response_format="mp3") for _ in range(MANY)))

    await ask()
    before = held()
    for _ in range(4):
        await ask()
    assert held() - before < 16 * 2**20


async def leaving_frees_the_worker(subject: Subject) -> None:
    """Nothing more is spoken for a client that has left, and the next is heard at once."""
    body = {"input": ENDLESS, "voice": "alloy", "response_format": "pcm"}
    async with subject.client() as client:
        async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
            await anext(answer.aiter_raw())
            assert active(subject.server) == 1
    until(lambda: active(subject.server) == 0, 1.0)
    began = time.monotonic()
    async with talking(subject.server.ws_url) as talk:
        await talk.send("speak", text=TEXT)
        await talk.first_frame()
        assert time.monotonic() - began < 1.0
        await talk.end()


async def interrupted_turns(subject: Subject) -> None:
    """Nothing of a cancelled turn comes after it, and the next one is heard as if alone."""
    alone = await native_audio(subject.server, TEXT)
    async with talking(subject.server.ws_url) as talk:
        for name in ("early", "late"):
            await talk.send("speak", context=name, text=ENDLESS)
            if name == "late":
                await talk.first_frame()
            await talk.send("cancel", context=name)
            assert (await talk.end(name))["type"] == "cancelled"
            await talk.nothing_more(name)
            assert (await talk.speak(TEXT, context=f"after {name}"))["type"] == "done"
            assert talk.audio(f"after {name}") == alone
    request = {key: value for key, value in cartesia_request(TEXT).items() if key != "transcript"}
    async with exchanging(f"{subject.server.ws_url}/tts/websocket") as exchange:
        await exchange.send(**request, context_id="one", transcript=ENDLESS, **{"continue": True})
        await exchange.until(lambda message: message["type"] == "chunk")
        await exchange.send(context_id="one", cancel=True)
        await exchange.send(**request, context_id="two", transcript=TEXT)
        await exchange.until(lambda message: message["done"])
    names = [message["context_id"] for message in exchange.told]
    assert names == sorted(names)
    chunks = [m["data"] for m in exchange.told if m["type"] == "chunk" and m["context_id"] == "two"]
    assert b"".join(map(b64decode, chunks)) == await native_audio(subject.server, TEXT, sample_rate=RATE)


async def words_in_order(subject: Subject) -> None:
    """Over several sentences and flushes of one context, each word once, with spaces, before its audio."""
    sentences = ["Hello there, fox. ", "And a second sentence. ", "One more."]
    url = f"{subject.server.ws_url}/v1/text-to-speech/aria/multi-stream-input?output_format=pcm_24000"
    async with exchanging(url) as exchange:
        for name in ("one", "two"):
            for sentence in sentences:
                await exchange.send(text=sentence, flush=True, context_id=name)
            await exchange.send(close_context=True, context_id=name)
            await exchange.until(lambda message: message.get("isFinal"))
    for name in ("one", "two"):
        told = [m for m in exchange.told if m["contextId"] == name and m.get("normalizedAlignment")]
        characters = [character for m in told for character in m["normalizedAlignment"]["chars"]]
        starts = [start for m in told for start in m["normalizedAlignment"]["charStartTimesMs"]]
        assert "".join(characters).split() == "".join(sentences).split()
        assert starts == sorted(starts)
        assert starts[0] < 500
    async with talking(subject.server.ws_url) as talk:
        await talk.speak("".join(sentences), words=True)
    sent = 0
    for event in talk.order:
        if isinstance(event, Frame):
            sent += len(event.data) // 2
        elif event["type"] == "words":
            assert event["words"][0]["start_ms"] >= 1000 * sent / talk.started()["sample_rate"] - 1


async def closed_when_all_is_heard(subject: Subject) -> None:
    """A server that closes the connection at the end of a turn sends all of its audio before."""
    whole = await native_audio(subject.server, TEXT, sample_rate=RATE)
    url = f"{subject.server.ws_url}/v1/text-to-speech/aria/stream-input?output_format=pcm_24000"
    async with exchanging(url) as exchange:
        for text in (" ", TEXT, ""):
            await exchange.send(text=text)
        assert (await exchange.closed())[0] == 1000
    assert b"".join(b64decode(m["audio"]) for m in exchange.told if m.get("audio")) == whole
    assert (await kyutai(subject.server, TEXT, {}))[: len(whole)] == whole


async def audio_before_the_end_of_the_text(subject: Subject) -> None:
    async with exchanging(f"{subject.server.ws_url}/v1/text-to-speech/aria/stream-input") as exchange:
        await exchange.send(text=" ")
        await exchange.send(text="Hi there, I'm a fox. And this is ")
        await exchange.until(lambda message: message.get("audio"))
        await exchange.send(text="")
        await exchange.until(lambda message: message.get("isFinal"))


async def words_in_two_pieces(subject: Subject) -> None:
    url = (
        f"{subject.server.ws_url}/v1/text-to-speech/aria/stream-input?output_format=pcm_24000&auto_mode=true"
    )
    async with exchanging(url) as exchange:
        for text in (" ", "This is your ref", "erence number.", ""):
            await exchange.send(text=text)
        await exchange.until(lambda message: message.get("isFinal"))
    audio = b"".join(b64decode(m["audio"]) for m in exchange.told if m.get("audio"))
    assert audio == await native_audio(subject.server, "This is your reference number.", sample_rate=RATE)


async def sentences_without_spaces(subject: Subject) -> None:
    sentences = ["Perfect, 12345.", "Let me check that we're in your area."]
    async with exchanging(f"{subject.server.ws_url}/v1/speak?model=aria&sample_rate=24000") as exchange:
        for sentence in sentences:
            await exchange.send(type="Speak", text=sentence)
        await exchange.send(type="Flush")
        await exchange.until(lambda message: isinstance(message, dict) and message["type"] == "Flushed")
    audio = b"".join(message for message in exchange.heard if isinstance(message, bytes))
    assert audio == await native_audio(subject.server, " ".join(sentences), sample_rate=RATE)


async def spelled_words(subject: Subject) -> None:
    """Each letter is heard, over HTTP and from the websocket."""
    lengths = []
    for letters in ("C", "C-L-I", "C-L-I-N-I-C"):
        text = f"The word is spelled {letters}."
        pcm = await subject.pcm(text)
        assert pcm == await native_audio(subject.server, text, sample_rate=RATE, voice="alloy")
        lengths.append(len(pcm))
    assert all(longer - shorter > 10_000 for shorter, longer in pairwise(lengths))


async def breaks_are_silent(subject: Subject) -> None:
    """A break is not read, also where it is cut in two."""
    text = 'Our strength shines through <break time="2s" /> and so on.'
    without = await native_audio(subject.server, text.replace('<break time="2s" />', ""))
    whole = await native_audio(subject.server, text)
    assert len(whole) - len(without) > 2 * 2 * 22_050 * 0.8
    async with talking(subject.server.ws_url) as talk:
        for at in range(0, len(text), 7):
            await talk.send("text", text=text[at : at + 7])
        await talk.send("finish")
        await talk.end()
    assert talk.audio() == whole


async def recordings_of_every_kind(subject: Subject) -> None:
    """Stereo, other rates, large files, loud ones, and what phones send."""
    times = np.arange(12 * 48_000) / 48_000
    tone = np.sin(2 * np.pi * 220 * times) * (1 + np.sin(2 * np.pi * 3 * times)) / 2
    kinds = {"stereo": wav(np.stack([0.3 * tone, 0.2 * tone], axis=1), 48_000)}
    kinds |= {f"rate-{rate}": wav(0.3 * tone[: 6 * rate], rate) for rate in (8000, 16_000, 44_100)}
    kinds["loud"] = wav(np.clip(4 * tone, -1, 1), 48_000)
    assert len(kinds["stereo"]) > 2 * 2**20
    endings = dict.fromkeys(kinds, "wav")
    for ending, codec in (("m4a", "aac"), ("ogg", "libopus"), ("webm", "libopus"), ("mp3", "libmp3lame")):
        kinds[f"as-{ending}"] = _encoded(0.3 * tone, ending, codec)
        endings[f"as-{ending}"] = ending
    with to(subject.server) as client:
        for kind, data in kinds.items():
            answer = upload(client, kind, data, f"{kind}.{endings[kind]}", transcript="A hum.")
            assert answer.status_code == 200, (kind, answer.text)
            assert metadata_of(client, kind)["duration"] > 5


def _encoded(sound: np.ndarray[Any, Any], ending: str, codec: str) -> bytes:
    """Return a file of mono samples at 48 kHz."""
    file = io.BytesIO()
    container = {"m4a": "ipod", "ogg": "ogg", "webm": "webm", "mp3": "mp3"}[ending]
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000, layout="mono")
        samples = (32_767 * sound).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


async def lists_of_open_webui(subject: Subject) -> None:
    with to(subject.server) as client:
        for path, field in (("voices", "voices"), ("models", "models")):
            assert client.get(f"/v1/audio/{path}").json()[field]


async def voices_of_ones_own_in_wyoming(subject: Subject) -> None:
    with to(subject.server) as client:
        assert client.post("/voice_mappings", json={"voice_id": "jarvis"}).status_code == 200
    async with at_port(subject.wyoming_port) as client:
        await client.send("describe")
        [program] = (await client.until("info")).data["tts"]
        [voice] = [voice for voice in program["voices"] if voice["name"] == "jarvis"]
        assert voice["installed"]
        assert voice["languages"]
        await client.send("synthesize", text=TEXT, voice={"name": "jarvis"})
        await client.until("audio-stop")
        assert max(array("h", client.audio())) > LOUD


async def pongs_while_busy(subject: Subject) -> None:
    """A server that speaks for many answers pings, so that no client takes it for dead."""
    async with talking(subject.server.ws_url) as talk, asyncio.TaskGroup() as group:
        busy = [group.create_task(subject.pcm(TEXT * 10)) for _ in range(MANY)]
        while not all(task.done() for task in busy):
            began = time.monotonic()
            await (await talk.socket.ping())
            assert time.monotonic() - began < 1.0
            await asyncio.sleep(0.2)  # More pings a second are refused.


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
    never_empty: (
        "langgenius/dify#21893: some answers are empty",
        "livekit/agents#4171: at random, no audio for a valid text",
        "livekit/agents#3306: no audio frames were pushed",
    ),
    every_format_is_whole: (
        "remsky/Kokoro-FastAPI#447: opus lacks the last two seconds",
        "remsky/Kokoro-FastAPI#449: opus lacks its last page",
        "remsky/Kokoro-FastAPI#57: only the first sentence of a long text",
        "livekit/agents#1850: mp3 does not decode to its end",
    ),
    a_quarter_of_an_hour: (
        "remsky/Kokoro-FastAPI#246: twelve minutes at most",
        "remsky/Kokoro-FastAPI#95: long texts are cut anywhere",
        "nari-labs/dia#35: no more than 25 seconds",
    ),
    rates_are_true: (
        "andimarafioti/faster-qwen3-tts#50: the head tells half the rate",
        "KittenML/KittenTTS#8: a higher rate is a higher pitch",
        "TEN-framework/ten-framework#702: pcm is slow and grave",
        "kyutai-labs/invincible-voice#7: fast and high over Kyutai's protocol",
    ),
    memory: (
        "remsky/Kokoro-FastAPI#453: each request takes memory for good",
        "jamiepine/voicebox#923: memory grows until requests hang",
        "sgl-project/sglang-omni#1174: requests that are done are kept",
    ),
    leaving_frees_the_worker: (
        "kyutai-labs/pocket-tts#238: the text is spoken on for a client that has left",
        "kyutai-labs/pocket-tts#172: aborted requests slow down the next",
    ),
    interrupted_turns: (
        "pipecat-ai/pipecat#3986: an interruption before the first audio is ignored",
        "pipecat-ai/pipecat#793: a cancelled context goes on",
        "pipecat-ai/pipecat#719: what was sent before an interruption is heard after it",
        "vllm-project/vllm-omni#1480: no way to stop speech in the middle",
    ),
    words_in_order: (
        "pipecat-ai/pipecat#1355: words out of order after an interruption",
        "pipecat-ai/pipecat#3727: word times start from zero in each sentence",
        "pipecat-ai/pipecat#4316: words come twice",
        "livekit/agents-js#2066: words without spaces between them",
        "livekit/agents#3667: words come after their audio",
    ),
    closed_when_all_is_heard: ("ModelEngine-Group/nexent#2747: closed with 1000 after a third of the audio",),
    audio_before_the_end_of_the_text: (
        "elevenlabs/elevenlabs-python#127: no audio before the last of the text",
    ),
    words_in_two_pieces: ("livekit/agents#3433: a pause inside a word that came in two pieces",),
    sentences_without_spaces: ("pipecat-ai/pipecat#3242: two sentences are joined to one word",),
    spelled_words: ("deepgram/deepgram-js-sdk#482: audio ends after some letters",),
    breaks_are_silent: ("elevenlabs/elevenlabs-docs#130: a break is read aloud",),
    recordings_of_every_kind: (
        "HuiResearch/FlashTTS#53: files of more than a megabyte are refused",
        "dubverse-ai/MahaTTS#10: stereo and other rates are an internal error",
        "stepfun-ai/Step-Audio#24: some recordings do not work",
        "jamiepine/voicebox#58: m4a is refused",
        "jamiepine/voicebox#350: a loud recording, or one of a messenger, is refused",
    ),
    lists_of_open_webui: ("devnen/Dia-TTS-Server#21: the lists that Open WebUI asks for are missing",),
    voices_of_ones_own_in_wyoming: ("home-assistant/core#178560: one's own voice is silent",),
    pongs_while_busy: ("modelscope/FunASR#3533: work on the event loop starves the pongs",),
}
"""Each case, with the reports of its like and what went wrong there."""

OTHERS = {
    "nari-labs/dia#186, nari-labs/dia#147, Blaizzy/mlx-audio#890: the last syllable is cut": "Dia's weights",
    "nari-labs/dia#109, nari-labs/dia#149, nari-labs/dia#178: voices change, hurry or fail": "Dia's weights",
    "nari-labs/dia#34, nari-labs/dia#64, nari-labs/dia#80: memory of the GPU": "needs a GPU and the weights",
    "triton-inference-server/server#3627: ready after a CUDA fault": "needs a GPU that has failed",
    "OHF-Voice/wyoming-piper#8, home-assistant/addons#4419: Piper dies at each request": "there is no Piper",
    "OHF-Voice/wyoming#9: another version of the package breaks it": "the server does without the package",
    "home-assistant/core#92969: addresses with the wrong ending": "Home Assistant makes them",
    "open-webui/open-webui#2931: the name of the model is fixed": "the client's own setting",
    "livekit/agents-js#2067: captions drift without word times": "the client guesses the times",
    "Azure-Samples/cognitive-services-speech-sdk#1669: EUR in German": "eSpeak NG's own rules read German",
}
"""Reports that cannot be tried here, and why: what they need, or whose part it is."""


@pytest.mark.slow
@pytest.mark.parametrize("tried", CASES, ids=lambda tried: tried.__name__)
async def test_report(tried: Callable[[Subject], Awaitable[None]], subject: Subject) -> None:
    await tried(subject)
