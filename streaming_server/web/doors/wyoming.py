"""Wyoming over TCP, as Home Assistant speaks it: text whole or while it arrives, PCM at the engine's rate.

The protocol has no keys and no cancel: whoever reaches the port may speak, and to hang up is to cancel. After
an error the server hangs up, which is what clients take for the end of a turn that has no sound.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, Literal

import anyio
import structlog
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from pydantic import BaseModel, ConfigDict, Field

from streaming_server.audio import Frame, FrameEncoder
from streaming_server.catalogue import Catalogue, Entry
from streaming_server.context import Broken, End
from streaming_server.errors import BadMessage, SpeechError, TooLarge, UnknownVoice, error_of
from streaming_server.types import BUILTIN_VOICES, DEFAULT_VOICE, EngineInfo, Generation
from streaming_server.web.admission import GOODBYE_S
from streaming_server.web.connection import CLOSE_TIMEOUT_S, Connection
from streaming_server.web.doors.session import Session, understood
from streaming_server.web.doors.turn import Turn
from streaming_server.web.doors.wyoming_events import EventStream, encoded, read_event
from streaming_server.web.parts import Parts

SEND_BUFFER = 32 * 1024
"""Bytes the kernel holds for a client, as for those of the websockets."""
UNACKNOWLEDGED_MS = 10_000
"""How long a client may leave sent bytes unacknowledged before the kernel drops it."""
PROBES = 3
"""Unanswered, after which the kernel takes a silent client for gone."""
ACCEPT_AGAIN_S = 0.1
"""How long to wait after a client could not be accepted, for want of files say."""

MAKERS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "espeak": {"name": "eSpeak NG", "url": "https://github.com/espeak-ng/espeak-ng"},
        "dia": {"name": "Nari Labs", "url": "https://github.com/nari-labs/dia"},
    }
)
"""Who made what speaks."""

log = structlog.stdlib.get_logger(__name__)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class VoiceChoice(_Model):
    """A name rules out a language, as the protocol has it."""

    name: str | None = Field(None, max_length=256)
    language: str | None = Field(None, max_length=35)


class Start(_Model):
    voice: VoiceChoice | None = None
    text_format: Literal["text"] | None = None


class Text(_Model):
    text: str


class Whole(Start):
    text: str


class Utterance(Turn):
    """streamed: whether its text came in pieces. sounding: whether its `audio-start` was sent."""

    streamed: bool = False
    sounding: bool = False


class WyomingSession(Session[Utterance]):
    """One client. Each of its requests is a turn; they are spoken one after the other."""

    def __init__(self, parts: Parts, connection: Connection) -> None:
        super().__init__(parts, connection)
        self._streamed: Utterance | None = None
        self._latest: Utterance | None = None

    async def run(self) -> None:
        try:
            await super().run()
        except SpeechError as error:
            await self.report(error)

    def read(self, raw: str | bytes) -> dict[str, Any]:
        assert isinstance(raw, bytes)
        return read_event(raw)

    async def obey(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "describe":
                await self._tell("info", info(self.engine, self._entries()))
            case "ping":
                await self._tell("pong", {"text": (message["data"] or {}).get("text")})
            case "synthesize" if self._streamed is None:
                whole = understood(Whole, _data(message))
                self._speak(self._begin(whole, streamed=False), whole.text)
            case "synthesize-start":
                if self._streamed is not None:
                    raise BadMessage("synthesize-start: the last one has not been stopped.")
                self._streamed = self._begin(understood(Start, _data(message)), streamed=True)
            case "synthesize-chunk":
                text = understood(Text, _data(message)).text
                turn = self._stream()
                with turn.blamed():
                    turn.append(text)
            case "synthesize-stop":
                self._speak(self._stream())
                self._streamed = None
            case _:
                pass  # Amid a stream the whole text comes too, for servers that know no streams.

    def _stream(self) -> Utterance:
        if self._streamed is None:
            raise BadMessage("synthesize-start has to come first.")
        return self._streamed

    def _begin(self, start: Start, *, streamed: bool) -> Utterance:
        self.check_space()
        voice, generation = choice(self.parts.catalogue, start.voice or VoiceChoice())
        rate = self.engine.sample_rate
        turn = Utterance(
            None,
            self.parts.contexts.open(self.engine, voice, generation),
            FrameEncoder(rate, rate, "pcm_s16le"),
            rate,
            joining="verbatim",
            max_text=self.parts.settings.max_text_characters,
            before=self._latest,
        )
        turn.streamed = streamed
        self._latest = turn
        self.start(turn)
        return turn

    def _speak(self, turn: Utterance, text: str = "") -> None:
        """Its text to the end."""
        with turn.blamed():
            turn.append(text)
            turn.context.finish()

    def forget(self, turn: Utterance) -> None:
        if self._latest is turn:
            self._latest = None

    async def sound(self, turn: Utterance, frames: list[Frame]) -> None:
        events = self._audio_start(turn)
        for frame in frames:
            at_ms = 1000 * frame.first_sample // turn.sample_rate
            form = {**_form(turn.sample_rate), "timestamp": at_ms}
            events.append(encoded("audio-chunk", form, frame.data))
        await self.connection.send_frames(events)

    async def ended(self, turn: Utterance, end: End) -> None:
        if isinstance(end, Broken):
            await self.report(error_of(end.code)(end.message))
            return
        events = [*self._audio_start(turn), encoded("audio-stop")]
        if turn.streamed:
            events.append(encoded("synthesize-stopped"))
        with anyio.move_on_after(
            CLOSE_TIMEOUT_S, shield=True
        ):  # A server that stops waits for contexts alone.
            await self.connection.send_frames(events)

    def _audio_start(self, turn: Utterance) -> list[bytes]:
        """What has to come before the turn's next event."""
        if turn.sounding:
            return []
        turn.sounding = True
        return [encoded("audio-start", _form(turn.sample_rate))]

    async def report(self, error: SpeechError) -> None:
        """Tell, and hang up."""
        await self._tell("error", {"text": error.message, "code": error.code})
        self.connection.end()

    async def send_away(self, error: SpeechError) -> None:
        await self.report(error)

    async def _tell(self, kind: str, data: dict[str, Any]) -> None:
        await self.connection.send(encoded(kind, data))

    def _entries(self) -> list[Entry]:
        catalogue = self.parts.catalogue
        return [catalogue.find(voice.id) for voice in catalogue.voices]


def _data(message: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] | None = message["data"]
    if data is None:
        raise TooLarge("The data of the event is too long.")
    return data


def _form(sample_rate: int) -> dict[str, int]:
    return {"rate": sample_rate, "width": 2, "channels": 1}


def choice(catalogue: Catalogue, voice: VoiceChoice) -> tuple[str, Generation]:
    """The voice's name here, and how it is to speak. Raises UnknownVoice.

    `aria@de` is Aria speaking German: Home Assistant sends the name alone of what was chosen.
    """
    if not voice.name:
        return DEFAULT_VOICE.id, Generation(language=_tag(voice.language))
    try:
        catalogue.find(voice.name)
    except UnknownVoice:
        name, _, language = voice.name.rpartition("@")
        catalogue.find(name)
        return name, Generation(language=_tag(language))
    return voice.name, Generation()


def _tag(language: str | None) -> str | None:
    return language.replace("_", "-") if language else None


def info(engine: EngineInfo, entries: Iterable[Entry]) -> dict[str, Any]:
    """What there is to choose from.

    Built-in voices are listed for each language the engine speaks, those made here for their own.
    """
    maker = MAKERS.get(engine.name, {"name": engine.name, "url": ""})
    about = {"attribution": maker, "installed": True, "version": None}
    builtin = {voice.id for voice in BUILTIN_VOICES}
    voices = []
    for entry in entries:
        voice = entry.voice
        description = f"{voice.name} ({voice.style})"
        languages = [entry.defaults.language or "en"] if "language" in engine.uses else list(engine.languages)
        voices.append({"name": voice.id, "description": description, "languages": languages, **about})
        if voice.id in builtin and "language" in engine.uses:
            voices += [
                {"name": f"{voice.id}@{tag}", "description": description, "languages": [tag], **about}
                for tag in engine.languages
                if tag not in languages
            ]
    program = {
        "name": "streaming-server",
        "description": "Speaks while the text is still arriving",
        "voices": voices,
        "supports_synthesize_streaming": True,
        **about,
    }
    others = ("asr", "handle", "intent", "wake", "mic", "snd")
    return {"tts": [program], **{other: [] for other in others}}


async def listen(parts: Parts, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    """Serve whoever comes, until cancelled; started once it listens. Raises OSError when it cannot."""
    settings = parts.settings
    host = settings.wyoming_host or settings.host
    listener = await anyio.create_tcp_listener(local_host=host, local_port=settings.wyoming_port or 0)
    async with listener, anyio.create_task_group() as group:
        for one in listener.listeners:
            _harden(one.extra(SocketAttribute.raw_socket), max(1, round(settings.ping_s)))
        port = listener.extra(SocketAttribute.local_port)
        log.info("listening for Wyoming", url=f"tcp://{f'[{host}]' if ':' in host else host}:{port}")
        task_status.started()
        for one in listener.listeners:
            group.start_soon(_accept, parts, one)


def _harden(listener: socket.socket, silence_s: int) -> None:
    """Options that the accepted sockets inherit. Clients that vanish are noticed though nothing is sent."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_USER_TIMEOUT": UNACKNOWLEDGED_MS,
        "TCP_KEEPIDLE": silence_s,
        "TCP_KEEPINTVL": max(1, silence_s // PROBES),
        "TCP_KEEPCNT": PROBES,
    }
    for name, value in options.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _accept(parts: Parts, listener: Any) -> None:
    async with anyio.create_task_group() as group:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                log.warning("a client could not be accepted", error=error.strerror)
                await anyio.sleep(ACCEPT_AGAIN_S)
                continue
            group.start_soon(_serve, parts, stream)


async def _serve(parts: Parts, stream: SocketStream) -> None:
    """One client, whose failures are its own."""
    try:
        async with stream:
            await _serve_to_the_end(parts, stream)
    except Exception as error:
        log.error("connection failed", errors=[type(error).__name__])
        log.debug("connection failed here", exc_info=error)


async def _serve_to_the_end(parts: Parts, stream: SocketStream) -> None:
    settings = parts.settings
    events = EventStream(stream, settings.max_message_bytes, settings.header_timeout_s)
    connection = Connection(events.receive, events.send)
    with ExitStack() as place:
        try:
            place.enter_context(parts.guard.speaking(parts.pool.has_room))
        except SpeechError as error:
            parts.metrics.refused.labels(error.code).inc()
            await _refuse(events, error)
        else:
            place.enter_context(parts.connections.holding(connection))
            await connection.serve(WyomingSession(parts, connection).run)
    await events.linger()


async def _refuse(events: EventStream, error: SpeechError) -> None:
    message = encoded("error", {"text": error.message, "code": error.code})
    with anyio.move_on_after(GOODBYE_S):
        try:
            await events.send({"type": "websocket.send", "bytes": message})
        except OSError:
            return
