"""Clients that do not read: what they cost, and how long they may pause."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from helpers.foreign import LONG
from helpers.servers import Server, until

MEGABYTE = 2**20
READERS, WARM_UP = 50, 8
CARTESIA = {"voice": {"mode": "id", "id": "aria"}, "transcript": LONG * 38}
FLOATS = {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 48000}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "pcm": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "pcm"}),
    "events": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "pcm", "stream_format": "sse"}),
    "mp3": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "mp3"}),
    "opus": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "opus"}),
    "slow": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "pcm", "speed": 0.25}),
    "wav": ("/generate", {"text": LONG * 38, "voice_id": "aria"}),
    "floats": ("/tts/bytes", {**CARTESIA, "output_format": FLOATS}),
    "timed events": ("/tts/sse", {**CARTESIA, "output_format": FLOATS, "add_timestamps": True}),
    "lines": (
        "/v1/text-to-speech/aria/stream/with-timestamps?output_format=pcm_48000",
        {"text": LONG * 38},
    ),
    "object": ("/v1/text-to-speech/aria/with-timestamps?output_format=pcm_48000", {"text": LONG * 38}),
    "linear16": ("/v1/speak?encoding=linear16&sample_rate=48000", {"text": LONG * 38}),
}


def post(server: Server, path: str, body: dict[str, Any]) -> socket.socket:
    """Send a request over a connection that takes little unread."""
    line, raw = socket.socket(), json.dumps(body).encode()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", server.port))
    line.settimeout(60)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    line.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
    return line


def settled(server: Server) -> int:
    """Return the server's resident memory, in bytes, once it has stopped growing."""
    process, highest, since = psutil.Process(server.process.pid), 0, time.monotonic()
    while time.monotonic() - since < 2.0:
        if (now := process.memory_info().rss) > highest + MEGABYTE:
            highest, since = now, time.monotonic()
        time.sleep(0.05)
    return highest


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_stalled_reader_costs_less_than_a_megabyte(start_server: Callable[..., Server], kind: str) -> None:
    """It reads the head of its answer, and no more. Kernel buffers do not count."""
    server = start_server()
    path, body = KINDS[kind]
    for first in [post(server, path, body) for _ in range(WARM_UP)]:  # Load codecs, start threads.
        assert first.recv(200).startswith(b"HTTP/1.1 200")
        first.close()
    until(lambda: server.get("/queue/stats")[1]["contexts"] == 0)
    before = settled(server)
    readers = [post(server, path, body) for _ in range(READERS)]
    for reader in readers:
        assert reader.recv(200).startswith(b"HTTP/1.1 200")
    assert (settled(server) - before) / READERS < MEGABYTE
    assert server.get("/queue/stats")[1]["contexts"] == READERS
    for reader in readers:
        reader.close()
    until(lambda: server.get("/queue/stats")[1]["contexts"] == 0)


@pytest.mark.slow
def test_a_reader_may_pause_for_longer_than_the_kernel_waits_for_a_vanished_one(server: Server) -> None:
    """A player whose buffer is full, or that a listener pauses, reads nothing; the kernel called it dead."""
    with post(server, "/generate", {"text": LONG, "voice_id": "aria", "response_format": "pcm"}) as paused:
        assert paused.recv(64).startswith(b"HTTP/1.1 200")
        time.sleep(14)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            data = paused.recv(65536)
            assert data
            received += data
    assert len(received) > 2 * 22050 * 60
