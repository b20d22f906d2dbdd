"""Messages between the server and a worker.

Each travels over a stream socket as

    u32 size of what follows | u32 size of the header | header (JSON) | raw PCM

little-endian. Several events share one message; their PCM is joined in the order of the events.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from streaming_server.types import (
    Audio,
    ChunkPolicy,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
    Voice,
    VoiceSample,
    WordMark,
    Words,
)

_PREFIX = struct.Struct("<II")

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes. Far above anything an engine sends; a larger claim means the stream is corrupt."""

WINDOW = 512 * 1024
"""Bytes of an utterance's PCM after which a worker may wait until some of it has been `Taken`. Twelve seconds
at 22.05 kHz: most sentences are shorter, and so never wait."""


@dataclass(frozen=True, slots=True)
class Submit:
    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Cancel:
    utterance: int


@dataclass(frozen=True, slots=True)
class Release:
    context: int


@dataclass(frozen=True, slots=True)
class Taken:
    """So many bytes of an utterance's PCM, counted from its start, have left the server's buffer."""

    utterance: int
    size: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """This voice will be spoken soon."""

    voice: Voice


@dataclass(frozen=True, slots=True)
class Relieve:
    """Give cached memory back."""


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded. `device` is the device's own name."""

    info: EngineInfo
    device: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step brought. `step_s` is how long it took."""

    events: tuple[Event, ...]
    step_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    report: MemoryReport


@dataclass(frozen=True, slots=True)
class Pong:
    pass


@dataclass(frozen=True, slots=True)
class Fatal:
    """The worker cannot go on, and says why before it leaves."""

    code: str
    message: str


Request = Submit | Cancel | Release | Taken | Prepare | Relieve | Ping | Shutdown
Report = Ready | Batch | Memory | Pong | Fatal
Message = Request | Report


class CorruptPipe(Exception):
    """What arrived is not a message of this protocol."""


def encode(message: Message) -> bytes:
    """One message, ready to be written."""
    header, blob = _to_wire(message)
    head = orjson.dumps(header)
    return b"".join((_PREFIX.pack(4 + len(head) + len(blob), len(head)), head, blob))


class Decoder:
    """Bytes in pieces of any size → whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield every message completed by `data`. Raises CorruptPipe."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _PREFIX.size:
                size, head = _PREFIX.unpack_from(buffer, start)
                if size > MAX_MESSAGE or head + 4 > size:
                    raise CorruptPipe(f"a message claims {size} bytes with a header of {head}")
                if len(buffer) - start < size + 4:
                    break
                body = start + _PREFIX.size
                header = bytes(buffer[body : body + head])
                blob = bytes(buffer[body + head : start + size + 4])
                start += size + 4
                yield _from_wire(_load(header), blob)
        finally:
            del buffer[:start]


def _load(header: bytes) -> list[Any]:
    try:
        value = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise CorruptPipe("a header is not JSON") from error
    if not isinstance(value, list):
        raise CorruptPipe("a header is not a list")
    return value


def _to_wire(message: Message) -> tuple[list[Any], bytes]:
    match message:
        case Batch(events, step_s):
            pcm = b"".join(event.pcm for event in events if isinstance(event, Audio))
            return ["batch", step_s, [_event_to_wire(event) for event in events]], pcm
        case Submit(utterance):
            return ["submit", asdict(utterance)], b""
        case Cancel(utterance_id):
            return ["cancel", utterance_id], b""
        case Release(context):
            return ["release", context], b""
        case Taken(utterance_id, size):
            return ["taken", utterance_id, size], b""
        case Prepare(voice):
            return ["prepare", asdict(voice)], b""
        case Memory(report):
            return ["memory", report.used, report.total], b""
        case Ready(info, device):
            plain = asdict(info) | {"uses": sorted(info.uses)}
            return ["ready", plain, device], b""
        case Fatal(code, text):
            return ["fatal", code, text], b""
        case Relieve():
            return ["relieve"], b""
        case Ping():
            return ["ping"], b""
        case Pong():
            return ["pong"], b""
        case Shutdown():
            return ["shutdown"], b""


def _event_to_wire(event: Event) -> list[Any]:
    match event:
        case Audio(utterance, pcm):
            return ["a", utterance, len(pcm)]
        case Words(utterance, marks):
            return [
                "w",
                utterance,
                [[m.start, m.end, m.start_sample, m.end_sample, m.estimated] for m in marks],
            ]
        case Finished(utterance, busy_s):
            return ["f", utterance, busy_s]
        case Failed(utterance, code, message, retryable):
            return ["x", utterance, code, message, retryable]


def _from_wire(header: list[Any], blob: bytes) -> Message:
    match header:
        case ["batch", step_s, events]:
            return Batch(tuple(_events_from_wire(events, blob)), step_s)
        case ["submit", fields]:
            return Submit(_utterance_from_wire(fields))
        case ["cancel", utterance_id]:
            return Cancel(utterance_id)
        case ["release", context]:
            return Release(context)
        case ["taken", utterance_id, size]:
            return Taken(utterance_id, size)
        case ["prepare", fields]:
            return Prepare(_voice_from_wire(fields))
        case ["memory", used, total]:
            return Memory(MemoryReport(used, total))
        case ["ready", info, device]:
            return Ready(_info_from_wire(info), device)
        case ["fatal", code, text]:
            return Fatal(code, text)
        case ["relieve"]:
            return Relieve()
        case ["ping"]:
            return Ping()
        case ["pong"]:
            return Pong()
        case ["shutdown"]:
            return Shutdown()
        case _:
            raise CorruptPipe("a message of unknown kind")


def _events_from_wire(events: list[list[Any]], blob: bytes) -> Iterator[Event]:
    at = 0
    for event in events:
        match event:
            case ["a", utterance, size]:
                yield Audio(utterance, blob[at : at + size])
                at += size
            case ["w", utterance, marks]:
                yield Words(utterance, tuple(WordMark(*mark) for mark in marks))
            case ["f", utterance, busy_s]:
                yield Finished(utterance, busy_s)
            case ["x", utterance, code, message, retryable]:
                yield Failed(utterance, code, message, retryable)
            case _:
                raise CorruptPipe("an event of unknown kind")


def _utterance_from_wire(fields: dict[str, Any]) -> Utterance:
    return Utterance(
        **(
            fields
            | {
                "voice": _voice_from_wire(fields["voice"]),
                "generation": Generation(**fields["generation"]),
            }
        )
    )


def _voice_from_wire(fields: dict[str, Any]) -> Voice:
    voice_sample = fields["voice_sample"]
    return Voice(**(fields | {"voice_sample": voice_sample and VoiceSample(**voice_sample)}))


def _info_from_wire(fields: dict[str, Any]) -> EngineInfo:
    return EngineInfo(
        **(
            fields
            | {
                "languages": tuple(fields["languages"]),
                "chunking": ChunkPolicy(**fields["chunking"]),
                "uses": frozenset(fields["uses"]),
            }
        )
    )
