"""Origins and host names."""

from __future__ import annotations

import socket

import pytest
from helpers.servers import Server
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streaming_server.errors import BadMessage, Forbidden
from streaming_server.settings import Settings
from streaming_server.web.origins import Origins

pytestmark = pytest.mark.anyio

OWN_NAMES = [
    "127.0.0.1",
    "127.0.0.1:7860",
    "192.168.1.7:7860",
    "[::1]:7860",
    "[2001:db8::1]",
    "localhost",
    "LOCALHOST:7860",
    "localhost.",
    "speech.localhost:7860",
    "speech.example.com",
    "speech.example.com:8443",
    "bound.example.com",
    socket.gethostname(),
]
FOREIGN_NAMES = [
    "evil.example",
    "evil.example:7860",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "sub.speech.example.com",
    "speech.example.com.evil.example",
    "[::1",
    "[::1].evil.example",
    "[::1].evil.example:7860",
    "[::1]evil.example",
    "[localhost]",
    "127.0.0.1:7860.evil.example",
    "localhost:7860/@evil.example",
    ":7860",
]


def origins(**options: object) -> Origins:
    """Return the check of a server bound to a name, with one foreign origin."""
    defaults = {
        "host": "bound.example.com",
        "no_auth": True,
        "allowed_origins": ["https://speech.example.com"],
    }
    return Origins(Settings(**{**defaults, **options}))  # type: ignore[arg-type]


def request(**headers: str) -> HTTPConnection:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "path": "/", "query_string": b""})


@pytest.mark.parametrize("host", OWN_NAMES)
def test_without_keys_own_host_names_are_accepted(host: str) -> None:
    origins().check(request(host=host))
    origins().check(request(host=host, origin=f"http://{host}"))


@pytest.mark.parametrize("host", FOREIGN_NAMES)
def test_without_keys_foreign_host_names_are_refused(host: str) -> None:
    with pytest.raises(Forbidden, match="Host not allowed"):
        origins().check(request(host=host))


@pytest.mark.parametrize("host", FOREIGN_NAMES)
def test_with_keys_any_host_name_is_accepted(host: str) -> None:
    origins(api_keys=["secret"]).check(request(host=host))


@pytest.mark.parametrize("options", [{}, {"api_keys": ["secret"]}], ids=["no keys", "keys"])
def test_only_before_http_1_1_a_request_may_lack_a_host(options: dict[str, object]) -> None:
    scope = {"type": "http", "headers": [], "path": "/", "query_string": b""}
    origins(**options).check(HTTPConnection({**scope, "http_version": "1.0"}))
    with pytest.raises(BadMessage, match="needs a Host header"):
        origins(**options).check(HTTPConnection({**scope, "http_version": "1.1"}))


UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [
        ("GET /voices", ""),
        ("GET /livez", ""),
        ("GET /nothing", ""),
        ("GET /ws/speak", UPGRADE + KEY),
        ("GET /ws/status", UPGRADE + KEY),
        ("GET /tts/websocket", UPGRADE + KEY),
        ("GET /v1/speak", UPGRADE + KEY),
        ("GET /v1/text-to-speech/aria/stream-input", UPGRADE + KEY),
        ("GET /api/tts_streaming", UPGRADE + KEY),
    ],
)
@pytest.mark.parametrize("host", ["", "Host: localhost\r\n"], ids=["without", "with"])
def test_http_1_1_needs_a_host(server: Server, request_line: str, headers: str, host: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"{request_line} HTTP/1.1\r\n{host}{headers}\r\n".encode())
        answer = client.makefile("rb").readline()
    assert (answer.split()[1] == b"400") == (host == "")


@pytest.mark.parametrize("path", ["/livez", "/voices"])
def test_http_1_0_needs_no_host(server: Server, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert client.makefile("rb").readline().split()[1] == b"200"


@pytest.mark.parametrize("origin", ["http://[", "http://", "file://", "http://localhost:1"])
def test_a_malformed_or_foreign_origin_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden, match="Origin not allowed"):
        origins().check(request(host="localhost", origin=origin))


@pytest.mark.parametrize("path", ["/", "/health", "/queue/stats", "/gpu/status", "/metrics", "/docs"])
def test_a_rebound_host_name_is_refused_over_http(server: Server, path: str) -> None:
    status, answer = server.get(path, Host=f"evil.example:{server.port}")
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    assert server.get(path, Host=f"[::1].evil.example:{server.port}")[0] == 403
    assert server.get(path, Host=f"localhost:{server.port}")[0] == 200


@pytest.mark.parametrize("path", ["/ws/speak", "/ws/status"])
async def test_a_rebound_host_name_is_refused_a_websocket(server: Server, path: str) -> None:
    url = f"ws://evil.example:{server.port}{path}"
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, host="127.0.0.1", port=server.port, proxy=None):
            pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("options", [{}, {"api_keys": ["secret"]}], ids=["no keys", "keys"])
@pytest.mark.parametrize("name", ["Host", "Origin"])
@pytest.mark.parametrize("second", ["http://localhost", "http://evil.example"])
def test_a_repeated_header_is_refused(options: dict[str, object], name: str, second: str) -> None:
    """A proxy in front may have read the other one."""
    headers = {"Host": ["localhost"], "Origin": ["http://localhost"]}
    headers[name].append(second.removeprefix("http://") if name == "Host" else second)
    raw = [(each.lower().encode(), value.encode()) for each, values in headers.items() for value in values]
    connection = HTTPConnection({"type": "http", "headers": raw, "path": "/", "query_string": b""})
    with pytest.raises(Forbidden, match="one Host header"):
        origins(**options).check(connection)
