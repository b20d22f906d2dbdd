"""Raw frames and requests: floods, stalled and incomplete ones."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import pytest
import uvicorn
from helpers.servers import Server, established, running_server, steady, until
from helpers.talk import talking
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState
from websockets.asyncio.client import connect

from streaming_server.web.websocket.protocol import SpeechSocket

pytestmark = pytest.mark.anyio

LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 60
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HEADER_TIMEOUT_S = 1.0
PATIENCE_S = 20.0


class RawSocket:
    """A websocket that sends any frame."""

    def __init__(
        self, server: Server, *, receive_buffer: int | None = None, headers: str = "", early: bytes = b""
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(handshake(server.port, headers) + early)
        self.input = self.socket.makefile("rb")
        self.status = int(self.input.readline().split()[1])
        while self.input.readline().strip():
            pass

    def send(self, opcode: int, payload: bytes = b"", *, final: bool = True) -> None:
        self.socket.sendall(frame(opcode, payload, final=final))

    def read(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        first, length = self.input.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self.input.read(2))
        return first & 15, self.input.read(length)

    def until(self, *opcodes: int) -> tuple[int, bytes]:
        while (found := self.read())[0] not in opcodes:
            pass
        return found

    def close_code(self) -> int:
        """Return the server's close code; check that nothing follows."""
        code: int = struct.unpack("!H", self.until(CLOSE)[1][:2])[0]
        assert self.input.read() == b""
        return code


def handshake(port: int, headers: str = "") -> bytes:
    return (
        f"GET /ws/speak HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()


def frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """Return a client's frame, masked with zeros."""
    head = bytes([opcode | (0x80 if final else 0)])
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = b"\xfe" + struct.pack("!H", size)
    else:
        length = b"\xff" + struct.pack("!Q", size)
    return head + length + bytes(4) + payload


@contextmanager
def raw_socket(server: Server, **options: int | str | bytes) -> Iterator[RawSocket]:
    one = RawSocket(server, **options)  # type: ignore[arg-type]
    with one.socket, one.input:
        yield one


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits a short time for headers and a long time for readers."""
    options = ("--max-workers=1", f"--header-timeout-s={HEADER_TIMEOUT_S}", "--send-timeout-s=60")
    log = tmp_path_factory.mktemp("hasty") / "log"
    with running_server(log, *options, "--max-lead-ms=6000000", "--log-format=json") as one:
        yield one


def test_a_pong_has_the_payload_of_its_ping(server: Server) -> None:
    with raw_socket(server) as client:
        for payload in (b"", b"one", b"x" * 125):
            client.send(PING, payload)
            assert client.until(PONG) == (PONG, payload)


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("together", [True, False])
def test_a_flood_of_pings_or_pongs_closes_with_1008(server: Server, opcode: int, together: bool) -> None:
    before = len(server.logged())
    flood = [frame(opcode, b"x" * 100)] * 500
    with raw_socket(server) as client:
        for piece in [b"".join(flood)] if together else flood:
            client.socket.sendall(piece)
        assert client.close_code() == 1008
    assert '"level":"error"' not in server.logged()[before:]


def stalled(server: Server) -> RawSocket:
    """Return a client that asked for a long speech and reads none of it, when the server waits for it."""

    def audio_s() -> float:
        found = re.search(r"^dia_audio_seconds_total (\S+)", server.get("/metrics")[1], re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    heard = audio_s()
    client = RawSocket(server, receive_buffer=4096)
    client.send(TEXT, json.dumps({"type": "speak", "text": LONG}).encode())
    until(lambda: audio_s() > heard)
    steady(audio_s, 1.0)
    return client


def test_a_client_that_does_not_read_gets_the_latest_pong_only(hasty: Server) -> None:
    client = stalled(hasty)
    with client.socket, client.input:
        for payload in (b"first", b"second", b"third"):
            client.send(PING, payload)
            time.sleep(0.1)  # Each in a separate packet.
        assert client.until(PONG) == (PONG, b"third")
        client.send(PING, b"fourth")
        assert client.until(PONG) == (PONG, b"fourth")


def test_a_flood_by_a_client_that_does_not_read_is_aborted(hasty: Server) -> None:
    before = established(hasty)
    client = stalled(hasty)
    assert established(hasty) == before + 1
    with client.socket, client.input:
        client.socket.sendall(frame(PING, b"x" * 125) * 500)
        until(lambda: established(hasty) == before, timeout_s=5)
    until(lambda: hasty.get("/queue/stats")[1]["contexts"] == 0)


def test_a_message_may_be_fragmented(server: Server) -> None:
    with raw_socket(server) as client:
        message = '{"type":"ping","id":"Grüße"}'.encode()
        client.send(TEXT, message[:1], final=False)
        for at in range(1, len(message)):
            client.send(CONTINUATION, message[at : at + 1], final=False)
        client.send(CONTINUATION, b"")
        while (answer := json.loads(client.until(TEXT)[1]))["type"] != "pong":
            pass
        assert answer["id"] == "Grüße"


def test_endless_fragments_close_with_1009(server: Server) -> None:
    with raw_socket(server) as client:
        client.send(TEXT, b"", final=False)
        client.socket.sendall(frame(CONTINUATION, b"", final=False) * 5000)
        assert client.close_code() == 1009


@pytest.mark.parametrize("text", [b'{"type":"ping","id":"\xff"}', b"\xed\xa0\x80", b'{"type":"ping"}\xc3'])
def test_text_that_is_not_utf8_closes_with_1007(server: Server, text: bytes) -> None:
    before = len(server.logged())
    with raw_socket(server) as client:
        client.send(TEXT, text)
        assert client.close_code() == 1007
    assert '"level":"error"' not in server.logged()[before:]


def test_frames_may_come_with_the_handshake(server: Server) -> None:
    with raw_socket(server, early=frame(PING, b"early") + frame(TEXT, b"nothing")) as client:
        assert client.until(PONG) == (PONG, b"early")
        while b'"bad_message"' not in client.until(TEXT)[1]:
            pass


def test_a_close_frame_may_come_with_the_handshake(server: Server) -> None:
    before = len(server.logged())
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
            client.sendall(handshake(server.port) + frame(CLOSE))
            while client.recv(65536):
                pass
    assert '"level":"error"' not in server.logged()[before:]
    assert "Traceback" not in server.logged()[before:]


def test_a_close_during_speech_ends_its_contexts(server: Server) -> None:
    before = len(server.logged())
    with raw_socket(server) as client:
        client.send(TEXT, b'{"type":"speak","text":"One. Two. Three. Four."}')
        client.until(BINARY)
        client.send(TEXT, b"\xff")
        assert client.close_code() == 1007
    until(lambda: server.get("/queue/stats")[1]["contexts"] == 0)
    assert '"level":"error"' not in server.logged()[before:]


@pytest.mark.parametrize("size", [131_073, 5_000_000])
def test_a_message_too_large_closes_with_1009(server: Server, size: int) -> None:
    with raw_socket(server) as client:
        client.send(TEXT, b"x" * size)
        assert client.close_code() == 1009


def test_a_client_that_is_behind_with_reading_gets_the_close_frame(server: Server) -> None:
    """It is sent up to a minute of audio, more than the server's and the system's buffers hold."""
    with raw_socket(server, receive_buffer=4096) as client:
        client.send(TEXT, json.dumps({"type": "speak", "text": LONG, "max_lead_ms": 60_000}).encode())
        client.until(BINARY)
        until(lambda: unsent(server, client) > 0)
        client.send(TEXT, b"x" * 400_000)
        assert client.close_code() == 1009
    until(lambda: server.get("/queue/stats")[1]["contexts"] == 0)


async def test_the_server_may_stop_while_a_client_is_leaving() -> None:
    """It has sent its close frame, and what it has not read keeps its connection open."""
    left, done = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(10_000_000)})
        await receive()
        left.set()
        await done.wait()

    state = ServerState()
    config = uvicorn.Config(app, log_config=None)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: SpeechSocket(config, state, {}), "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake(port))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(CLOSE))
        with anyio.fail_after(10):
            await left.wait()
        [connection] = state.connections
        connection.shutdown()
        done.set()
        writer.transport.abort()
        with anyio.fail_after(10):
            while state.connections:
                await anyio.sleep(0.01)


def unsent(server: Server, client: RawSocket) -> int:
    """Return the bytes for this client that the server's system cannot send as the client does not read."""
    ends = f":{server.port:04X}".encode(), f":{client.socket.getsockname()[1]:04X}".encode()
    for line in Path("/proc/net/tcp").read_bytes().splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if (local.endswith(ends[0]), remote.endswith(ends[1])) == (True, True):
            return int(queues.partition(b":")[0], 16)
    return 0


def test_a_fragmented_message_too_large_closes_with_1009(server: Server) -> None:
    with raw_socket(server) as client:
        client.send(TEXT, b"x" * 70_000, final=False)
        client.send(CONTINUATION, b"x" * 70_000, final=False)
        assert client.close_code() == 1009


@pytest.mark.parametrize("opcode", [3, 11])
def test_unknown_opcodes_close_with_1002(server: Server, opcode: int) -> None:
    with raw_socket(server) as client:
        client.send(opcode, b"x")
        assert client.close_code() == 1002


def test_a_handshake_with_too_long_a_header_is_a_431(server: Server) -> None:
    with raw_socket(server, headers=f"X-Long: {'x' * 9000}\r\n") as client:
        assert client.status == 431


# Incomplete requests.


def opened(server: Server, start: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    client.sendall(start)
    return client


def seconds_until_closed(client: socket.socket) -> float:
    started = time.monotonic()
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - started


@pytest.mark.parametrize(
    "start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"\r\n", b"GET / HTTP/1.1\r\nUpg"]
)
def test_an_incomplete_request_times_out(hasty: Server, start: bytes) -> None:
    with opened(hasty, start) as client:
        assert 0.5 * HEADER_TIMEOUT_S < seconds_until_closed(client) < 5 * HEADER_TIMEOUT_S


def test_slow_headers_do_not_extend_the_timeout(hasty: Server) -> None:
    with opened(hasty, b"GET / HTTP/1.1\r\n") as client:
        client.settimeout(0.1)
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - started < PATIENCE_S:
                client.sendall(b"X-More: of the same\r\n")
                try:
                    if client.recv(1024) == b"":
                        raise ConnectionResetError
                except TimeoutError:
                    continue
        assert time.monotonic() - started < 5 * HEADER_TIMEOUT_S


def answer_of(client: socket.socket) -> bytes:
    """Read until the end of /livez's body."""
    answer = b""
    while not answer.endswith(b'{"status":"ok"}'):
        more = client.recv(65536)
        assert more, answer
        answer += more
    return answer


def test_a_connection_is_kept_alive_but_not_for_half_a_request(hasty: Server) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with opened(hasty, request) as client:
        assert answer_of(client).startswith(b"HTTP/1.1 200")
        time.sleep(1.5 * HEADER_TIMEOUT_S)  # Between requests, headers have no deadline.
        client.sendall(request)
        assert answer_of(client).startswith(b"HTTP/1.1 200")
        client.sendall(request[:20])
        assert seconds_until_closed(client) < 5 * HEADER_TIMEOUT_S


def test_endless_headers_are_cut_off(server: Server) -> None:
    with opened(server, b"GET / HTTP/1.1\r\nX-Long: ") as client:
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                client.sendall(b"x" * 65536)


async def test_the_header_timeout_does_not_end_a_websocket(hasty: Server) -> None:
    async with connect(f"{hasty.ws_url}/ws/status", proxy=None) as channel:
        states = [json.loads(await channel.recv()) for _ in range(4)]
    assert states[-1]["uptime_s"] - states[0]["uptime_s"] > 1.5 * HEADER_TIMEOUT_S


@pytest.mark.slow
async def test_a_thousand_incomplete_requests_time_out(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--header-timeout-s=3")
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(opened(server, b"GET /ws/speak HTTP/1.1\r\nHost: local"))
        async with talking(server.ws_url) as talk:
            assert (await talk.speak("Meanwhile."))["type"] == "done"
        until(lambda: established(server) == 0)
