"""Keys, origins and limits, against real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from helpers.servers import Server, running_server, until
from helpers.talk import talking
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming_server.web.websocket.waiting_room import PLACES

pytestmark = pytest.mark.anyio

KEY = "a-very-secret-key"
ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with keys, one foreign origin, small limits and a short time to send a key."""
    options = (
        "--allowed-origins=" + ORIGIN,
        "--auth-timeout-s=2",
        "--max-contexts=2",
        "--max-context-characters=1000",
        "--max-text-characters=600",
        "--max-message-bytes=4096",
        "--messages-per-second=50",
        "--max-workers=1",
        "--log-format=json",
        "--debug",
    )
    log = tmp_path_factory.mktemp("locked") / "log"
    with running_server(log, *options, DIA_API_KEYS=f"other,{KEY}") as one:
        yield one


async def refusal(url: str, **options: object) -> tuple[int, dict[str, str]]:
    """Return status and error of a refused handshake."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, proxy=None, **options):  # type: ignore[arg-type]
            pass
    response = caught.value.response
    error: dict[str, str] = json.loads(response.body or b"{}")["error"]
    return response.status_code, error


async def closing(socket: object) -> tuple[int, str]:
    """Return close code and reason of a socket that the server closes."""
    with pytest.raises(ConnectionClosed) as caught, anyio.fail_after(20):
        while True:
            await socket.recv()  # type: ignore[attr-defined]
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.mark.parametrize("path", ["/ws/speak", "/ws/status"])
class TestKeys:
    async def test_a_wrong_key_is_refused_with_a_401(self, locked: Server, path: str) -> None:
        status, error = await refusal(f"{locked.ws_url}{path}?token=wrong")
        assert (status, error["code"]) == (401, "unauthorized")

    async def test_a_key_in_a_header_is_accepted(self, locked: Server, path: str) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with connect(locked.ws_url + path, additional_headers=headers, proxy=None) as socket:
            assert json.loads(await socket.recv())["type"] in ("ready", "status")

    async def test_a_key_in_the_query_is_accepted(self, locked: Server, path: str) -> None:
        async with connect(f"{locked.ws_url}{path}?token={KEY}", proxy=None) as socket:
            assert json.loads(await socket.recv())["type"] in ("ready", "status")

    async def test_a_key_in_the_first_message_is_accepted(self, locked: Server, path: str) -> None:
        async with connect(locked.ws_url + path, proxy=None) as socket:
            await socket.send(json.dumps({"type": "auth", "key": KEY}))
            assert json.loads(await socket.recv())["type"] in ("ready", "status")

    @pytest.mark.parametrize("message", ['{"type":"auth","key":"no"}', '{"type":"ping"}', "{", "[]"])
    async def test_any_other_first_message_closes_with_1008(
        self, locked: Server, path: str, message: str
    ) -> None:
        async with connect(locked.ws_url + path, proxy=None) as socket:
            await socket.send(message)
            assert (await closing(socket))[0] == 1008

    async def test_no_message_closes_with_1008(self, locked: Server, path: str) -> None:
        async with connect(locked.ws_url + path, proxy=None) as socket:
            assert (await closing(socket))[0] == 1008


@pytest.mark.parametrize("path", ["/queue/stats", "/gpu/status", "/metrics"])
def test_statistics_need_a_key(locked: Server, path: str) -> None:
    status, answer = locked.get(path)
    assert status == 401
    assert answer["error"]["code"] == "unauthorized"
    assert locked.get(path, Authorization=f"Bearer {KEY}")[0] == 200
    assert locked.get(f"{path}?token={KEY}")[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/"])
def test_health_and_the_page_need_no_key(locked: Server, path: str) -> None:
    assert locked.get(path)[0] == 200


async def test_a_key_is_never_logged(locked: Server) -> None:
    async with talking(locked.ws_url, query=f"?token={KEY}") as talk:
        await talk.speak("Something quite private.")
    locked.get(f"/metrics?token={KEY}")
    until(lambda: "context done" in locked.logged())
    assert KEY not in locked.logged()
    assert "private" not in locked.logged()


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://sub.app.example.com",
        "null",
        "",
    ],
)
async def test_a_foreign_page_is_refused(locked: Server, origin: str) -> None:
    status, error = await refusal(
        f"{locked.ws_url}/ws/speak?token={KEY}", additional_headers={"Origin": origin}
    )
    assert (status, error["code"]) == (403, "forbidden")
    assert locked.get("/queue/stats", Origin=origin, Authorization=f"Bearer {KEY}")[0] == 403


@pytest.mark.parametrize("origin", [ORIGIN, ORIGIN.upper()])
async def test_an_allowed_page_is_accepted(locked: Server, origin: str) -> None:
    headers = {"Origin": origin}
    async with talking(locked.ws_url, query=f"?token={KEY}", additional_headers=headers) as talk:
        assert talk.ready["type"] == "ready"


async def test_the_servers_own_page_is_accepted(server: Server) -> None:
    async with talking(server.ws_url, additional_headers={"Origin": server.url}) as talk:
        assert talk.ready["type"] == "ready"


async def test_a_rebound_host_name_is_refused(server: Server) -> None:
    headers = {"Origin": f"http://evil.example:{server.port}", "Host": f"evil.example:{server.port}"}
    status, body = server.get("/queue/stats", **headers)
    assert status == 403, body


async def test_a_message_too_large_closes_with_1009(locked: Server) -> None:
    async with talking(locked.ws_url, query=f"?token={KEY}") as talk:
        await talk.send("text", text="x" * 5000)
        assert (await closing(talk.socket))[0] == 1009


async def test_too_much_text_in_a_message_ends_its_context(locked: Server) -> None:
    async with talking(locked.ws_url, query=f"?token={KEY}") as talk:
        assert (await talk.speak("x" * 601))["code"] == "too_large"
        assert (await talk.speak("Still here.", "after"))["type"] == "done"


async def test_too_much_text_in_a_context_ends_it(locked: Server) -> None:
    async with talking(locked.ws_url, query=f"?token={KEY}") as talk:
        for _ in range(3):
            await talk.send("text", text="word " * 100)
        assert (await talk.end())["code"] == "too_large"


async def test_too_many_contexts_are_refused_one_by_one(locked: Server) -> None:
    async with talking(locked.ws_url, query=f"?token={KEY}") as talk:
        for name in "abc":
            await talk.send("start", context=name)
        error = await talk.until("error")
        assert (error["context"], error["code"]) == ("c", "too_large")
        await talk.send("cancel", context="a")
        await talk.until("cancelled")
        assert (await talk.speak("Now there is room.", "d"))["type"] == "done"


async def test_too_many_messages_close_with_1008(locked: Server) -> None:
    async with talking(locked.ws_url, query=f"?token={KEY}") as talk:
        for n in range(200):
            await talk.send("ping", id=n)
        assert (await talk.until("error"))["code"] == "rate_limited"
        assert (await closing(talk.socket))[0] == 1008


async def test_a_full_server_refuses_before_accepting(start_server: Callable[..., Server]) -> None:
    small = start_server("--max-connections=1", "--max-workers=1")
    async with talking(small.ws_url):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(f"{small.ws_url}/ws/speak", proxy=None):
                pass
        response = caught.value.response
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert json.loads(response.body or b"")["error"]["code"] == "full"
    until(lambda: small.get("/queue/stats")[1]["connections"] == 0)
    async with talking(small.ws_url) as talk:
        assert (await talk.speak("Room again."))["type"] == "done"


def places_taken(server: Server, path: str) -> float:
    """Return the number of open connections of this kind."""
    name = "dia_connections " if path == "/ws/speak" else "dia_watchers "
    metrics = server.get("/metrics", Authorization=f"Bearer {KEY}")[1]
    [line] = [line for line in metrics.splitlines() if line.startswith(name)]
    return float(line.removeprefix(name))


@pytest.mark.parametrize("path", ["/ws/speak", "/ws/status"])
async def test_sockets_without_a_key_take_no_slot_and_the_oldest_is_dropped(
    start_server: Callable[..., Server], path: str
) -> None:
    options = ("--max-workers=1", "--max-connections=3", "--max-status-connections=3", "--auth-timeout-s=30")
    server = start_server(*options, DIA_API_KEYS=KEY)
    url = server.ws_url + path
    headers = {"Authorization": f"Bearer {KEY}"}
    async with AsyncExitStack() as stack:

        async def opened(**more: object) -> ClientConnection:
            return await stack.enter_async_context(connect(url, proxy=None, **more))  # type: ignore[arg-type]

        oldest, *silent = [await opened() for _ in range(PLACES + 1)]
        assert (await closing(oldest))[0] == 1008  # It gave way to the last one.
        known = [await opened(additional_headers=headers) for _ in range(3)]
        assert (await refusal(url, additional_headers=headers))[1]["code"] == "full"
        await silent[0].send(json.dumps({"type": "auth", "key": KEY}))
        assert (await closing(silent[0]))[0] == 1013
        await known[0].close()
        until(lambda: places_taken(server, path) == 2)
        await silent[1].send(json.dumps({"type": "auth", "key": KEY}))
        assert json.loads(await silent[1].recv())["type"] in ("ready", "status")


async def test_status_connections_have_their_own_limit(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--max-status-connections=2", "--max-connections=1")
    url = f"{server.ws_url}/ws/status"
    async with connect(url, proxy=None) as first, connect(url, proxy=None):
        status, error = await refusal(url)
        assert (status, error["code"]) == (503, "full")
        async with talking(server.ws_url) as talk:
            assert (await talk.speak("I have a place."))["type"] == "done"
        await first.close()
        until(lambda: places_taken(server, "/ws/status") == 1)
        async with connect(url, proxy=None) as third:
            assert json.loads(await third.recv())["type"] == "status"


async def test_messages_to_the_status_channel_are_limited(locked: Server) -> None:
    async with connect(f"{locked.ws_url}/ws/status?token={KEY}", proxy=None) as socket:
        for _ in range(200):
            await socket.send("Hello?")
        assert (await closing(socket))[0] == 1008


def test_listening_beyond_loopback_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="--no-auth"):
        with running_server(tmp_path / "log", "--host=0.0.0.0"):
            pass


def test_no_auth_allows_it_without_a_key(start_server: Callable[..., Server]) -> None:
    assert start_server("--host=0.0.0.0", "--no-auth", "--max-workers=1").get("/readyz")[0] == 200


def test_show_prompts_logs_the_text(start_server: Callable[..., Server]) -> None:
    shown = start_server("--show-prompts", "--max-workers=1")

    async def speak() -> None:
        async with talking(shown.ws_url) as talk:
            await talk.speak("Say this aloud.")
        async with connect(f"{shown.ws_url}/v1/speak", proxy=None) as deepgram:
            await deepgram.send(json.dumps({"type": "Speak", "text": "And this to others."}))
            await deepgram.send(json.dumps({"type": "Flush"}))
            while isinstance(raw := await deepgram.recv(), bytes) or json.loads(raw)["type"] != "Flushed":
                pass

    anyio.run(speak)
    shown.until_logged("Say this aloud.")
    shown.until_logged("And this to others.")
