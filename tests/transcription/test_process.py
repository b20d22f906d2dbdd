"""The server's end of the socket to the transcriber."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from streaming_server.errors import BadAudio
from streaming_server.ipc.child import spawn
from streaming_server.ipc.framing import pack
from streaming_server.transcription.messages import Refused, Transcribed, TranscriberReady, encode
from streaming_server.transcription.process import ProcessLost, WhisperProcess
from streaming_server.transcription.transcript import Segment

pytestmark = pytest.mark.anyio

SAMPLE = Path("/nowhere/sample.wav")


@asynccontextmanager
async def process() -> AsyncIterator[tuple[WhisperProcess, socket.socket]]:
    """Yield a process that does nothing, and the end of the socket at which the test answers for it."""
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        one = WhisperProcess(spawn(["sleep", "60"], os.environ), "base", "cpu", reader, writer)
        try:
            yield one, theirs
        finally:
            await one.end()
    assert not one.alive


async def test_answers_may_arrive_in_any_pieces() -> None:
    heard = Transcribed("Hello there.", "en", None, (Segment(0.0, 1.0, -0.1, 0.0),))
    async with process() as (one, link):
        link.sendall(encode(TranscriberReady()) + encode(heard)[:9])
        await one.loaded()
        link.sendall(encode(heard)[9:])
        assert (await one.transcribe(SAMPLE, 1.0)).text == "Hello there."


async def test_a_refused_file_leaves_the_process_alive() -> None:
    async with process() as (one, link):
        link.sendall(encode(Refused("There is no sound in the sample.")))
        with pytest.raises(BadAudio, match="no sound"):
            await one.transcribe(SAMPLE, 1.0)
        assert one.alive


@pytest.mark.parametrize(
    "answer",
    [
        pack(msgspec.msgpack.encode(["heard", "a", "en", None, [[0.0, 1.0]]])),
        pack(msgspec.msgpack.encode(["heard", "a", "en", None, [7]])),
        encode(TranscriberReady()),
        b"\xff" * 8,
    ],
)
async def test_a_malformed_answer_is_the_end_of_the_process(answer: bytes) -> None:
    async with process() as (one, link):
        link.sendall(answer)
        with pytest.raises(ProcessLost):
            await one.transcribe(SAMPLE, 1.0)
        assert not one.alive
        assert "cannot be understood" in one.failure


async def test_a_closed_socket_is_the_end_of_the_process() -> None:
    async with process() as (one, link):
        link.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ProcessLost):
            await one.transcribe(SAMPLE, 1.0)
