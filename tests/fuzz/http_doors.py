"""Requests to every HTTP door: valid ones, mutated ones, and bytes that are hardly HTTP."""

from __future__ import annotations

import asyncio
import gzip
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from helpers.rest import recording

from fuzz.dice import Dice
from fuzz.http import Answer, read_answer
from fuzz.target import PATIENCE_S, Finding, Line, Target

VOICES = ("aria", "atlas", "alloy", "made", "nobody")
FORMATS = ("wav", "mp3", "opus", "aac", "flac", "pcm", "MP3")
LISTEN_S = 1.0
"""Seconds for which the client reads an answer, which may be an hour of speech."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request before it is encoded. body: JSON, or bytes of the given type."""

    method: str
    path: str
    body: Any = None
    query: dict[str, Any] | None = None
    content_type: str = "application/json"


class HttpDoor(ABC):
    """One door over HTTP."""

    name: ClassVar[str]

    @abstractmethod
    def script(self, dice: Dice) -> list[Request]:
        """Return valid requests, one after the other."""

    async def session(self, dice: Dice, target: Target) -> None:
        """Send the requests over as few connections as the server allows."""
        requests = dice.disturbed(self.script(dice))
        while requests:
            async with target.connected() as line:
                while requests and not line.gone:
                    await self._exchange(dice, target, line, requests.pop(0))

    async def _exchange(self, dice: Dice, target: Target, line: Line, request: Request) -> None:
        if dice.chance(0.4):
            request = _mutated(dice, request)
        what, raw = _encoded(dice, request)
        if dice.chance(0.05):
            await line.send(raw[: dice.randint(0, len(raw))])
            line.reset()
            return
        for piece in dice.cut(raw) if dice.chance(0.3) else [raw]:
            await line.send(piece)
        if dice.chance(0.1):
            await asyncio.sleep(dice.random() * 0.2)
            line.reset()
            return
        answer = await _answer(line, what, has_body=request.method != "HEAD")
        if answer is None:
            line.gone = True
            raise Finding(f"{what}: the server hung up without an answer")
        answer.check(what=what)
        if answer.aborted:
            target.aborted.append(what)
        line.gone = line.gone or answer.aborted or answer.headers.get("connection") == "close"


async def _answer(line: Line, what: str, *, has_body: bool = True) -> Answer | None:
    try:
        async with asyncio.timeout(PATIENCE_S + LISTEN_S):
            return await read_answer(line, has_body=has_body, most_s=LISTEN_S)
    except TimeoutError:
        raise Finding(f"{what}: no answer within {PATIENCE_S:g} s") from None
    except Finding as finding:
        raise Finding(f"{what}: {finding}") from finding


def _mutated(dice: Dice, request: Request) -> Request:
    match dice.randrange(8):
        case 0:
            method = dice.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "QUERY"))
            return Request(method, request.path, request.body, request.query, request.content_type)
        case 1:
            parts = request.path.split("/")
            parts[dice.randrange(len(parts))] = dice.choice(
                (dice.text(), dice.name(), "..", "%2e%2e", "%00", "")
            )
            return Request(request.method, "/" + "/".join(parts).lstrip("/"), request.body, request.query)
        case 2:
            query = dict(request.query or {}) | {
                dice.choice(("limit", "force", "format", "async_mode", "voice", "language")): dice.value(0)
            }
            return Request(request.method, request.path, request.body, query, request.content_type)
        case 3:
            kind = dice.choice(("text/plain", "", "multipart/form-data", "application/x-www-form-urlencoded"))
            return Request(request.method, request.path, request.body, request.query, kind)
    if isinstance(request.body, bytes):
        body: Any = dice.damaged(request.body)
    else:
        body = dice.mutated(request.body)
    return Request(request.method, request.path, body, request.query, request.content_type)


def _encoded(dice: Dice, request: Request) -> tuple[str, bytes]:
    """Return what to call the request in a finding, and its bytes."""
    path = quote(request.path, safe="/%", errors="replace")
    if request.query:
        path += "?" + urlencode(request.query, errors="replace")
    headers = [f"{request.method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    body = b""
    if request.body is not None:
        body = request.body if isinstance(request.body, bytes) else dice.encoded(request.body)
        headers.append(f"Content-Type: {request.content_type}")
    if body and dice.chance(0.05):
        body = (
            dice.damaged(gzip.compress(body, mtime=0)) if dice.chance(0.5) else gzip.compress(body, mtime=0)
        )
        headers.append("Content-Encoding: gzip")
    if dice.chance(0.1):
        value = dice.choice(
            ("bytes=0-9", "bytes=-0", "bytes=9-1", "bytes=" + "0-," * 900, "bytes=" + "9" * 400)
        )
        headers.append(f"Range: {value}")
    if dice.chance(0.1):
        headers.append(f"X-Request-ID: {dice.choice(('x' * 300, 'é', 'a b', '../..'))}")
    if body and dice.chance(0.2):
        headers.append("Transfer-Encoding: chunked")
        size = dice.choice((1, 7, 4096)) if len(body) < 2000 else 4096
        pieces = (body[at : at + size] for at in range(0, len(body), size))
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif body or request.method in ("POST", "PUT"):
        headers.append(f"Content-Length: {len(body)}")
    what = f"{request.method} {path[:120]} {body[:300]!r}"
    return what, "\r\n".join(headers).encode() + b"\r\n\r\n" + body


@cache
def sample() -> bytes:
    return recording(1.0)


def form(fields: dict[str, str], file: bytes | None, file_name: str = "a.wav") -> tuple[bytes, str]:
    """Return a multipart body and its content type."""
    parts = [(f'name="{name}"', value.encode("utf-8", "replace")) for name, value in fields.items()]
    if file is not None:
        parts.append((f'name="audio_file"; filename="{file_name}"', file))
    raw = b"".join(
        b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"
        for head, value in parts
    )
    return raw + b"--b--\r\n", "multipart/form-data; boundary=b"


class Rest(HttpDoor):
    """The server's own routes."""

    name = "rest"

    def script(self, dice: Dice) -> list[Request]:
        stories: tuple[Callable[[Dice], list[Request]], ...] = (
            self._speech,
            self._jobs,
            self._voices,
            self._samples,
            self._operator,
            self._reading,
        )
        return dice.choice(stories)(dice)

    def _wanted(self, dice: Dice) -> dict[str, Any]:
        options = {
            "response_format": dice.choice(FORMATS),
            "speed": dice.choice((0.25, 1, 4)),
            "temperature": 1.2,
            "max_tokens": 860,
            "seed": 1,
            "language": dice.choice(("en", "de", "auto", "xx")),
            "voices": {"S2": "kai"},
            "text_processing": False,
        }
        some = {key: options[key] for key in dice.sample(list(options), dice.randint(0, 3))}
        return {"text": dice.text(), "voice_id": dice.choice(VOICES), **some}

    def _speech(self, dice: Dice) -> list[Request]:
        return [
            Request("POST", "/generate", self._wanted(dice)),
            Request(
                "POST", "/api/tts/generate", {"text": dice.text(), "voice_id": "aria", **dice.own_options()}
            ),
            Request("GET", f"/preview/{dice.choice(VOICES)}"),
        ]

    def _jobs(self, dice: Dice) -> list[Request]:
        job = dice.choice(("nothing", "../x", "0" * 32))
        return [
            Request("POST", "/generate", self._wanted(dice), {"async_mode": "true"}),
            Request("GET", "/jobs", query={"limit": 5, "status": dice.choice(("completed", "failed"))}),
            Request(dice.choice(("GET", "DELETE")), f"/jobs/{job}"),
            Request("GET", f"/jobs/{job}/result"),
            Request("POST", f"/jobs/{job}/retry"),
            *([Request("DELETE", "/jobs")] if dice.chance(0.2) else []),
        ]

    def _voices(self, dice: Dice) -> list[Request]:
        voice = {
            "voice_id": dice.choice(("made", "ünï", dice.name())),
            "name": dice.name(),
            "style": dice.choice(("neutral", "calm")),
            "primary_speaker": dice.choice(("S1", "S2")),
            "audio_prompt": dice.choice(("sample", None)),
            "audio_prompt_transcript": dice.choice((None, "A hum.")),
            "speed": 1.0,
            "language": "en",
        }
        word = dice.choice(("New York", "Dr.", "the", dice.name() or "x"))
        words = [
            {"word": word, "respelling": dice.plain() or "x", "language": dice.choice(("en", None, "xx"))}
        ]
        return [
            Request("POST", "/voice_mappings", voice),
            Request("PUT", "/voice_mappings/made", {"style": "deep"}),
            Request("GET", "/voice_mappings"),
            Request("PUT", "/pronunciations", {"pronunciations": words}),
            Request("POST", "/generate", {"text": dice.plain(), "voice_id": "made"}),
            Request("DELETE", f"/voice_mappings/{dice.choice(('made', 'aria'))}"),
        ]

    def _samples(self, dice: Dice) -> list[Request]:
        fields = {"prompt_id": dice.choice(("sample", dice.name())), "transcript": "A hum."}
        body, kind = form(fields, sample(), dice.choice(("a.wav", "a.mp3", "../a.wav", "")))
        return [
            Request("POST", "/audio_prompts/upload", body, content_type=kind),
            Request("GET", "/audio_prompts/sample/audio"),
            Request("GET", "/audio_prompts/metadata/sample"),
            Request("PUT", "/audio_prompts/sample/transcript", {"transcript": dice.text()}),
            *([Request("POST", "/audio_prompts/sample/transcribe", {})] if dice.chance(0.1) else []),
            Request("DELETE", "/audio_prompts/sample", query={"force": dice.choice(("true", "false"))}),
        ]

    def _operator(self, dice: Dice) -> list[Request]:
        config = {
            "save_outputs": dice.chance(0.5),
            "output_retention_hours": dice.choice((1, 24)),
            "auto_discover_prompts": True,
            "auto_transcribe": False,
        }
        return [
            Request("PUT", "/config", config),
            Request("GET", "/config"),
            Request("POST", "/cleanup", {}),
            Request("GET", "/logs", query={"limit": 3}),
            Request("GET", f"/logs/{dice.name() or 'x'}/download"),
            Request("POST", "/audio_prompts/discover", {"force_retranscribe": True}),
            *([Request("POST", "/whisper/load", {})] if dice.chance(0.1) else []),
        ]

    def _reading(self, dice: Dice) -> list[Request]:
        paths = (
            *("/", "/docs", "/openapi.json", "/livez", "/readyz", "/health", "/queue/stats", "/gpu/status"),
            *(
                "/metrics",
                "/models",
                "/voices",
                "/voices/",
                "/voices/aria",
                "/api/tts/speakers",
                "/static/app.js",
            ),
            *(
                "/audio_prompts",
                "/audio_prompts/metadata",
                "/whisper/status",
                "/pronunciations",
                "/v1/models",
            ),
            *(
                "/v1/audio/voices",
                "/v1/audio/models",
                "/v1/voices",
                "/v2/voices",
                "/v1/voices/aria",
                "/nowhere",
            ),
            *("/static/../run.py", "/static/%2e%2e/run.py", "/api/build_info"),
        )
        past = {"minutes": dice.choice((1, 60, 61)), "since": dice.value(0)}
        requests = [Request(dice.choice(("GET", "GET", "HEAD")), dice.choice(paths)) for _ in range(6)]
        return [*requests, Request("GET", "/status/history", query=past)]


class OpenAI(HttpDoor):
    name = "openai"

    def script(self, dice: Dice) -> list[Request]:
        wanted = {
            "model": dice.choice(("tts-1", "gpt-4o-mini-tts", dice.name())),
            "input": dice.text(),
            "voice": dice.choice((*VOICES, {"id": "aria"})),
            "response_format": dice.choice(FORMATS),
            "speed": dice.choice((0.25, 1, 4.0)),
            "stream_format": dice.choice(("audio", "sse")),
            "instructions": dice.text(),
            **dice.own_options(),
        }
        for _ in range(dice.randint(0, 4)):
            wanted.pop(dice.choice([key for key in wanted if key != "input"] or ["input"]))
        return [Request("POST", "/v1/audio/speech", wanted) for _ in range(dice.randint(1, 3))]


class CartesiaHttp(HttpDoor):
    name = "cartesia http"

    def script(self, dice: Dice) -> list[Request]:
        container = dice.choice(("raw", "wav", "mp3"))
        wanted = {
            "model_id": "sonic-3",
            "transcript": dice.text(),
            "voice": {"mode": "id", "id": dice.choice(VOICES)},
            "output_format": {
                "container": container,
                "encoding": dice.choice(("pcm_s16le", "pcm_f32le", "pcm_mulaw")),
                "sample_rate": dice.choice((8000, 24000, 44100)),
                "bit_rate": 128000,
            },
            "add_timestamps": dice.chance(0.5),
            "generation_config": {"speed": 1.0},
            **dice.own_options(),
        }
        return [Request("POST", dice.choice(("/tts/bytes", "/tts/sse")), wanted)]


class DeepgramHttp(HttpDoor):
    name = "deepgram http"

    def script(self, dice: Dice) -> list[Request]:
        query = {
            "model": dice.choice(("aura-2-thalia-en", *VOICES)),
            "encoding": dice.choice(("linear16", "mp3", "opus", "flac", "aac", "mulaw")),
            "container": dice.choice(("wav", "none", "ogg")),
            "sample_rate": dice.choice((8000, 24000, 48000)),
            "bit_rate": dice.choice((32000, 48000)),
        }
        some = dict(dice.sample(list(query.items()), dice.randint(0, 3)))
        return [Request("POST", "/v1/speak", {"text": dice.text(), **dice.own_options()}, some)]


class ElevenLabsHttp(HttpDoor):
    name = "elevenlabs http"

    def script(self, dice: Dice) -> list[Request]:
        kind = dice.choice(("", "/stream", "/with-timestamps", "/stream/with-timestamps"))
        formats = ("mp3_44100_128", "pcm_24000", "pcm_48000", "ulaw_8000", "opus_48000_64", "wav_44100", "x")
        wanted = {"text": dice.text(), "voice_settings": {"speed": 1.1, "stability": 0.5}}
        wanted |= dice.own_options()
        path = f"/v1/text-to-speech/{dice.choice(VOICES)}{kind}"
        return [Request("POST", path, wanted, {"output_format": dice.choice(formats)})]


class RawHttp(HttpDoor):
    """Bytes that are hardly HTTP. Whatever they are, the server answers or hangs up, and lives."""

    name = "raw http"

    def script(self, dice: Dice) -> list[Request]:
        speech = Request("POST", "/v1/audio/speech", {"input": "Hi."})
        return [dice.choice((speech, Request("GET", "/livez"), Request("PUT", "/config", {"x": 1})))]

    async def session(self, dice: Dice, target: Target) -> None:
        _, raw = _encoded(dice, self.script(dice)[0])
        for _ in range(dice.randint(1, 2)):
            raw = self._distorted(dice, raw)
        async with target.connected() as line:
            for piece in dice.cut(raw):
                await line.send(piece)
            if dice.chance(0.2):
                line.reset()
                return
            await self._read_out(line, raw)

    async def _read_out(self, line: Line, raw: bytes) -> None:
        """Read for a moment, and then until the server hangs up, as it must once no more can come."""
        answers = b""
        try:
            async with asyncio.timeout(LISTEN_S / 4):
                while piece := await line.read():
                    answers += piece
        except EOFError:
            pass
        except TimeoutError:
            line.half_close()
            await self._hung_up(line, raw)
        if b"HTTP/1.1 5" in answers and b"HTTP/1.1 503" not in answers:
            raise Finding(f"{answers[:200]!r} to {raw[:300]!r}")
        if answers and not answers.startswith(b"HTTP/1.1 "):
            raise Finding(f"no answer of HTTP: {answers[:200]!r} to {raw[:300]!r}")

    async def _hung_up(self, line: Line, raw: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await line.read():
                    pass
        except EOFError:
            pass
        except TimeoutError:
            raise Finding(f"nothing more can come and the server stays; sent {raw[:300]!r}") from None

    def _distorted(self, dice: Dice, raw: bytes) -> bytes:
        head, _, body = raw.partition(b"\r\n\r\n")
        extra = dice.choice(
            (
                b"Content-Length: 99999999999999999999",
                b"Content-Length: -1",
                b"Content-Length: 5\r\nContent-Length: 6",
                b"Transfer-Encoding: chunked\r\nContent-Length: 3",
                b"Transfer-Encoding: gzip, chunked",
                b"Expect: 100-continue",
                b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
                b"Connection: Upgrade\r\nUpgrade: websocket",
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99",
                b"X: " + b"x" * 70_000,
                b"X:\x00\xff",
                b" folded: yes",
                b"Host: evil.example",
                b"Host: [::1].evil.example",
                b"Host: " + b"[" * 300,
                b"Origin: " + b"x" * 300,
                b"Origin: http://[::1",
                b"Authorization: Bearer \xff\xfe",
                b"Content-Type: application/json; charset=\xff",
                b"Content-Encoding: gzip, gzip",
            )
        )
        match dice.randrange(8):
            case 0 | 1 | 2:
                return head + b"\r\n" + extra + b"\r\n\r\n" + body
            case 3:
                return dice.damaged(raw)
            case 4:
                return raw + raw  # Pipelined.
            case 5:
                return raw.replace(
                    b"HTTP/1.1", dice.choice((b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9")), 1
                )
            case 6:
                return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if dice.chance(0.3) else dice.randbytes(200)
            case _:
                chunks = dice.choice(
                    (b"0\r\n", b"zz\r\n", b"ffffffffffffffffff\r\n", b"-1\r\nx\r\n", b"5;x=\x00\r\nabc")
                )
                return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


HTTP_DOORS: tuple[HttpDoor, ...] = (
    Rest(),
    OpenAI(),
    CartesiaHttp(),
    DeepgramHttp(),
    ElevenLabsHttp(),
    RawHttp(),
)
