"""Messages between the server and a worker: requests to the worker, reports from it.

A message is encoded as a frame (see `framing`) whose header is a JSON array of the message's name and fields.
The events of one engine step share a message; their PCM is joined, in the order of the events, in the
frame's body.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import MessageFrame, pack
from streaming_server.types import (
    RANGES,
    Audio,
    EngineInfo,
    Event,
    Failed,
    Finished,
    MemoryReport,
    Utterance,
    Voice,
    WordMark,
    Words,
)

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
GREATEST_FACTOR = 16.0
"""The greatest factor of speed or pitch for a part of an utterance: from the slowest speed to the fastest."""

Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class Message(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=str.lower):
    """A tagged array on the wire: the name of the class in lower case, then its fields."""


class Submit(Message, frozen=True):
    """Speak an utterance."""

    utterance: Utterance


class Cancel(Message, frozen=True):
    """Drop an utterance."""

    utterance: Count


class Release(Message, frozen=True):
    """Forget what is kept for a context."""

    context: Count


class Taken(Message, frozen=True):
    """`size` bytes of an utterance's PCM, counted from its start, have left the server's buffer."""

    utterance: Count
    size: Count


class Prepare(Message, frozen=True):
    """Prepare a voice that will be used soon."""

    voice: Voice


class Relieve(Message, frozen=True):
    """Give cached memory back."""


class Ping(Message, frozen=True):
    """Answer with `Pong`."""


class Shutdown(Message, frozen=True):
    """Exit."""


class Ready(Message, frozen=True):
    """The model is loaded. `device` is the name the device has for itself ("NVIDIA H100")."""

    info: EngineInfo
    device: str

    def __post_init__(self) -> None:
        if not (0 < self.info.sample_rate < 2**31 and 0 < self.info.slots < 2**31):
            raise ValueError("sample rate and slots must be positive")


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one engine step, which took `step_s` seconds."""

    events: tuple[Event, ...]
    step_s: float


class Memory(Message, frozen=True):
    """A reading of the device's memory."""

    report: MemoryReport

    def __post_init__(self) -> None:
        report = self.report
        sizes = (report.used, report.total, report.model or 0, report.slots or 0)
        if not all(0 <= size < 2**63 for size in sizes):
            raise ValueError("sizes of memory must not be negative")


class Pong(Message, frozen=True):
    """The answer to `Ping`."""


class Fatal(Message, frozen=True):
    """The last message of a worker that cannot go on. `code` is one of `errors`' codes."""

    code: str
    message: str


Request = Submit | Cancel | Release | Taken | Prepare | Relieve | Ping | Shutdown
Report = Ready | Batch | Memory | Pong | Fatal

# The wire forms of events: audio without its PCM, and numbers within their ranges.


class _Event(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=True):
    utterance: Count


class _Audio(_Event, frozen=True, tag="a"):
    size: Annotated[int, Meta(gt=0, le=2**32, multiple_of=2)]


class _Mark(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    start: Count
    end: Count
    start_sample: Count
    end_sample: Count
    estimated: bool


class _Words(_Event, frozen=True, tag="w"):
    marks: tuple[_Mark, ...]


class _Finished(_Event, frozen=True, tag="f"):
    busy_s: Seconds


class _Failed(_Event, frozen=True, tag="x"):
    code: str
    message: str
    retryable: bool


_WireEvent = _Audio | _Words | _Finished | _Failed


class _Batch(Message, frozen=True, tag="batch"):
    step_s: Seconds
    events: tuple[_WireEvent, ...]


_WireReport = Ready | _Batch | Memory | Pong | Fatal

_encoder = msgspec.json.Encoder()
_request_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_report_decoder: msgspec.json.Decoder[_WireReport] = msgspec.json.Decoder(_WireReport)

M = TypeVar("M")


def encode(message: Request | Report) -> bytes:
    """Return a message as it goes over the socket."""
    if not isinstance(message, Batch):
        return pack(_encoder.encode(message))
    header = _Batch(message.step_s, tuple([_to_wire(event) for event in message.events]))
    return pack(_encoder.encode(header), [event.pcm for event in message.events if isinstance(event, Audio)])


def decode_request(frame: MessageFrame) -> Request:
    """Return the request in a frame. Raise ProtocolError."""
    message = decode(_request_decoder, frame)
    if isinstance(message, Submit):
        _require_ranges(message.utterance)
    return message


def _require_ranges(utterance: Utterance) -> None:
    """Raise ProtocolError for numbers out of range."""
    generation = utterance.generation
    for name, (least, most) in RANGES.items():
        value = getattr(generation, name)
        if value is not None and not least <= value <= most:
            raise ProtocolError(f"Utterance has {name}={value}, outside {least} to {most}.")
    least, most = 1 / GREATEST_FACTOR, GREATEST_FACTOR
    if not all(least <= factor <= most for span in utterance.prosody for factor in (span.speed, span.pitch)):
        raise ProtocolError("An utterance has a part with an impossible speed or pitch.")
    if not (0 <= utterance.id < 2**63 and 0 <= utterance.context < 2**63 and isfinite(utterance.deadline)):
        raise ProtocolError("An utterance has an impossible id, context or deadline.")
    if not 0 < utterance.window < 2**63:
        raise ProtocolError("An utterance has an impossible window.")


def decode_report(frame: MessageFrame) -> Report:
    """Return the report in a frame. Raise ProtocolError."""
    message = decode(_report_decoder, frame, has_body=True)
    if not isinstance(message, _Batch):
        _require_size(frame, 0)
        return message
    events: list[Event] = []
    end = 0
    for event in message.events:
        if isinstance(event, _Audio):
            start, end = end, end + event.size
            events.append(Audio(event.utterance, frame.body[start:end]))
        else:
            events.append(_from_wire(event))
    _require_size(frame, end)
    return Batch(tuple(events), message.step_s)


def decode(
    decoder: msgspec.json.Decoder[M] | msgspec.msgpack.Decoder[M],
    frame: MessageFrame,
    *,
    has_body: bool = False,
) -> M:
    """Return the message in a frame. Raise ProtocolError, also for a body without `has_body`."""
    try:
        message = decoder.decode(frame.header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"A message could not be decoded: {error}.") from error
    if not has_body:
        _require_size(frame, 0)
    return message


def _require_size(frame: MessageFrame, size: int) -> None:
    if len(frame.body) != size:
        raise ProtocolError(f"A message with {size} bytes of audio came with {len(frame.body)}.")


def _to_wire(event: Event) -> _WireEvent:
    if isinstance(event, Audio):
        return _Audio(event.utterance, len(event.pcm))
    if isinstance(event, Words):
        marks = [_Mark(m.start, m.end, m.start_sample, m.end_sample, m.estimated) for m in event.marks]
        return _Words(event.utterance, tuple(marks))
    if isinstance(event, Finished):
        return _Finished(event.utterance, event.busy_s)
    return _Failed(event.utterance, event.code, event.message, event.retryable)


def _from_wire(event: _Words | _Finished | _Failed) -> Event:
    if isinstance(event, _Words):
        marks = [WordMark(m.start, m.end, m.start_sample, m.end_sample, m.estimated) for m in event.marks]
        return Words(event.utterance, tuple(marks))
    if isinstance(event, _Finished):
        return Finished(event.utterance, event.busy_s)
    return Failed(event.utterance, event.code, event.message, event.retryable)
