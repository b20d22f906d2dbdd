"""Who is let in by name, and how many at once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest
from helpers.servers import Server
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streaming_server.errors import Draining, Forbidden, Full, RateLimited
from streaming_server.settings import Settings
from streaming_server.web.guard import WAITING_FOR_KEYS, Guard, MessageRate

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
    ":7860",
]


def guard(**options: object) -> Guard:
    """Of a server bound to a name, with one foreign origin."""
    defaults = {
        "host": "bound.example.com",
        "no_auth": True,
        "allowed_origins": ["https://speech.example.com"],
    }
    return Guard(Settings(**{**defaults, **options}))  # type: ignore[arg-type]


def request(**headers: str) -> HTTPConnection:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "path": "/", "query_string": b""})


@pytest.mark.parametrize("host", OWN_NAMES)
def test_a_server_without_a_key_answers_to_its_own_names(host: str) -> None:
    guard().check_origin(request(host=host))
    guard().check_origin(request(host=host, origin=f"http://{host}"))


@pytest.mark.parametrize("host", FOREIGN_NAMES)
def test_a_server_without_a_key_answers_to_no_other(host: str) -> None:
    with pytest.raises(Forbidden, match="name"):
        guard().check_origin(request(host=host))


@pytest.mark.parametrize("host", FOREIGN_NAMES)
def test_with_a_key_any_name_will_do(host: str) -> None:
    guard(api_keys=["secret"]).check_origin(request(host=host))


def test_programs_that_name_no_host_come_in() -> None:
    guard().check_origin(request())


@pytest.mark.parametrize("origin", ["http://[", "http://", "file://", "http://localhost:1"])
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden):
        guard().check_origin(request(host="localhost", origin=origin))


@pytest.mark.parametrize("path", ["/", "/livez", "/queue/stats", "/gpu/status", "/metrics", "/static/app.js"])
def test_a_rebound_name_reads_nothing(server: Server, path: str) -> None:
    status, answer = server.get(path, Host=f"evil.example:{server.port}")
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    assert server.get(path, Host=f"localhost:{server.port}")[0] == 200


@pytest.mark.parametrize("path", ["/ws/speak", "/ws/status"])
async def test_a_rebound_name_opens_no_websocket(server: Server, path: str) -> None:
    url = f"ws://evil.example:{server.port}{path}"
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, host="127.0.0.1", port=server.port, proxy=None):
            pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize(
    ("place", "places"),
    [
        (lambda one: one.speaking(True), 3),
        (lambda one: one.watching(), 2),
        (lambda one: one.waiting(), WAITING_FOR_KEYS),
    ],
    ids=["speaking", "watching", "waiting"],
)
def test_places_are_so_many_and_can_be_left(
    place: Callable[[Guard], AbstractContextManager[None]], places: int
) -> None:
    one = guard(max_connections=3, max_status_connections=2)
    with ExitStack() as taken:
        for _ in range(places):
            taken.enter_context(place(one))
        for _ in range(2):
            with pytest.raises(Full), place(one):
                pass
    with ExitStack() as taken:
        for _ in range(places):
            taken.enter_context(place(one))


def test_who_finds_no_worker_takes_no_place() -> None:
    one = guard(max_connections=1)
    with pytest.raises(Full, match="worker"), one.speaking(False):
        pass
    with one.speaking(True):
        pass


def test_nobody_comes_in_while_the_server_drains() -> None:
    one = guard()
    one.draining = True
    with pytest.raises(Draining), one.speaking(True):
        pass


def test_a_rate_has_a_burst_of_two_seconds() -> None:
    rate = MessageRate(50)
    for _ in range(100):
        rate.count()
    with pytest.raises(RateLimited, match="50 messages"):
        for _ in range(100):  # Those of the time it takes to count are allowed besides.
            rate.count()
