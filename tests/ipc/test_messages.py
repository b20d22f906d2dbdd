"""Messages between the server and its workers."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.ipc.messages import (
    MAX_MESSAGE,
    Batch,
    Cancel,
    CorruptPipe,
    Decoder,
    Fatal,
    Memory,
    Message,
    Ping,
    Pong,
    Prepare,
    Ready,
    Release,
    Relieve,
    Shutdown,
    Submit,
    Taken,
    encode,
)
from streaming_server.types import (
    DEFAULT_VOICE,
    Audio,
    ChunkPolicy,
    EngineInfo,
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

MESSAGES: list[Message] = [
    Submit(
        Utterance(
            8,
            4,
            "Hi.",
            Voice("me", "Me", "plain", "S2", VoiceSample("/p/a.wav", "I am me.")),
            Generation(),
            1.5,
        )
    ),
    Submit(Utterance(7, 3, "Grüße, 世界 🎉", DEFAULT_VOICE, Generation(seed=5, temperature=0.5), 12.25)),
    Cancel(7),
    Release(3),
    Taken(7, 262144),
    Prepare(Voice("me", "Me", "plain", "S2", VoiceSample("/p/a.wav", "I am me."))),
    Prepare(DEFAULT_VOICE),
    Relieve(),
    Ping(),
    Shutdown(),
    Ready(
        EngineInfo(
            "e", 22050, 4, False, ("en", "de"), ChunkPolicy(1, 2, 3, 0.5), frozenset({"speed"}), "Noise."
        ),
        "CPU",
    ),
    Batch(
        (
            Words(7, (WordMark(0, 5, 0, 6736), WordMark(6, 9, 6736, 7000, True))),
            Audio(7, b"\x01\x02\x03\x04"),
            Audio(8, b"\x05\x06"),
            Finished(7, 0.125),
            Failed(8, "bad_value", "No such language.", False),
        ),
        0.5,
    ),
    Memory(MemoryReport(2**40, 2**41)),
    Pong(),
    Fatal("engine_failure", "The model is not there."),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert list(Decoder().feed(encode(message))) == [message]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.data())
def test_messages_survive_any_cut(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(encode(message) for message in messages)
    decoder, arrived, at = Decoder(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        arrived += decoder.feed(stream[at : at + size])
        at += size
    assert arrived == messages


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack("<II", MAX_MESSAGE + 1, 2),
        struct.pack("<II", 4, 100),
        struct.pack("<II", 4 + 11, 11) + b'["unknown"]',
    ],
    ids=["too large", "header beyond the message", "unknown kind"],
)
def test_what_is_no_message_is_an_error(garbage: bytes) -> None:
    with pytest.raises(CorruptPipe):
        list(Decoder().feed(garbage))


def test_a_header_that_is_no_json_is_an_error() -> None:
    with pytest.raises(CorruptPipe):
        list(Decoder().feed(struct.pack("<II", 8, 4) + b"nope"))
