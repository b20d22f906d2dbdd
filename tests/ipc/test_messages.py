"""Messages between the server and its workers."""

import random
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import FrameReader, MessageFrame, pack
from streaming_server.ipc.messages import (
    Batch,
    Cancel,
    Fatal,
    Memory,
    Ping,
    Pong,
    Prepare,
    Ready,
    Release,
    Relieve,
    Report,
    Request,
    Shutdown,
    Submit,
    Taken,
    decode_report,
    decode_request,
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

CLONED = Voice("me", "Me", "plain", "S2", VoiceSample("/p/a.wav", "I am me."))

REQUESTS: list[Request] = [
    Submit(Utterance(8, 4, "Hi.", CLONED, Generation(), 1.5)),
    Submit(Utterance(7, 3, "Grüße, 世界 🎉", DEFAULT_VOICE, Generation(seed=5, temperature=0.5), 12.25)),
    Cancel(7),
    Release(3),
    Taken(7, 262144),
    Prepare(CLONED),
    Prepare(DEFAULT_VOICE),
    Relieve(),
    Ping(),
    Shutdown(),
]

REPORTS: list[Report] = [
    Ready(
        EngineInfo(
            "e",
            22050,
            4,
            False,
            ("en", "de"),
            ChunkPolicy(1, 2, 3, 0.5),
            frozenset({"speed"}),
            "Noise.",
            cost="high",
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
    Memory(MemoryReport(2**40, 2**41, 2**33, 0)),
    Pong(),
    Fatal("engine_failure", "The model is not there."),
]


def frame_of(message: Request | Report) -> MessageFrame:
    (frame,) = FrameReader().feed(encode(message))
    return frame


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: type(message).__name__)
def test_a_request_arrives_as_sent(message: Request) -> None:
    assert decode_request(frame_of(message)) == message


@pytest.mark.parametrize("message", REPORTS, ids=lambda message: type(message).__name__)
def test_a_report_arrives_as_sent(message: Report) -> None:
    assert decode_report(frame_of(message)) == message


@pytest.mark.parametrize("message", REPORTS, ids=lambda message: type(message).__name__)
def test_a_worker_does_not_accept_reports(message: Report) -> None:
    with pytest.raises(ProtocolError):
        decode_request(frame_of(message))


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: type(message).__name__)
def test_the_server_does_not_accept_requests(message: Request) -> None:
    with pytest.raises(ProtocolError):
        decode_report(frame_of(message))


HUGE = b"9" * 400

MALFORMED_REQUESTS = {
    "empty": b"",
    "not JSON": b"nope",
    "not UTF-8": b'["prepare",{"id":"\xff","name":"","style":""}]',
    "not an array": b'{"type":"ping"}',
    "no tag": b"[]",
    "unknown tag": b'["unknown"]',
    "tag of another type": b"[5]",
    "missing field": b'["cancel"]',
    "extra field": b'["cancel",7,8]',
    "empty utterance": b'["submit",{}]',
    "null utterance": b'["submit",null]',
    "text where a number belongs": b'["cancel","7"]',
    "negative number": b'["cancel",-1]',
    "fraction": b'["cancel",1.5]',
    "number beyond 64 bits": b'["cancel",' + HUGE + b"]",
    "infinite number": b'["taken",7,1e999]',
    "deep nesting": b"[" * 100_000,
    "trailing bytes": b'["ping"] ["ping"]',
    "null byte": b'["ping\0"]',
}

EVENTS = b'["batch",0.5,[%s]]'
INFO = (
    b'["ready",{"name":"e","sample_rate":%s,"slots":%s,"can_clone":false,"languages":["en"],"chunking":'
    b'{"min_chars":1,"best_chars":2,"max_chars":3,"patience_s":0.5},"uses":[]},"CPU"]'
)

SUBMIT = (
    b'["submit",{"id":%s,"context":1,"text":"Hi.","voice":{"id":"a","name":"A","style":"","primary_speaker":"S1"},'
    b'"generation":{"speed":%s,"pitch":%s,"top_k":%s},"deadline":%s}]'
)

IMPOSSIBLE_UTTERANCES = {
    "negative id": SUBMIT % (b"-1", b"1", b"1", b"1", b"1"),
    "speed of zero": SUBMIT % (b"1", b"0", b"1", b"1", b"1"),
    "huge speed": SUBMIT % (b"1", b"1e300", b"1", b"1", b"1"),
    "negative pitch": SUBMIT % (b"1", b"1", b"-1", b"1", b"1"),
    "huge top_k": SUBMIT % (b"1", b"1", b"1", b"5000", b"1"),
    "infinite deadline": SUBMIT % (b"1", b"1", b"1", b"1", b"1e999"),
    "no window": SUBMIT % (b"1", b"1", b"1", b"1", b'1,"window":0'),
}

MALFORMED_REPORTS = {
    "unknown event": EVENTS % b'["z",1]',
    "event without fields": EVENTS % b'["a"]',
    "event that is no array": EVENTS % b'"a"',
    "negative size of audio": EVENTS % b'["a",7,-4],["a",7,4]',
    "empty audio": EVENTS % b'["a",7,0]',
    "half a sample": EVENTS % b'["a",7,3]',
    "more audio than came": EVENTS % b'["a",7,4]',
    "negative offset": EVENTS % b'["w",7,[[-1,5,0,10,false]]]',
    "mark with too few numbers": EVENTS % b'["w",7,[[0,5]]]',
    "negative duration": b'["batch",-0.5,[]]',
    "infinite duration": b'["batch",1e999,[]]',
    "duration that is no number": b'["batch",NaN,[]]',
    "negative memory": b'["memory",{"used":-1,"total":5}]',
    "negative size of the model": b'["memory",{"used":1,"total":5,"model":-1}]',
    "huge memory": b'["memory",{"used":1,"total":' + HUGE + b"}]",
    "no slots": INFO % (b"22050", b"0"),
    "no sample rate": INFO % (b"0", b"1"),
    "negative slots": INFO % (b"22050", b"-4"),
    "huge slots": INFO % (b"22050", HUGE),
}


@pytest.mark.parametrize("header", MALFORMED_REQUESTS.values(), ids=MALFORMED_REQUESTS)
def test_a_malformed_request_is_a_protocol_error(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_request(MessageFrame(header, b""))


@pytest.mark.parametrize("header", IMPOSSIBLE_UTTERANCES.values(), ids=IMPOSSIBLE_UTTERANCES)
def test_an_impossible_utterance_is_a_protocol_error(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_request(MessageFrame(header, b""))


def test_the_base_of_the_impossible_utterances_is_valid() -> None:
    assert isinstance(decode_request(MessageFrame(SUBMIT % (b"1", b"1", b"1", b"1", b"1"), b"")), Submit)


@pytest.mark.parametrize("header", MALFORMED_REPORTS.values(), ids=MALFORMED_REPORTS)
def test_a_malformed_report_is_a_protocol_error(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_report(MessageFrame(header, b""))


def test_the_base_of_the_malformed_reports_is_valid() -> None:
    assert isinstance(decode_report(MessageFrame(INFO % (b"22050", b"4"), b"")), Ready)


@pytest.mark.parametrize("header", [b'["pong"]', EVENTS % b'["a",7,2]'])
def test_unclaimed_audio_is_a_protocol_error(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_report(MessageFrame(header, b"1234"))


def read_requests(stream: bytes) -> None:
    for frame in FrameReader().feed(stream):
        decode_request(frame)


def read_reports(stream: bytes) -> None:
    for frame in FrameReader().feed(stream):
        decode_report(frame)


readers = st.sampled_from([read_requests, read_reports])
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


def accepts(read: Callable[[bytes], None], stream: bytes) -> bool:
    """Return whether a stream is valid. Errors other than ProtocolError fail the test."""
    try:
        read(stream)
    except ProtocolError:
        return False
    return True


@given(readers, st.binary(max_size=200))
@settings(max_examples=500)
def test_random_bytes_raise_nothing_else(read: Callable[[bytes], None], stream: bytes) -> None:
    accepts(read, stream)


@given(readers, st.binary(max_size=200), st.binary(max_size=20))
@settings(max_examples=500)
def test_random_headers_raise_nothing_else(read: Callable[[bytes], None], header: bytes, body: bytes) -> None:
    accepts(read, pack(header, [body]))


@given(
    readers,
    st.sampled_from(["submit", "cancel", "release", "taken", "prepare", "relieve", "ping", "shutdown"])
    | st.sampled_from(["ready", "batch", "memory", "pong", "fatal"])
    | st.text(),
    st.lists(json, max_size=3),
)
@settings(max_examples=500)
def test_random_fields_raise_nothing_else(
    read: Callable[[bytes], None], tag: str, fields: list[object]
) -> None:
    import json as encoder

    accepts(read, pack(encoder.dumps([tag, *fields]).encode()))


@seed(1)
@given(readers, st.sampled_from([*REQUESTS, *REPORTS]), st.integers(0, 2**32))
@settings(max_examples=2000)
def test_mutated_messages_raise_nothing_else(
    read: Callable[[bytes], None], message: Request | Report, chosen: int
) -> None:
    dice = random.Random(chosen)
    stream = bytearray(encode(message))
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(stream) or 1)
        match dice.randrange(4):
            case 0:
                stream[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del stream[at : at + dice.randint(1, 8)]
            case 2:
                stream[at:at] = dice.choice([b"-", b"9" * 30, b"null", b'"', b"[", b"\xff", b"e9"])
            case 3:
                stream[at : at + 4] = stream[at // 2 : at // 2 + 4]
    accepts(read, bytes(stream))


def test_the_fuzzed_readers_accept_whole_messages() -> None:
    assert all(accepts(read_requests, encode(message)) for message in REQUESTS)
    assert all(accepts(read_reports, encode(message)) for message in REPORTS)


def test_importing_the_pool_loads_neither_torch_nor_numpy() -> None:
    program = "import sys, streaming_server.pool.pool; print({'torch', 'numpy'} & sys.modules.keys())"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=50)
    assert imported.stdout.strip() == b"set()"
