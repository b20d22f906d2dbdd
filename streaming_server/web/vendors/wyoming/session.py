"""A client of Wyoming: text whole or while it arrives, PCM at the engine's rate.

The protocol has no keys and no cancel: whoever reaches the port may speak, and to hang up is to cancel. After
an error the server hangs up, which is what clients take for the end of a turn that has no sound.
"""

from __future__ import annotations

from typing import Any, Literal

import anyio

from streaming_server.audio.frames import Frame, FrameEncoder
from streaming_server.catalogue import Entry
from streaming_server.context import Broken, End
from streaming_server.errors import BadMessage, SpeechError, TooLarge, error_of
from streaming_server.web.reading import CHARACTERS_AT_ONCE
from streaming_server.web.services import Parts
from streaming_server.web.validation import validated
from streaming_server.web.vendors.model import Model
from streaming_server.web.vendors.wyoming.events import encoded, read_event
from streaming_server.web.vendors.wyoming.voices import VoiceChoice, choice, info
from streaming_server.web.websocket.connection import CLOSE_TIMEOUT_S, Connection
from streaming_server.web.websocket.session import Session
from streaming_server.web.websocket.turn import Turn


class Start(Model):
    voice: VoiceChoice | None = None
    text_format: Literal["text"] | None = None


class Text(Model):
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
                await self._tell("info", info(self.engine, self.parts.engine.provider, self._entries()))
            case "ping":
                await self._tell("pong", {"text": (message["data"] or {}).get("text")})
            case "synthesize" if self._streamed is None:
                whole = validated(Whole, _data(message))
                await self._speak(self._begin(whole, streamed=False), whole.text, ends=True)
            case "synthesize-start":
                if self._streamed is not None:
                    raise BadMessage("synthesize-start: the last one has not been stopped.")
                self._streamed = self._begin(validated(Start, _data(message)), streamed=True)
            case "synthesize-chunk":
                text = validated(Text, _data(message)).text
                await self._speak(self._stream(), text, ends=False)
            case "synthesize-stop":
                await self._speak(self._stream(), ends=True)
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

    async def _speak(self, turn: Utterance, text: str = "", *, ends: bool) -> None:
        """More of its text, a piece at a time: a whole answer may come in one event."""
        with turn.blamed():
            for at in range(0, len(text), CHARACTERS_AT_ONCE):
                turn.append(text[at : at + CHARACTERS_AT_ONCE])
                await anyio.lowlevel.checkpoint()
            if ends:
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
        self.hang_up()

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
