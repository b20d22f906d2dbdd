"""Messages between the server and the transcriber."""

import math

import msgspec
import pytest

from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import FrameReader, MessageFrame, pack
from streaming_server.transcription.messages import (
    Answer,
    Refused,
    Transcribe,
    Transcribed,
    TranscriberFailed,
    TranscriberReady,
    decode_answer,
    decode_request,
    encode,
)
from streaming_server.transcription.transcript import Segment

SEGMENT = {"start_s": 0.0, "end_s": 1.5, "avg_logprob": -0.3, "no_speech_prob": 0.01}


def frame(message: object, body: bytes = b"") -> MessageFrame:
    [read] = FrameReader().feed(pack(msgspec.msgpack.encode(message), [body] if body else []))
    return read


@pytest.mark.parametrize(
    "answer",
    [
        TranscriberReady(),
        Transcribed(
            "Grüße, 世界 🎉", "de", 0.9, (Segment(0.0, 1.5, -0.3, 0.01), Segment(1.5, 2.0, -2.0, 1.0))
        ),
        Transcribed("", "en", None, ()),
        Refused("There is no sound in the sample."),
        TranscriberFailed("Whisper failed (OSError)."),
    ],
)
def test_answers_arrive_as_sent(answer: Answer) -> None:
    [read] = FrameReader().feed(encode(answer))
    assert decode_answer(read) == answer


@pytest.mark.parametrize("path", [b"/data/a b.wav", b"/data/\xff.wav"])
def test_paths_need_not_be_text(path: bytes) -> None:
    [read] = FrameReader().feed(encode(Transcribe(path)))
    assert decode_request(read) == Transcribe(path)


def test_probabilities_may_be_nan() -> None:
    [read] = FrameReader().feed(encode(Transcribed("a", "en", None, (Segment(0.0, 1.0, math.nan, 0.0),))))
    answer = decode_answer(read)
    assert isinstance(answer, Transcribed)
    assert math.isnan(answer.segments[0].avg_logprob)


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        ["unknown"],
        ["ready", 1],
        ["refused"],
        ["failed", None],
        ["heard", "a", "en", None],
        ["heard", "a", "en", "certain", []],
        ["heard", "a", "en", None, [SEGMENT], 1],
        ["heard", "a", "en", None, "none"],
        ["heard", "a", "en", None, [1]],
        ["heard", "a", "en", None, [[0.0, 1.5, -0.3]]],
        ["heard", "a", "en", None, [{**SEGMENT, "avg_logprob": "low"}]],
        ["heard", "a", "en", None, [{**SEGMENT, "avg_logprob": None}]],
        ["transcribe", b"/a.wav"],
    ],
)
def test_malformed_answers_are_protocol_errors(message: object) -> None:
    with pytest.raises(ProtocolError):
        decode_answer(frame(message))


@pytest.mark.parametrize("header", [b"", b"\xc1", b"\x93", b"{}", b"\x92\xa6failed\xa1\xff"])
def test_bytes_that_are_no_message_are_protocol_errors(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_answer(MessageFrame(header, b""))


def test_a_message_has_no_body() -> None:
    with pytest.raises(ProtocolError):
        decode_answer(frame(["ready"], b"more"))


@pytest.mark.parametrize("message", [["ready"], ["transcribe", 7], ["transcribe"]])
def test_malformed_requests_are_protocol_errors(message: object) -> None:
    with pytest.raises(ProtocolError):
        decode_request(frame(message))
