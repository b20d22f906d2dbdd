"""A Wyoming client's session: whole or streamed text in, PCM at the engine's sample rate out.

The protocol has no authentication: every client that reaches the port is served. It has no cancel either;
disconnecting cancels. After an error the server disconnects, which clients treat as a turn without audio: an
event is refused once the turns before it have ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import anyio

from streaming_server.audio.frames import Frame
from streaming_server.context import End, Failure
from streaming_server.errors import BadMessage, SpeechError, TooLarge
from streaming_server.settings import OPENAI_VOICES
from streaming_server.speech_options import UNPACED_MS, SpeechOptions
from streaming_server.voices.catalogue import Catalogue
from streaming_server.web.services import SpeechServices
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.validation import validated
from streaming_server.web.vendors.model import ClientFields
from streaming_server.web.vendors.wyoming.events import encoded, read_event
from streaming_server.web.vendors.wyoming.voices import WyomingVoiceChoice, choice, info, known
from streaming_server.web.websocket.connection import CLOSE_TIMEOUT_S, Connection
from streaming_server.web.websocket.decoding import has_surrogates
from streaming_server.web.websocket.session import Session
from streaming_server.web.websocket.turn import Turn


class SynthesizeStart(ClientFields, SpeechFields):
    """A request. Options in the data of the event take precedence over those in its voice."""

    voice: WyomingVoiceChoice | None = None
    text_format: Literal["text"] | None = None


class SynthesizeChunk(ClientFields):
    text: str


class Synthesize(SynthesizeStart):
    text: str


class WyomingTurn(Turn):
    """streamed: whether the text arrived in chunks. sounding: whether `audio-start` was sent."""

    streamed: bool = False
    sounding: bool = False


class WyomingSession(Session[WyomingTurn]):
    """One client. Each request is a turn; turns are spoken in order."""

    def __init__(self, services: SpeechServices, connection: Connection) -> None:
        super().__init__(services, connection)
        self._streamed: WyomingTurn | None = None
        self._latest: WyomingTurn | None = None

    async def run(self, first: str | bytes | None = None) -> None:
        try:
            await super().run(first)
        except SpeechError as error:  # Nothing more can be read.
            if not self.closing:
                await self.send_error(error)
            await anyio.sleep_forever()

    def decode(self, raw: str | bytes) -> dict[str, Any]:
        assert isinstance(raw, bytes)
        return read_event(raw)

    async def handle(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "describe":
                await self._send_event(
                    "info", info(self.engine, self.services.engine.provider, self._catalogue.entries)
                )
            case "ping":
                await self._send_event("pong", {"text": _pong(message)})
            case "synthesize" if self._streamed is None:
                whole = validated(Synthesize, _data(message))
                await self._speak(self._begin(whole, streamed=False), whole.text, ends=True)
            case "synthesize-start":
                if self._streamed is not None:
                    raise BadMessage("synthesize-start: send synthesize-stop before starting another stream.")
                self._streamed = self._begin(validated(SynthesizeStart, _data(message)), streamed=True)
            case "synthesize-chunk":
                text = validated(SynthesizeChunk, _data(message)).text
                await self._speak(self._stream(), text, ends=False)
            case "synthesize-stop":
                await self._speak(self._stream(), ends=True)
                self._streamed = None
            case _:
                pass  # Clients that stream also send the whole text, for servers that cannot stream.

    @property
    def _catalogue(self) -> Catalogue:
        """The voices that clients may use: where there are keys, which they do not have, no private ones."""
        services = self.services
        keyless = services.keys.needed and not services.settings.no_auth
        return services.catalogue.public(OPENAI_VOICES) if keyless else services.catalogue

    def _stream(self) -> WyomingTurn:
        if self._streamed is None:
            raise BadMessage("synthesize-start must come first.")
        return self._streamed

    def _begin(self, start: SynthesizeStart, *, streamed: bool) -> WyomingTurn:
        options = self._options(start, lead_ms=None if streamed else UNPACED_MS)
        turn = WyomingTurn(None, self.open(options), max_text=self.max_text, before=self._latest)
        turn.streamed = streamed
        self._latest = turn
        self.start(turn)
        return turn

    def _options(self, start: SynthesizeStart, *, lead_ms: int | None) -> SpeechOptions:
        """Return the options of a request. All its voices are among those that its client may use.

        Raise UnknownVoice.
        """
        catalogue, chosen = self._catalogue, start.voice or WyomingVoiceChoice()
        voice, generation = choice(catalogue, chosen.name)
        options = SpeechOptions(voice, generation, max_lead_ms=lead_ms, door="wyoming")
        options = start.over(chosen.over(options))
        voices = {tag: known(catalogue, name, f"voices.{tag}") for tag, name in options.voices.items()}
        return replace(options, voices=voices)

    async def _speak(self, turn: WyomingTurn, text: str = "", *, ends: bool) -> None:
        """Append text in messages of bounded size: one event may hold a whole answer."""
        with turn.failing_on_bad_text():
            for at in range(0, len(text), self.max_text):
                await turn.append(text[at : at + self.max_text])
            if ends:
                turn.finish()

    def forget(self, turn: WyomingTurn) -> None:
        if self._latest is turn:
            self._latest = None

    async def send_audio(self, turn: WyomingTurn, frames: list[Frame]) -> None:
        events = self._audio_start(turn)
        for frame in frames:
            at_ms = 1000 * frame.first_sample // turn.sample_rate
            form = {**_form(turn.sample_rate), "timestamp": at_ms}
            events.append(encoded("audio-chunk", form, frame.data))
        await self.connection.send_frames(events)

    async def send_end(self, turn: WyomingTurn, end: End) -> None:
        if isinstance(end, Failure):
            await self.disconnect(end.error())
            return
        events = [*self._audio_start(turn), encoded("audio-stop")]
        if turn.streamed:
            events.append(encoded("synthesize-stopped"))
        # The context has ended, so a server shutting down no longer waits for this turn: shield the send.
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self.connection.send_frames(events)

    def _audio_start(self, turn: WyomingTurn) -> list[bytes]:
        """Return the event that precedes the turn's first audio, once."""
        if turn.sounding:
            return []
        turn.sounding = True
        return [encoded("audio-start", _form(turn.sample_rate))]

    async def send_error(self, error: SpeechError) -> None:
        """Handle nothing more. Disconnect with the error once every turn before it was heard.

        A stream that is still open ends with the error.
        """
        self.closing = True
        if self._streamed is not None:
            self._streamed.context.fail(error)
        else:
            self.connection.tasks.start_soon(self._disconnect_when_quiet, error)

    async def _disconnect_when_quiet(self, error: SpeechError) -> None:
        for turn in list(self._turns):
            await turn.end_sent.wait()
        await self.disconnect(error)

    async def disconnect(self, error: SpeechError) -> None:
        """Send the error and disconnect."""
        await self._send_event("error", {"text": error.message, "code": error.code})
        self.hang_up()

    async def _send_event(self, kind: str, data: dict[str, Any]) -> None:
        await self.connection.send(encoded(kind, data))


def _data(message: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] | None = message["data"]
    if data is None:
        raise TooLarge("The data of the event is too long.")
    return data


def _pong(message: dict[str, Any]) -> str | None:
    """Return the text of a ping, which is sent back if it can be."""
    text = (message["data"] or {}).get("text")
    return text if isinstance(text, str) and not has_surrogates(text) else None


def _form(sample_rate: int) -> dict[str, int]:
    return {"rate": sample_rate, "width": 2, "channels": 1}
