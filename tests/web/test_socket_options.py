"""Clients that do not read: what they cost, and how long they may pause."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import msgpack
import psutil
import pytest
from helpers.doors import cartesia_request
from helpers.foreign import ENDLESS, LONG, TEXT
from helpers.servers import Server, free_port, steady, until
from helpers.stalled import silent_socket, stalled_websocket

from streaming_server.web.socket_options import UNACKNOWLEDGED_S

MEGABYTE = 2**20
READERS, WARM_UP = 50, 8
PAUSE_S = UNACKNOWLEDGED_S + 4
"""Longer than the kernel waits for the client of a connection that is over."""
CARTESIA = {"voice": {"mode": "id", "id": "aria"}, "transcript": LONG * 38}
FLOATS = {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 48000}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "pcm": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "pcm"}),
    "events": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "pcm", "stream_format": "sse"}),
    "mp3": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "mp3"}),
    "aac": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "aac"}),
    "flac": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "flac"}),
    "opus": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "opus"}),
    "slow": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "pcm", "speed": 0.25}),
    "slow aac": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "aac", "speed": 0.25}),
    "slow opus": ("/v1/audio/speech", {"input": LONG * 38, "response_format": "opus", "speed": 0.25}),
    "endless aac": ("/v1/audio/speech", {"input": ENDLESS * 12, "response_format": "aac"}),
    "endless slow aac": (
        "/v1/audio/speech",
        {"input": ENDLESS * 12, "response_format": "aac", "speed": 0.25},
    ),
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


SPEECH = cartesia_request(LONG * 3, context_id="one")
TURN = {"text": f"{LONG} "}
SPEAK = json.dumps({"type": "Speak", "text": LONG})
FLUSH = json.dumps({"type": "Flush"})
EOS = msgpack.packb({"type": "Eos"})
WEBSOCKETS: dict[str, tuple[str, list[str | bytes]]] = {
    "native": ("/ws/speak", [json.dumps({"type": "speak", "text": LONG})]),
    "native floats": (
        "/ws/speak",
        [json.dumps({"type": "speak", "text": LONG, "encoding": "pcm_f32le", "sample_rate": 48000})],
    ),
    "native contexts": (
        "/ws/speak",
        [json.dumps({"type": "speak", "text": TEXT * 9, "context": str(number)}) for number in range(3)],
    ),
    "cartesia": ("/tts/websocket", [json.dumps(SPEECH)]),
    "cartesia floats": (
        "/tts/websocket",
        [json.dumps({**SPEECH, "output_format": FLOATS, "add_timestamps": True})],
    ),
    "elevenlabs": ("/v1/text-to-speech/aria/stream-input", [json.dumps(TURN), json.dumps({"text": ""})]),
    "elevenlabs pcm": (
        "/v1/text-to-speech/aria/multi-stream-input?output_format=pcm_48000",
        [json.dumps(TURN), json.dumps({"flush": True})],
    ),
    "deepgram": ("/v1/speak?model=aria&encoding=linear16&sample_rate=48000", [SPEAK, FLUSH]),
    "kyutai": (
        "/api/tts_streaming?voice=aria",
        [msgpack.packb({"type": "Text", "text": LONG}), EOS],
    ),
}


def post(server: Server, path: str, body: dict[str, Any]) -> socket.socket:
    """Send a request over a connection that takes little unread."""
    line, raw = silent_socket(server.port), json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    line.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
    return line


def settled(server: Server) -> int:
    """Return the server's resident memory, in bytes, once it has stopped growing."""
    process = psutil.Process(server.process.pid)
    return int(steady(lambda: process.memory_info().rss, 2.0, MEGABYTE))


def cost_of(server: Server, open_one: Callable[[], socket.socket]) -> tuple[float, list[socket.socket]]:
    """Return the bytes of memory that each of many clients costs which speak and do not read, and these."""

    def contexts() -> int:
        return int(server.get("/queue/stats")[1]["contexts"])

    warm_up = [open_one() for _ in range(WARM_UP)]  # Load codecs, start threads.
    until(lambda: contexts() >= WARM_UP)
    settled(server)
    for client in warm_up:
        client.close()
    until(lambda: contexts() == 0)
    before = settled(server)
    clients = [open_one() for _ in range(READERS)]
    until(lambda: contexts() >= READERS)
    cost = (settled(server) - before) / READERS
    assert contexts() >= READERS, "the clients were disconnected"
    return cost, clients


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_stalled_reader_costs_less_than_a_megabyte(start_server: Callable[..., Server], kind: str) -> None:
    """It reads the head of its answer, and no more. Kernel buffers do not count."""
    server = start_server()
    path, body = KINDS[kind]

    def begun() -> socket.socket:
        reader = post(server, path, body)
        assert reader.recv(200).startswith(b"HTTP/1.1 200")
        return reader

    cost, readers = cost_of(server, begun)
    assert cost < MEGABYTE
    for reader in readers:
        reader.close()
    until(lambda: server.get("/queue/stats")[1]["contexts"] == 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WEBSOCKETS)
def test_a_stalled_websocket_costs_less_than_a_megabyte(
    start_server: Callable[..., Server], kind: str
) -> None:
    """It reads the head of the handshake, and no more."""
    server = start_server("--send-timeout-s=60")
    path, messages = WEBSOCKETS[kind]
    cost, clients = cost_of(server, lambda: stalled_websocket(server, path, messages))
    assert cost < MEGABYTE
    for client in clients:
        client.close()
    until(lambda: server.get("/queue/stats")[1]["contexts"] == 0)


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_stalled_wyoming_client_costs_less_than_a_megabyte(
    start_server: Callable[..., Server], streamed: bool
) -> None:
    port = free_port()
    server = start_server(f"--wyoming-port={port}", "--send-timeout-s=60")
    kinds = ("synthesize-start", "synthesize-chunk", "synthesize-stop") if streamed else ("synthesize",)
    request = b"".join(json.dumps({"type": kind, "data": {"text": LONG}}).encode() + b"\n" for kind in kinds)

    def stalled() -> socket.socket:
        client = silent_socket(port)
        client.sendall(request)
        return client

    cost, clients = cost_of(server, stalled)
    assert cost < MEGABYTE
    for client in clients:
        client.close()


@pytest.mark.slow
def test_a_reader_may_pause_for_longer_than_the_kernel_waits_for_a_vanished_one(server: Server) -> None:
    """A player whose buffer is full, or that a listener pauses, reads nothing; the kernel called it dead."""
    with post(server, "/generate", {"text": LONG, "voice_id": "aria", "response_format": "pcm"}) as paused:
        assert paused.recv(64).startswith(b"HTTP/1.1 200")
        time.sleep(PAUSE_S)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            data = paused.recv(65536)
            assert data
            received += data
    assert len(received) > 2 * 22050 * 60


@pytest.mark.slow
def test_a_wyoming_client_may_pause_like_any_other(start_server: Callable[..., Server]) -> None:
    """The kernel took it for vanished after ten seconds, whatever it had left to play."""
    port = free_port()
    start_server(f"--wyoming-port={port}")
    with silent_socket(port) as client:
        client.sendall(json.dumps({"type": "synthesize", "data": {"text": LONG}}).encode() + b"\n")
        assert client.recv(4096)
        time.sleep(PAUSE_S)
        tail = b""
        while b'"audio-stop"' not in tail:
            data = client.recv(65536)
            assert data, "disconnected"
            tail = tail[-100:] + data
