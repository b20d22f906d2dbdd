"""A text read out whole: into a response of HTTP, or into a file."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from streaming_server.audio.coder import Coder, beside
from streaming_server.audio.formats import AudioFormat, content_type
from streaming_server.audio.frames import FrameEncoder
from streaming_server.audio.tempo import Tempo
from streaming_server.context import Broken, Done, End, Output, Speech, SpeechContext, UtteranceEnd
from streaming_server.errors import BadValue, SpeechError, TooSlow, error_of
from streaming_server.types import Encoding, EngineInfo, Generation
from streaming_server.web.native.messages import MAX_LEAD_MS
from streaming_server.web.services import Parts

CHARACTERS_AT_ONCE = 2048
"""Given to the segmenter in one go; finding the sentences in more would hold up the event loop."""
SLOWEST_READER = 0.5
"""Of the speed at which it is heard. Who reads more slowly, for longer than one may stand still, is not
listening; and who speaks for one could speak for another."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be read, by whom and into what. sample_rate: Hz, by default the engine's own."""

    text: str
    voice: str
    generation: Generation = field(default_factory=Generation)
    audio_format: AudioFormat = "wav"
    sample_rate: int | None = None
    bit_rate: int | None = None


class Reading:
    """A wish on its way.

    speed: applied here, the pitch kept, where the engine does not. coding: the threads it is coded in.
    utterances, audio_s: how far it came, in seconds as the engine made them.
    """

    def __init__(
        self,
        wish: Wish,
        engine: EngineInfo,
        context: SpeechContext,
        speed: float,
        coding: anyio.CapacityLimiter,
    ) -> None:
        self.sample_rate = wish.sample_rate or engine.sample_rate
        self.audio_format = wish.audio_format
        self.utterances = 0
        self.audio_s = 0.0
        self.end: End | None = None
        self._text = wish.text
        self._bit_rate = wish.bit_rate
        self._engine = engine
        self._context = context
        self._coding = coding
        self._encoder = FrameEncoder(engine.sample_rate, self.sample_rate, "pcm_s16le")
        by_engine = "speed" in engine.uses or speed == 1.0
        self._tempo = None if by_engine else Tempo(self.sample_rate, speed)

    async def outputs(self) -> AsyncIterator[Output | bytes]:
        """PCM at `sample_rate` as it is made, and between it what the context tells.

        Raises BadValue for a text with nothing to say in it, TooLarge, and what ended the context.
        """
        await self._feed()
        while self.end is None:
            output = await self._context.receive()
            if isinstance(output, Broken):
                self.end = output
                raise error_of(output.code)(output.message)
            if isinstance(output, Done):
                self._conclude(output)
            if pcm := await self._heard(output):
                yield pcm
            yield output

    async def pcm(self) -> AsyncGenerator[bytes, None]:
        """The PCM alone."""
        async for output in self.outputs():
            if isinstance(output, bytes):
                yield output

    async def contained(self) -> AsyncGenerator[bytes, None]:
        """The bytes of a file in the format wished for, as they are made."""
        async for output in self.marked():
            if isinstance(output, bytes):
                yield output

    async def raw(self, encoding: Encoding) -> AsyncGenerator[bytes, None]:
        """The samples in an encoding, without a file around them."""
        async for output in self.marked(encoding):
            if isinstance(output, bytes):
                yield output

    async def marked(self, encoding: Encoding | None = None) -> AsyncGenerator[Output | bytes, None]:
        """As `outputs`, the sound encoded; without an encoding as a file in the format wished for."""
        if encoding is not None:
            encoder = FrameEncoder(self.sample_rate, self.sample_rate, encoding)
            async for output in self.outputs():
                if isinstance(output, bytes):
                    yield b"".join(frame.data for frame in encoder.push(output))
                else:
                    yield output
            return
        with closing(
            Coder(self.audio_format, self.sample_rate, self._coding, bit_rate=self._bit_rate)
        ) as writer:
            async for output in self.outputs():
                if not isinstance(output, bytes):
                    yield output
                elif data := await writer.push(output):
                    yield data
            if data := await writer.finish():
                yield data

    def at(self, sample: int) -> float:
        """Where a sample of the current utterance, at the engine's rate, is heard: seconds from the start."""
        return self._encoder.at(sample) / self.sample_rate

    async def _feed(self) -> None:
        if "\0" in self._text:
            raise BadValue("a NUL character cannot be spoken.", field="text")
        for at in range(0, len(self._text), CHARACTERS_AT_ONCE):
            self._context.append(self._text[at : at + CHARACTERS_AT_ONCE])
            await anyio.lowlevel.checkpoint()
        self._context.finish()

    async def _heard(self, output: Output) -> bytes:
        """What is to be heard of an output, at `sample_rate`."""
        match output:
            case Speech(pcm):
                self.audio_s += len(pcm) / 2 / self._engine.sample_rate
                frames = self._encoder.push(pcm)
            case UtteranceEnd():
                self.utterances += 1
                frames = self._encoder.end_utterance()
            case Done() if self._tempo is not None:
                return await beside(self._tempo.finish, self._coding)
            case _:
                return b""
        pcm = b"".join(frame.data for frame in frames)
        if self._tempo is not None and pcm:
            pcm = await beside(partial(self._tempo.push, pcm), self._coding)
        return pcm

    def _conclude(self, done: Done) -> None:
        self.end = done
        if not self.audio_s:
            raise BadValue("there is nothing in it to say.", field="text")


@contextmanager
def open_reading(
    parts: Parts, engine: EngineInfo, wish: Wish, unattended: anyio.CapacityLimiter | None = None
) -> Iterator[Reading]:
    """Read a wish, for as long as somebody listens.

    unattended: where nobody waits for the sound, the threads it is coded in. Raises Draining, UnknownVoice,
    BadValue.
    """
    context = parts.contexts.open(
        engine, wish.voice, wish.generation, MAX_LEAD_MS, attended=unattended is None
    )
    speed = wish.generation.over(parts.catalogue.find(wish.voice).defaults).speed or 1.0
    reading = None
    try:
        reading = Reading(wish, engine, context, speed, unattended or parts.coding)
        yield reading
    finally:
        parts.contexts.left(context, reading.end if reading is not None else None)


class Patience:
    """How long a reader is waited for, in seconds.

    It may stand still for `stall_s`, once or in several times; beside that it may take as long as the sound
    takes at the slowest. A player that reads as fast as it plays is never too slow.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._audio_s = 0.0
        self._waited_s = 0.0

    def left_s(self, audio_s: float) -> float:
        """For the next of it, when so much sound has been made in all."""
        once_s = self._stall_s + (audio_s - self._audio_s) / SLOWEST_READER
        self._audio_s = audio_s
        in_all_s = self._stall_s + audio_s / SLOWEST_READER - self._waited_s
        return max(0.0, min(once_s, in_all_s))

    def waited(self, seconds: float) -> None:
        self._waited_s += seconds


Body = Callable[[Reading], AsyncGenerator[bytes, None]]


class SpokenResponse(Response):
    """An answer of HTTP that is sent while it is spoken.

    What is wrong before the first byte is told by `explain`; what breaks afterwards ends the connection
    without the end of the body, so that nobody takes it for whole. A client that leaves cancels the rest.

    body: what is sent of the reading, by default a file in the wish's format.
    """

    def __init__(
        self,
        parts: Parts,
        wish: Wish,
        *,
        explain: Callable[[SpeechError], Response],
        body: Body | None = None,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._parts = parts
        self._wish = wish
        self._explain = explain
        self._body = body
        self._media_type = media_type
        self._extra = headers or {}
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._until_gone, receive, group.cancel_scope)
            try:
                await self._speak(send)
            except SpeechError as error:
                await self._explain(error)(scope, receive, send)
            except OSError:
                pass  # The client left while it was being spoken to.
            group.cancel_scope.cancel()

    async def _speak(self, send: Send) -> None:
        parts = self._parts
        with parts.limits.speaking(parts.pool.has_room):
            engine = await parts.pool.engine()
            with open_reading(parts, engine, self._wish) as reading:
                body = self._body(reading) if self._body else reading.contained()
                async with aclosing(body):
                    await self._send_all(reading, body, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, reading: Reading, body: AsyncGenerator[bytes, None], send: Send) -> None:
        begun = False
        patience = Patience(self._parts.settings.stall_timeout_s)
        try:
            async for data in body:
                if not begun:
                    await send(self._start(reading))
                    begun = True
                started = time.monotonic()
                with anyio.fail_after(patience.left_s(reading.audio_s)):
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                patience.waited(time.monotonic() - started)
        except (SpeechError, TimeoutError) as error:
            if not begun:
                raise
            code = error.code if isinstance(error, SpeechError) else TooSlow.code
            log.warning("reading broken off", code=code, audio_s=round(reading.audio_s, 2))
            raise ConnectionAbortedError from error

    def _start(self, reading: Reading) -> dict[str, object]:
        media_type = self._media_type or content_type(reading.audio_format, reading.sample_rate)
        headers = {"content-type": media_type, **self._extra}
        raw = [(name.lower().encode(), value.encode("ascii")) for name, value in headers.items()]
        return {"type": "http.response.start", "status": 200, "headers": raw}

    @staticmethod
    async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
