"""HTTP details that real clients depend on, sent as raw bytes to real servers."""

from __future__ import annotations

import fcntl
import gzip
import json
import shutil
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import httpx
import psutil
import pytest
from helpers.rest import to
from helpers.servers import Server, established, running_server, steady, until
from helpers.stalled import silent_socket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streaming_server.web.limits import BODIES_PER_ADDRESS

SPEECH = json.dumps({"text": "Hi.", "voice_id": "aria"}).encode()
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
GRACE_S = 1.0


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits a second for headers, and for a body that makes no progress."""
    options = ("--max-workers=1", f"--header-timeout-s={GRACE_S}", "--log-format=json")
    with running_server(tmp_path_factory.mktemp("impatient") / "log", *options) as one:
        yield one


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with to(server) as one:
        yield one


class Line:
    """A connection. Reads one response at a time."""

    def __init__(self, server: Server, data: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.socket.sendall(data)
        self._input = self.socket.makefile("rb")

    def close(self) -> None:
        self._input.close()
        self.socket.close()

    def head(self) -> tuple[int, dict[str, str]]:
        status = int(self._input.readline().split()[1])
        headers = {}
        while line := self._input.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return status, headers

    def response(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = self.head()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._input.readline(), 16):
                body += self._input.read(size)
                self._input.readline()
            self._input.readline()
            return status, headers, body
        if "content-length" in headers:
            return status, headers, self._input.read(int(headers["content-length"]))
        return status, headers, self._input.read()


def request(method: str, path: str, body: bytes = b"", headers: bytes = b"", version: str = "1.1") -> bytes:
    head = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n".encode() + headers
    return head + (b"Content-Length: %d\r\n\r\n" % len(body) if body else b"\r\n") + body


def chunked(body: bytes, *, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("target", ["/", "/generate", "localhost:443"])
@pytest.mark.parametrize(
    "headers", [b"", OFFER, b"Content-Length: 3\r\n"], ids=["none", "an offer", "a body"]
)
def test_connect_is_refused(server: Server, target: str, headers: bytes) -> None:
    """The parser takes what follows for a tunnel, whatever the headers; it parsed without an end."""
    logged = len(server.logged())
    with closing(Line(server, request("CONNECT", target, headers=headers) + b"abc")) as line:
        assert line.response()[0] == 400
    assert "Traceback" not in server.logged()[logged:]


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/static/index.html", "/metrics"])
def test_a_client_that_leaves_its_answers_unread_is_no_error(server: Server, path: str) -> None:
    """It sent a hundred requests at once; uvicorn takes only the last for disconnected."""
    logged = len(server.logged())
    with ExitStack() as stack:
        clients: list[socket.socket] = []
        while len(clients) < 20:
            client = stack.enter_context(silent_socket(server.port))
            clients.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # Reset on close.
            client.sendall(100 * request("GET", path))
            assert client.recv(12) == b"HTTP/1.1 200"
        steady(lambda: sum(map(unread, clients)), 0.3)  # Until the server waits for them to read.
    until(lambda: established(server) == 0)
    assert server.get("/livez")[0] == 200
    assert "Traceback" not in server.logged()[logged:]


def unread(client: socket.socket) -> int:
    """Return the number of bytes that a client could read."""
    return int.from_bytes(fcntl.ioctl(client, termios.FIONREAD, bytes(4)), sys.byteorder)


SOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize("path", ["/ws/speak%0a", "/ws/status%0A", "/v1/text-to-speech/aria/stream-input%0a"])
def test_a_websocket_path_with_control_characters_is_not_found(server: Server, path: str) -> None:
    with closing(Line(server, request("GET", path, headers=SOCKET))) as line:
        assert line.response()[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "version", "status"),
    [
        ("POST", "/ws/speak", "1.1", 404),
        ("PUT", "/ws/status", "1.1", 404),
        ("POST", "/generate", "1.1", 200),
        ("GET", "/ws/speak", "1.0", 404),
    ],
)
def test_only_a_get_of_http_1_1_opens_a_websocket(
    server: Server, method: str, path: str, version: str, status: int
) -> None:
    """Others were left without an answer."""
    body = SPEECH if method != "GET" else b""
    with closing(Line(server, request(method, path, body, SOCKET, version))) as line:
        assert line.response()[0] == status


# Offers to upgrade.


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("chunks", [False, True])
def test_an_offer_of_http2_is_ignored(server: Server, chunks: bool, bytewise: bool) -> None:
    data = request("POST", "/generate", SPEECH, OFFER)
    if chunks:
        data = request("POST", "/generate", headers=OFFER + b"Transfer-Encoding: chunked\r\n") + chunked(
            SPEECH
        )
    with closing(Line(server)) as line:
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [data[at : at + 1] for at in range(len(data))] if bytewise else [data]:
            line.socket.sendall(piece)
        status, headers, body = line.response()
        assert (status, body[:4]) == (200, b"RIFF")
        assert "connection" not in headers
        for again in (b"", OFFER):
            line.socket.sendall(request("GET", "/livez", headers=again))
            assert line.response()[2] == b'{"status":"ok"}'


def test_requests_after_an_offer_can_be_pipelined(server: Server) -> None:
    data = request("POST", "/generate", SPEECH, OFFER) + request("GET", "/livez", headers=OFFER)
    with closing(Line(server, data + request("GET", "/models"))) as line:
        assert line.response()[2][:4] == b"RIFF"
        assert line.response()[2] == b'{"status":"ok"}'
        assert json.loads(line.response()[2])["models"]


@pytest.mark.parametrize("more", [(), ("-H", "Transfer-Encoding: chunked")])
def test_curl_with_http2_speaks(server: Server, more: tuple[str, ...]) -> None:
    curl = shutil.which("curl") or pytest.skip("needs curl")
    command = [curl, "-sS", "--http2", "-d", SPEECH.decode(), *more, f"{server.url}/generate"]
    spoken = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout
    assert spoken[:4] == b"RIFF"


# HTTP/1.0.


@pytest.mark.parametrize("path", ["/generate", "/api/tts/generate"])
def test_http_1_0_gets_no_chunks(server: Server, client: httpx.Client, path: str) -> None:
    with closing(Line(server, request("POST", path, SPEECH, version="1.0"))) as line:
        status, headers, body = line.response()
    assert (status, headers["connection"]) == (200, "close")
    assert "transfer-encoding" not in headers
    assert body == client.post(path, content=SPEECH).content


def test_http_1_0_gets_responses_of_known_length(server: Server) -> None:
    with closing(Line(server, request("GET", "/livez", version="1.0"))) as line:
        status, headers, body = line.response()
    assert (status, headers["connection"], body) == (200, "close", b'{"status":"ok"}')


# Paths.


@pytest.mark.parametrize(
    "path", ["//generate", "/generate/", "//generate//", "/v1//audio/speech", "//v1/audio/speech/"]
)
def test_extra_slashes_lose_no_body(client: httpx.Client, path: str) -> None:
    body = {"text": "Hi.", "voice_id": "aria", "input": "Hi.", "voice": "aria"}
    answer = client.post(f"{client.base_url}{path}".replace("/" + "/generate", path, 1), json=body)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 1000


@pytest.mark.parametrize("path", ["//v1/models", "/v1//models", "/v1/models/", "/v1/models//"])
def test_extra_slashes_find_the_route(server: Server, path: str) -> None:
    with closing(Line(server, request("GET", path))) as line:
        assert line.response()[0] == 200


def test_cartesia_s_list_keeps_its_slash(client: httpx.Client) -> None:
    assert "data" in client.get("/voices/").json()
    assert "voices" in client.get("/voices").json()


@pytest.mark.parametrize(
    "path", ["/voices/%0a", "/voices%0a", "/livez%0A", "/v1/voices/aria%0a", "/livez%00"]
)
def test_control_characters_are_not_found(server: Server, path: str) -> None:
    with closing(Line(server, request("GET", path))) as line:
        status, _, body = line.response()
    assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/jobs", {"GET", "HEAD", "DELETE"}),
        ("PATCH", "/config", {"GET", "HEAD", "PUT"}),
        ("GET", "/voice_mappings/aria", {"PUT", "DELETE"}),
        ("GET", "/generate", {"POST"}),
    ],
)
def test_allow_lists_the_methods_of_all_routes(
    client: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed


# Bodies.


def test_a_byte_order_mark_before_json_is_skipped(client: httpx.Client) -> None:
    assert client.post("/generate", content=b"\xef\xbb\xbf" + SPEECH).content[:4] == b"RIFF"


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_a_gzip_body_is_read(client: httpx.Client, name: str) -> None:
    headers = {"Content-Encoding": name}
    for path, body in (("/generate", SPEECH), ("/v1/audio/speech", b'{"input":"Hi."}')):
        answer = client.post(path, content=gzip.compress(body, mtime=0), headers=headers)
        assert answer.status_code == 200, answer.text


ESCAPED = json.dumps("\U0001f600" * 102_400)
"""The longest text, with every character as two escapes: 1.2 MB."""
TOO_LONG = json.dumps("\U0001f600" * 120_000)
"""More bytes than a body may have: 1.4 MB."""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", f'{{"voice_id": "aria", "text": {ESCAPED}}}'),
        ("/v1/audio/speech", f'{{"input": {ESCAPED}}}'),
        ("/v1/speak", f'{{"text": {ESCAPED}}}'),
        ("/v1/text-to-speech/aria", f'{{"text": {ESCAPED}}}'),
        ("/tts/bytes", f'{{"voice": "aria", "output_format": {{}}, "transcript": {ESCAPED}}}'),
    ],
)
def test_the_longest_text_fits_however_it_is_written(client: httpx.Client, path: str, body: str) -> None:
    assert client.post(path, content=body).status_code != 413
    refused = client.post(path, content=body.replace(ESCAPED, TOO_LONG))
    assert refused.status_code == 413
    assert "The body is longer than" in refused.text


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("gzip", SPEECH, "not gzip"),
        ("gzip", gzip.compress(SPEECH, mtime=0)[:-9], "incomplete"),
        ("gzip", b"", "incomplete"),
        ("gzip", gzip.compress(SPEECH, mtime=0) + b"more", "after its end"),
        ("br", SPEECH, "send gzip or none"),
    ],
)
def test_a_malformed_gzip_body_is_refused(client: httpx.Client, name: str, body: bytes, why: str) -> None:
    answer = client.post("/generate", content=body, headers={"Content-Encoding": name})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_message")
    assert why in answer.json()["detail"]


def test_a_gzip_bomb_takes_no_memory(server: Server, client: httpx.Client) -> None:
    bomb = gzip.compress(bytes(500_000_000), 9)
    assert len(bomb) < 600_000
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    for _ in range(5):
        answer = client.post("/generate", content=bomb, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert process.memory_info().rss - before < 20_000_000


@pytest.mark.parametrize("path", ["/generate", "/v1/audio/speech", "/v1/speak", "/config"])
def test_a_body_that_stalls_times_out(impatient: Server, path: str) -> None:
    method = "PUT" if path == "/config" else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode()
    with closing(Line(impatient, head)) as line:
        started = time.monotonic()
        status, headers, body = line.response()
        assert 0.5 * GRACE_S < time.monotonic() - started < 8 * GRACE_S
        assert (status, headers["connection"]) == (408, "close")
        assert b"did not arrive in time" in body
        assert line.socket.recv(1) == b""


def test_a_trickled_body_does_not_extend_the_timeout(impatient: Server) -> None:
    head = b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with closing(Line(impatient, head)) as line:
        line.socket.settimeout(0.1)
        started = time.monotonic()
        answer = b""
        while not answer and time.monotonic() - started < 20:
            line.socket.sendall(b" ")
            try:
                answer = line.socket.recv(100)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 8 * GRACE_S


def test_a_slow_body_that_makes_progress_is_read(impatient: Server) -> None:
    body = SPEECH.replace(b"}", b', "pad": "' + b"x" * 30_000 + b'"}')
    head = b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with closing(Line(impatient, head)) as line:
        started = time.monotonic()
        for at in range(0, len(body), 3000):
            line.socket.sendall(body[at : at + 3000])
            time.sleep(0.2)  # The pace of the body, not a wait.
        assert time.monotonic() - started > 1.5 * GRACE_S
        assert line.response()[0] == 200


def test_many_slow_bodies_use_few_slots_and_little_memory(start_server: Callable[..., Server]) -> None:
    """300 bodies, each one byte short of a megabyte, used to hold 300 MB indefinitely."""
    server = start_server("--max-workers=1", "--header-timeout-s=2")
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    most = 1024 * 1024
    head = b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % most
    with ExitStack() as stack:
        for _ in range(300):
            line = stack.enter_context(closing(Line(server, head)))
            line.socket.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                line.socket.sendall(bytes(most - 1))
        assert process.memory_info().rss - before < 2 * BODIES_PER_ADDRESS * most
        other = stack.enter_context(closing(socket.socket()))
        other.bind(("127.0.0.9", 0))
        other.settimeout(20)
        other.connect(("127.0.0.1", server.port))
        other.sendall(request("POST", "/generate", SPEECH))
        assert other.recv(100).startswith(b"HTTP/1.1 200")
    # malloc keeps what fragments its heap, for the next bodies; nothing else is kept.
    until(lambda: process.memory_info().rss - before < 1.5 * BODIES_PER_ADDRESS * most, timeout_s=20)
    with to(server) as client:
        assert client.post("/generate", content=SPEECH).status_code == 200


def test_hundreds_of_bodies_at_once_are_all_read(server: Server) -> None:
    """Headers and body arrive in two packets, as from most clients; bodies wait unread for a slot."""
    head = b"PUT /config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n"
    with ExitStack() as stack:
        lines = [stack.enter_context(closing(Line(server, head))) for _ in range(3 * BODIES_PER_ADDRESS)]
        for line in lines:
            line.socket.sendall(b'{"no":true}')
        assert {line.response()[0] for line in lines} == {422}


# Headers.


def test_a_name_in_a_header_is_percent_encoded(start_server: Callable[..., Server]) -> None:
    with to(start_server("--max-workers=1")) as client:
        for voice in ("Алиса", "José"):
            made = client.post("/voice_mappings", json={"voice_id": voice})
            assert made.status_code == 200, made.text
            answer = client.post("/v1/speak", params={"model": voice}, json={"text": "Hi."})
            assert answer.status_code == 200, answer.text
            assert httpx.QueryParams(f"name={answer.headers['dg-model-name']}")["name"] == voice
            assert client.get(f"/preview/{voice}").status_code == 200


def test_a_browser_may_not_embed_audio_in_a_foreign_page(client: httpx.Client) -> None:
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "audio"}
    for site in ("cross-site", "same-site"):
        answer = client.get("/preview/aria", headers=embedded | {"Sec-Fetch-Site": site})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    for site in ("same-origin", "none"):
        answer = client.get("/preview/aria", headers=embedded | {"Sec-Fetch-Site": site})
        assert answer.status_code == 200
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=followed).status_code == 200
    framed = followed | {"Sec-Fetch-Dest": "iframe"}
    assert client.get("/", headers=framed).status_code == 403


def test_an_allowed_page_may_embed_audio(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--allowed-origins=https://app.example")
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "audio"}
    with to(server) as client:
        answer = client.get("/preview/aria", headers=embedded | {"Referer": "https://app.example/"})
        assert answer.status_code == 200
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert client.get("/preview/aria", headers=embedded).status_code == 403
        referer = {"Referer": "https://app.example.evil.example/"}
        assert client.get("/preview/aria", headers=embedded | referer).status_code == 403


# Websockets that are refused.


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/ws/nowhere", "/", "/voices", "//ws/nowhere"])
async def test_an_unknown_websocket_path_is_a_404(server: Server, path: str) -> None:
    before = len(server.logged())
    with pytest.raises(InvalidStatus) as caught:
        async with connect(server.ws_url + path, proxy=None):
            pass
    response = caught.value.response
    assert response.status_code == 404
    assert json.loads(response.body or b"")["error"]["message"] == "There is no websocket at this path."
    until(lambda: "websocket refused" in server.logged()[before:])
    logged = server.logged()[before:]
    assert logged.count("websocket refused") == 1
    assert '"level":"error"' not in logged


@pytest.mark.anyio
async def test_a_refused_handshake_logs_one_line(server: Server) -> None:
    before = len(server.logged())
    with pytest.raises(InvalidStatus):
        async with connect(
            f"{server.ws_url}/ws/speak?token=secret", proxy=None, origin="https://evil.example"
        ):  # type: ignore[arg-type]
            pass
    until(lambda: "websocket refused" in server.logged()[before:])
    logged = server.logged()[before:]
    assert '"level":"error"' not in logged
    assert "secret" not in logged


@pytest.mark.anyio
async def test_a_websocket_path_may_have_extra_slashes(server: Server) -> None:
    async with connect(f"{server.ws_url}//ws//speak/", proxy=None) as channel:
        assert json.loads(await channel.recv())["type"] == "ready"
