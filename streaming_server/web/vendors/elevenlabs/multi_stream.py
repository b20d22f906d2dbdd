"""ElevenLabs' `multi-stream-input`: contexts, base64 audio, character times."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Any

import anyio
import orjson

from streaming_server.audio.formats import is_coded
from streaming_server.audio.frames import Frame
from streaming_server.context import Cancelled, Done, End, Failure
from streaming_server.errors import SpeechError, TooSlow
from streaming_server.render import TimedWord
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import Generation
from streaming_server.web.services import SpeechServices
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.validation import validated
from streaming_server.web.vendors.elevenlabs.alignment import Characters
from streaming_server.web.vendors.elevenlabs.fields import VoiceSettings, error_fields
from streaming_server.web.vendors.elevenlabs.turn import ElevenLabsTurn
from streaming_server.web.vendors.model import ClientFields
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.decoding import decode_object, read_name
from streaming_server.web.websocket.named_session import NamedSession
from streaming_server.web.websocket.turn import Joining

OPENING = " "
"""The text that opens a context."""


class ElevenLabsMessage(ClientFields, SpeechFields):
    """The fields of a message that have a meaning here, besides its context.

    Options count in the message that opens a context, and there take precedence over the connection's. Those
    of a message that opens none, such as one with the key alone, become the connection's.
    """

    text: str | None = None
    flush: bool | None = None
    close_context: bool | None = None
    close_socket: bool | None = None
    voice_settings: VoiceSettings | None = None

    def over(self, options: SpeechOptions) -> SpeechOptions:
        speed = self.voice_settings.speed if self.voice_settings else None
        return super().over(replace(options, generation=Generation(speed=speed).over(options.generation)))


@dataclass(frozen=True, slots=True)
class MultiStreamOptions:
    """Options of all contexts of one connection.

    inactivity_s: how long the client may send nothing while nothing is sent to it.
    """

    speech: SpeechOptions
    joining: Joining
    inactivity_s: float


class MultiStreamSession(NamedSession[ElevenLabsTurn]):
    """One client of `multi-stream-input`. A context without a name is kept under ""."""

    def __init__(self, services: SpeechServices, connection: Connection, options: MultiStreamOptions) -> None:
        super().__init__(services, connection)
        self._options = options
        self._active_at = 0.0
        self._lead_dropped = anyio.Event()

    async def greet(self) -> None:
        self._note_activity()
        self.connection.tasks.start_soon(self._watch_inactivity)

    async def _watch_inactivity(self) -> None:
        """Disconnect a client that has sent nothing for too long while nothing was owed to it or heard."""
        limit_s = self._options.inactivity_s
        while (left_s := max(self._active_at, self.lead.until) + limit_s - time.monotonic()) > 0:
            with anyio.move_on_after(left_s):
                await self._lead_dropped.wait()
            if any(turn.speaking for turn in self._turns):
                self._note_activity()
        error = TooSlow(f"No message received for {limit_s:g} seconds.")
        # A client without a turn takes any message for an error; the close code and reason are enough.
        if self._turns:
            await self.send_error(error)
        self.hang_up(error)

    def _note_activity(self) -> None:
        self._active_at = time.monotonic()

    def conclude(self, turn: ElevenLabsTurn, end: End) -> None:
        super().conclude(turn, end)
        if isinstance(end, Cancelled):
            self._lead_dropped.set()
            self._lead_dropped = anyio.Event()

    # Reading.

    async def handle(self, message: dict[str, Any]) -> None:
        self._note_activity()
        name = self.name_of(message)
        try:
            wanted = validated(ElevenLabsMessage, message)
        except SpeechError as error:
            if self.belongs_to_failed_turn(name, ends=bool(message.get("close_context"))):
                return
            error.context = None if self.awaits_end(name) else name
            raise
        await self.converse(name, wanted)

    def name_of(self, message: dict[str, Any]) -> str:
        """Return the name of a message's context. Raise BadValue."""
        return read_name(message, "context_id", "contextId") or ""

    async def converse(self, name: str, message: ElevenLabsMessage) -> None:
        """Do what a message asks of a context, or of all.

        After a context failed, the rest of its turn is swallowed: up to where it is closed, flushed or opened
        again.
        """
        if message.close_socket:
            for turn in self.open_turns.values():
                turn.mid_turn = False
            for every in list(self.open_turns):
                self._close(every)
            self.close_when_quiet()
            return
        if message.text == OPENING:
            self.clear_failed(name)
        ends = bool(message.close_context or (message.flush and not message.text))
        if self.belongs_to_failed_turn(name, ends=ends):
            return
        await self._append(name, message)
        if message.close_context:
            self._close(name)

    async def _append(self, name: str, message: ElevenLabsMessage) -> None:
        """Append text to a context, which opens it if need be. A message without text keeps it alive.

        Text in the message that closes the context is its last, and flushed.
        """
        text = message.text or ""
        worded = bool(text.strip())
        turn = self.open_turns.get(name)
        if turn is None and text and (worded or not message.close_context):
            more = not message.close_context
            turn = self.begin(name, lambda: self._make(name, message), more=more)
        if turn is None:
            self._options = replace(self._options, speech=message.over(self._options.speech))
            return
        turn.more = turn.more and not message.close_context
        with turn.failing_on_bad_text():
            if worded or (text and turn.unflushed):
                await turn.append(text)
            if message.flush or (worded and message.close_context):
                turn.flush()
                sentences = self._options.joining == "sentences"
                turn.mid_turn = sentences and worded and not message.close_context
        self.speak_phrase_soon(turn)

    def _make(self, name: str, message: ElevenLabsMessage) -> ElevenLabsTurn:
        options = replace(message.over(self._options.speech), name=name or None)
        return ElevenLabsTurn(
            name,
            self.open(options),
            coded=is_coded(options.audio.format),
            max_text=self.max_text,
            joining=self._options.joining,
            before=self.ending_turns.get(name),
        )

    def _close(self, name: str) -> None:
        """Finish a context whose text was all flushed, and cancel one with text that was not.

        Closing a context again cancels it. So clients that close a context at the end of each turn are heard
        out, and those that close it to interrupt are obeyed. Clients that send whole sentences flush each as
        it comes, and once more without text at the end of a turn; without that last flush they interrupt.
        """
        if (turn := self.open_turns.get(name)) is None:
            if (left := self.ending_turns.get(name)) is not None:
                left.context.cancel()
        elif turn.unflushed or turn.mid_turn:
            self.cancel(name)
        else:
            self.finish(name)

    def finish(self, name: str) -> None:
        """Take no more text for a context; all of it will be heard."""
        if (turn := self.open_turns.pop(name, None)) is not None:
            with turn.failing_on_bad_text():
                turn.finish()
            self.ending_turns[name] = turn

    # Writing.

    async def send_words(self, turn: ElevenLabsTurn, words: tuple[TimedWord, ...]) -> None:
        turn.alignment.add(words)

    async def send_audio(self, turn: ElevenLabsTurn, frames: list[Frame]) -> None:
        for data, characters in turn.messages(frames):
            if not turn.context.stopped:
                await self._send_chunk(turn, data, characters)

    async def _send_chunk(self, turn: ElevenLabsTurn, data: bytes, characters: Characters | None) -> None:
        self._note_activity()
        await self.connection.send_json(
            {
                "audio": b64encode(data).decode() if data else None,
                "isFinal": None,
                **self.context_fields(turn.name),
                "alignment": characters.relative if characters else None,
                "normalizedAlignment": characters.absolute if characters else None,
            }
        )

    async def send_end(self, turn: ElevenLabsTurn, end: End) -> None:
        assert turn.name is not None
        if isinstance(end, Failure):
            error = end.error()
            error.context = turn.name
            await self.send_error(error)
            return
        if isinstance(end, Done) and (characters := turn.alignment.take()) is not None:
            await self._send_chunk(turn, b"", characters)
        await self._send_final(turn.name)

    async def send_error(self, error: SpeechError) -> None:
        """Send an error, and `isFinal` unless another turn has taken the name: some clients handle only one
        of the two.

        An error without a context refuses a message; clients take one with a context for its end.
        """
        await self.connection.send_json({**error_fields(error), **self.context_fields(error.context)})
        if error.context is not None and error.context not in self.open_turns:
            await self._send_final(error.context)

    async def _send_final(self, name: str) -> None:
        await self.connection.send_json({"audio": None, "isFinal": True, **self.context_fields(name)})

    def context_fields(self, name: str | None) -> dict[str, Any]:
        """Return the fields of a message that name its context."""
        return {"contextId": name or None}


def key_in_message(raw: str | bytes) -> str | None:
    """Return the key in a first message."""
    message = decode_object(raw)
    for field in ("xi_api_key", "xi-api-key"):
        if isinstance(key := message.get(field), str):
            return key
    authorization = message.get("authorization")
    return authorization.removeprefix("Bearer ") if isinstance(authorization, str) else None


def refusal_message(error: SpeechError) -> str:
    """Return the error message for an accepted client."""
    return orjson.dumps(error_fields(error)).decode()
