"""Frames of the pipe between the server and a worker."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import MAX_FRAME, FrameReader, MessageFrame, pack

frames = st.builds(MessageFrame, st.binary(max_size=40), st.binary(max_size=40))


@given(st.lists(frames, max_size=6), st.data())
def test_frames_survive_any_split(sent: list[MessageFrame], data: st.DataObject) -> None:
    stream = b"".join(pack(header, [body]) for header, body in sent)
    reader, received, at = FrameReader(), list[MessageFrame](), 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        received += reader.feed(stream[at : at + size])
        at += size
    assert received == sent


def test_the_parts_of_a_body_are_joined() -> None:
    assert pack(b"h", [b"ab", b"c"]) == pack(b"h", [b"abc"])


@pytest.mark.parametrize(
    "prefix",
    [
        struct.pack("<II", MAX_FRAME + 1, 2),
        struct.pack("<II", 4, 100),
        struct.pack("<II", 3, 0),
        b"\xff" * 8,
    ],
    ids=["too large", "header beyond the frame", "smaller than its size field", "all ones"],
)
def test_impossible_size_is_an_error(prefix: bytes) -> None:
    whole = pack(b"header", [b"body"])
    reader, received = FrameReader(), list[MessageFrame]()
    with pytest.raises(ProtocolError):
        for frame in reader.feed(whole + prefix):
            received.append(frame)
    assert received == [MessageFrame(b"header", b"body")]
