"""Sessions of every websocket door: valid ones, disturbed and mutated, with every kind of end."""

from __future__ import annotations

import asyncio
import json
import struct
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import msgpack

from fuzz.dice import Dice
from fuzz.http import Answer
from fuzz.target import PATIENCE_S, Finding, Target, check_told
from fuzz.websocket import ALLOWED_CODES, BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame

FRESH = "fresh"
"""The context that a door speaks in to show that it still works."""

END_S = 1.0
"""Seconds in which the speech of a session may go on before the client leaves."""

ENDS = ("probe", "probe", "probe", "probe", "wait", "close", "drop", "half", "reset", "half a message")


class SocketDoor(ABC):
    """One websocket door."""

    name: ClassVar[str]
    opcode: ClassVar[int] = TEXT

    @abstractmethod
    def path(self, dice: Dice) -> str: ...

    @abstractmethod
    def script(self, dice: Dice) -> list[Any]:
        """Return the messages of a valid session."""

    def encode(self, dice: Dice, message: Any) -> bytes:
        return dice.encoded(message)

    def probe(self) -> list[Any]:
        """Return valid messages to which `answered` knows the answer; none if there are no such."""
        return []

    def answered(self, message: dict[str, Any]) -> bool:
        return False

    def decode(self, opcode: int, payload: bytes) -> Any:
        """Decode a message of the server. Raise ValueError if it is malformed."""
        return json.loads(payload) if opcode == TEXT else None

    def check(self, messages: list[Any]) -> None:
        """Raise Finding if the server's messages contradict each other."""
        return

    async def session(self, dice: Dice, target: Target) -> None:
        async with target.connected() as line:
            socket = await WebSocket.open(line, self.path(dice))
            if isinstance(socket, Answer):
                socket.check(what="the handshake")
                return
            reading = asyncio.create_task(socket.read())
            try:
                async with asyncio.timeout(4 * PATIENCE_S):
                    await self._converse(dice, socket)
            except TimeoutError:
                if not reading.done():
                    raise Finding("dead socket: an answer that is owed did not come") from None
            finally:
                if reading.done():
                    reading.result()
                reading.cancel()
            self._check(socket)

    async def _converse(self, dice: Dice, socket: WebSocket) -> None:
        for message in dice.disturbed(self.script(dice)):
            if dice.chance(0.3):
                message = dice.mutated(message)
            payload = self.encode(dice, message)
            opcode = self.opcode if dice.chance(0.95) else TEXT + BINARY - self.opcode
            if dice.chance(0.2):
                await socket.send_pieces(dice, opcode, payload)
            else:
                await socket.send(opcode, payload)
            if dice.chance(0.2):
                await asyncio.sleep(dice.random() * 0.02)
        await self._end(dice, socket)

    async def _end(self, dice: Dice, socket: WebSocket) -> None:
        line = socket.line
        match dice.choice(ENDS):
            case "probe":
                await self._prove_alive(dice, socket)
            case "wait":
                await asyncio.sleep(dice.random() * END_S)
            case "close":
                await socket.send(CLOSE, struct.pack("!H", dice.choice((1000, 1001, 3000, 4000))))
                if not await socket.until(CLOSE) and socket.close_code is None:
                    raise Finding("a close frame was not answered")
            case "half":
                line.half_close()
                await self._hung_up(socket)
            case "reset":
                line.reset()
            case "half a message":
                whole = frame(self.opcode, self.encode(dice, self.script(dice)[0]))
                await line.send(whole[: dice.randint(0, len(whole) - 1)])
                if dice.chance(0.5):
                    line.reset()

    async def _hung_up(self, socket: WebSocket) -> None:
        """Wait until the server has ended the connection."""
        async with asyncio.timeout(PATIENCE_S):
            while not socket.ended:
                await asyncio.sleep(0.01)

    async def _prove_alive(self, dice: Dice, socket: WebSocket) -> None:
        """Check that the socket is either closed, with a reason, or still of use."""
        await socket.send(PING, b"alive?")
        alive = await socket.until(PONG, b"alive?")
        if alive and dice.chance(0.5) and (messages := self.probe()):
            for message in messages:
                await socket.send(self.opcode, self.encode_plainly(message))
            looked = 0
            async with asyncio.timeout(PATIENCE_S):
                while not socket.ended:
                    for opcode, payload in socket.heard[looked:]:
                        told = self.decode(opcode, payload) if opcode in (TEXT, BINARY) else None
                        if isinstance(told, dict) and self.answered(told):
                            return
                    looked = len(socket.heard)
                    await asyncio.sleep(0.005)
            alive = False
        if not alive and socket.close_code is None:
            raise Finding("dead socket: the server hung up without a close frame")

    def encode_plainly(self, message: Any) -> bytes:
        return json.dumps(message).encode()

    def _check(self, socket: WebSocket) -> None:
        if socket.close_code is not None and not (
            socket.close_code in ALLOWED_CODES or 3000 <= socket.close_code < 5000
        ):
            raise Finding(f"the server closed with {socket.close_code}: {socket.heard[-1][1][2:]!r}")
        messages = []
        for opcode, payload in socket.heard:
            if opcode in (TEXT, BINARY):
                try:
                    messages.append(self.decode(opcode, payload))
                except ValueError:
                    raise Finding(f"the server sent a malformed message: {payload[:200]!r}") from None
                check_told(messages[-1])
        self.check(messages)


class Native(SocketDoor):
    name = "native"

    def path(self, dice: Dice) -> str:
        return "/ws/speak"

    def script(self, dice: Dice) -> list[Any]:
        name = dice.name()
        options: dict[str, Any] = {
            "voice": dice.choice(("aria", "atlas", "alloy", "nobody")),
            "sample_rate": dice.choice((8000, 24000, 48000)),
            "encoding": dice.choice(("pcm_s16le", "pcm_f32le", "mulaw", "alaw")),
            "language": dice.choice(("auto", "en", "de", "xx")),
            "speed": dice.choice((0.25, 1.0, 4.0)),
            "pitch": dice.choice((0.5, 1.0, 2.0)),
            "words": dice.chance(0.5),
            "max_lead_ms": dice.choice((200, 10_000)),
            "seed": dice.randrange(100),
            "voices": {"S2": "kai"},
        }
        some = {key: options[key] for key in dice.sample(list(options), dice.randint(0, 4))}
        if dice.chance(0.2):
            return [{"type": "speak", "context": name, "text": dice.text(), **some}, self._cancel(dice)]
        script: list[Any] = [{"type": "start", "context": name, **some}]
        for _ in range(dice.randint(1, 5)):
            script.append({"type": "text", "context": name, "text": dice.text()})
            if dice.chance(0.3):
                script.append({"type": "flush", "context": name})
            if dice.chance(0.3):
                script.append({"type": "played", "context": name, "samples": dice.randrange(100_000)})
            if dice.chance(0.2):
                script.append({"type": "ping", "id": dice.choice((None, 1, "x"))})
            if dice.chance(0.1):
                script.append({"type": "auth", "key": "none"})
        script.append({"type": "finish", "context": name} if dice.chance(0.6) else self._cancel(dice))
        return script

    def _cancel(self, dice: Dice) -> Any:
        return {"type": "cancel", "context": dice.choice(("*", dice.name()))}

    def probe(self) -> list[Any]:
        return [{"type": "speak", "context": FRESH, "text": "Still here."}]

    def answered(self, message: dict[str, Any]) -> bool:
        if message["type"] == "error" and message.get("context") == FRESH:
            raise Finding(f"a fresh context fails: {message}")
        return message["type"] == "done" and message["context"] == FRESH

    def decode(self, opcode: int, payload: bytes) -> Any:
        if opcode == BINARY:
            kind, _, handle, sequence, _ = struct.unpack_from("<BBHIQ", payload)
            if kind != 1 or len(payload) <= 16:
                raise ValueError
            return handle, sequence
        return json.loads(payload)

    def check(self, messages: list[Any]) -> None:
        """Each started context has one end at most, and no audio after it."""
        handles: dict[int, str] = {}
        sequences: Counter[int] = Counter()
        for told in messages:
            if isinstance(told, tuple):
                handle, sequence = told
                if handle not in handles or sequence != sequences[handle]:
                    raise Finding(f"frame {sequence} of handle {handle} does not belong to an open context")
                sequences[handle] += 1
            elif told["type"] == "started":
                handles[told["handle"]] = told["context"]
                sequences[told["handle"]] = 0
            elif told["type"] in ("done", "cancelled"):
                ended = [handle for handle, name in handles.items() if name == told["context"]]
                if not ended:
                    raise Finding(f"a context ends twice: {told}")
                del handles[ended[0]]
            elif told["type"] == "error" and "context" in told:
                for handle in [handle for handle, name in handles.items() if name == told["context"]][:1]:
                    if told["code"] != "duplicate_context":
                        del handles[handle]


class Status(SocketDoor):
    name = "status"

    def path(self, dice: Dice) -> str:
        return "/ws/status"

    def script(self, dice: Dice) -> list[Any]:
        kinds = ("status", "ping", "auth", "history")
        past = {"minutes": dice.choice((1, 15, 60)), "since": dice.choice((-1.0, 5))}
        return [{"type": dice.choice(kinds), "key": dice.text(), **past} for _ in range(3)]


class Cartesia(SocketDoor):
    name = "cartesia"

    def path(self, dice: Dice) -> str:
        query = {"api_key": dice.choice(("x", dice.text())), "cartesia_version": "2025-04-16"}
        return "/tts/websocket?" + _query(query)

    def script(self, dice: Dice) -> list[Any]:
        name = dice.name()
        script: list[Any] = [self._said(dice, name, continue_=True) for _ in range(dice.randint(0, 4))]
        script.append(self._said(dice, name, continue_=False))
        if dice.chance(0.4):
            script.append({"context_id": name, "cancel": True})
        return script

    def _said(self, dice: Dice, name: str, *, continue_: bool) -> Any:
        return {
            "model_id": "sonic-3",
            "transcript": dice.text(),
            "voice": dice.choice(({"mode": "id", "id": "aria"}, "kai")),
            "output_format": {
                "container": "raw",
                "encoding": dice.choice(("pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_alaw")),
                "sample_rate": dice.choice((8000, 24000, 44100)),
            },
            "context_id": name,
            "continue": continue_,
            "add_timestamps": dice.chance(0.5),
            "flush": dice.chance(0.2),
            "max_buffer_delay_ms": dice.choice((0, 3000)),
            "generation_config": {"speed": dice.choice((0.5, 1.0))},
            **dice.own_options(),
        }

    def probe(self) -> list[Any]:
        output = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
        voice = {"mode": "id", "id": "aria"}
        return [{"context_id": FRESH, "transcript": "Still here.", "voice": voice, "output_format": output}]

    def answered(self, message: dict[str, Any]) -> bool:
        if message["type"] == "error" and message["context_id"] == FRESH:
            raise Finding(f"a fresh context fails: {message}")
        return message["type"] == "done" and message["context_id"] == FRESH


class Deepgram(SocketDoor):
    name = "deepgram"

    def path(self, dice: Dice) -> str:
        query = {
            "model": dice.choice(("aria", "aura-2-thalia-en", "nobody", dice.text())),
            "encoding": dice.choice(("linear16", "mulaw", "alaw", "LINEAR16", "opus")),
            "sample_rate": dice.choice(("8000", "24000", "48000", "24000", str(dice.value(0))[:20])),
            "container": "none",
            "speed": dice.choice(("1", "0.7", "nan", "1e999")),
        }
        some = dict(dice.sample(list(query.items()), dice.randint(0, 3)))
        return "/v1/speak?" + _query({**some, **_texts(dice.own_options())})

    def script(self, dice: Dice) -> list[Any]:
        script: list[Any] = []
        for _ in range(dice.randint(1, 5)):
            script.append({"type": "Speak", "text": dice.text(), **dice.own_options()})
            if dice.chance(0.4):
                script.append({"type": dice.choice(("Flush", "Flush", "Clear"))})
        if dice.chance(0.2):
            script.append({"type": "Close"})
        return script

    def probe(self) -> list[Any]:
        return [{"type": "Clear"}]

    def answered(self, message: dict[str, Any]) -> bool:
        return message["type"] == "Cleared"


class ElevenLabs(SocketDoor):
    name = "elevenlabs"

    def path(self, dice: Dice) -> str:
        query = {
            "output_format": dice.choice(("pcm_24000", "mp3_44100_128", "ulaw_8000", "opus_48000_64", "x")),
            "auto_mode": dice.choice(("true", "false", "maybe")),
            "inactivity_timeout": dice.choice(("20", "0.3", "nan", "1e999", "-1")),
            "model_id": "eleven_flash_v2_5",
        }
        kind = dice.choice(("multi-stream-input", "stream-input"))
        voice = quote(dice.choice(("aria", "aria", "aria", dice.text(), "nobody")), safe="", errors="replace")
        some = dict(dice.sample(list(query.items()), dice.randint(0, 2)))
        return f"/v1/text-to-speech/{voice or 'aria'}/{kind}?" + _query(
            {**some, **_texts(dice.own_options())}
        )

    def script(self, dice: Dice) -> list[Any]:
        name = dice.name()
        about = {"context_id": name} if dice.chance(0.7) else {}
        settings = {"voice_settings": {"speed": dice.choice((0.7, 1.2)), "stability": 0.5}}
        script: list[Any] = [{"text": " ", **about, **settings, **dice.own_options(), "xi_api_key": "x"}]
        said = ({"text": dice.text(), **about, "flush": dice.chance(0.2)} for _ in range(dice.randint(0, 5)))
        script.extend(said)
        if dice.chance(0.3):
            script.append({"text": "", **about, "flush": True})
        script.append(dice.choice(({"text": ""}, {"close_context": True, **about}, {"close_socket": True})))
        return script


class Kyutai(SocketDoor):
    name = "kyutai"
    opcode = BINARY

    def path(self, dice: Dice) -> str:
        query = {
            "voice": dice.choice(("aria", "expresso/ex01.wav", "nobody")),
            "format": dice.choice(("PcmMessagePack", "OggOpus")),
            "seed": dice.choice(("1", "x")),
            "temperature": dice.choice(("0.5", "nan")),
        }
        some = dict(dice.sample(list(query.items()), dice.randint(0, 2)))
        return "/api/tts_streaming?" + _query({**_texts(dice.own_options()), **some})

    def script(self, dice: Dice) -> list[Any]:
        words: list[Any] = [{"type": "Text", "text": word} for word in dice.text().split(" ")]
        words[0].update(dice.own_options())
        return [*words[:20], {"type": "Voice", "embeddings": [0.0]}, {"type": "Eos"}]

    def encode(self, dice: Dice, message: Any) -> bytes:
        if dice.chance(0.05):
            return dice.choice(
                (b"\x91" * 20_000, b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\0", b"")
            )
        try:
            raw: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
        except (OverflowError, ValueError):
            return dice.encoded(message)
        return dice.damaged(raw) if dice.chance(0.1) else raw

    def decode(self, opcode: int, payload: bytes) -> Any:
        if opcode != BINARY:
            raise ValueError
        return msgpack.unpackb(payload)


class Frames(SocketDoor):
    """Frames that break RFC 6455 in every way, on any door."""

    name = "frames"

    def path(self, dice: Dice) -> str:
        return dice.choice(("/ws/speak", "/ws/status", "/tts/websocket", "/v1/speak", "/api/tts_streaming"))

    def script(self, dice: Dice) -> list[Any]:
        return [dice.value() for _ in range(4)]

    async def _converse(self, dice: Dice, socket: WebSocket) -> None:
        for _ in range(dice.randint(1, 6)):
            for piece in dice.cut(self._frame(dice)):
                await socket.line.send(piece)
        await socket.send(CLOSE, struct.pack("!H", 1000))
        socket.line.half_close()
        await self._hung_up(socket)

    def _frame(self, dice: Dice) -> bytes:
        payload = (
            dice.encoded(dice.value())[:2000] if dice.chance(0.7) else dice.randbytes(dice.randint(0, 200))
        )
        opcode = dice.choice((TEXT, BINARY, PING, PONG, CLOSE, 0, 3, 7, 11, 15)) | dice.choice(
            (0, 0, 0, 0x10, 0x40)
        )
        raw = frame(opcode, payload, final=dice.chance(0.7))
        match dice.randrange(6):
            case 0:
                return bytes((raw[0], raw[1] & 0x7F)) + raw[2:]  # Not masked.
            case 1:
                return (
                    bytes((raw[0], 0x80 | 127))
                    + struct.pack("!Q", dice.choice((2**63, 2**62, 0, 5)))
                    + payload
                )
            case 2:
                return dice.damaged(raw)
        return raw


def _query(fields: dict[str, str]) -> str:
    return urlencode(fields, errors="replace")


def _texts(options: dict[str, Any]) -> dict[str, str]:
    """Return options as a query holds them."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}


SOCKET_DOORS: tuple[SocketDoor, ...] = (
    Native(),
    Status(),
    Cartesia(),
    Deepgram(),
    ElevenLabs(),
    Kyutai(),
    Frames(),
)
