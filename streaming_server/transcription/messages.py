"""Messages between the server and the transcriber.

Each is a frame (see `ipc.framing`) whose header is a MessagePack array of the message's name and fields.
MessagePack and not JSON because Whisper's probabilities may be NaN, and paths need not be text.
"""

from __future__ import annotations

import msgspec

from streaming_server.ipc.framing import MessageFrame, pack
from streaming_server.ipc.messages import Message, decode
from streaming_server.transcription.transcript import Segment


class Transcribe(Message, frozen=True):
    """Transcribe a file. Answered with `Transcribed` or `Refused`."""

    path: bytes


class TranscriberReady(Message, frozen=True, tag="ready"):
    """The model is loaded."""


class Transcribed(Message, frozen=True, tag="heard"):
    """Whisper's transcript. language_probability: None for an English-only model."""

    text: str
    language: str
    language_probability: float | None
    segments: tuple[Segment, ...]


class Refused(Message, frozen=True):
    """The file cannot be transcribed; the next one may be. message: for the user."""

    message: str


class TranscriberFailed(Message, frozen=True, tag="failed"):
    """The last message of a transcriber that cannot go on. message: for the user."""

    message: str


Answer = TranscriberReady | Transcribed | Refused | TranscriberFailed

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Transcribe] = msgspec.msgpack.Decoder(Transcribe)
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode(message: Transcribe | Answer) -> bytes:
    """Return a message as it goes over the socket."""
    return pack(_encoder.encode(message))


def decode_request(frame: MessageFrame) -> Transcribe:
    """Return the request in a frame. Raise ProtocolError."""
    return decode(_request_decoder, frame)


def decode_answer(frame: MessageFrame) -> Answer:
    """Return the answer in a frame. Raise ProtocolError."""
    return decode(_answer_decoder, frame)
