"""Wrong keys are answered more and more slowly, at every door."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from helpers.servers import Server, running_server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from streaming_server.web.wrong_keys import FREE_FAILURES, LONGEST_DELAY_S, WrongKeys

KEY = {"Authorization": "Bearer right"}
WRONG = {"Authorization": "Bearer wrong"}
AUTH = '{"type": "auth", "key": "wrong", "text": " ", "xi_api_key": "wrong"}'

DOORS = [
    ("GET", "/voices", WRONG),
    ("GET", "/voices?token=wrong", {}),
    ("GET", "/config", WRONG),
    ("GET", "/v1/audio/voices?legacy=true", WRONG),
    ("POST", "/generate", WRONG),
    ("POST", "/v1/audio/speech", WRONG),
    ("POST", "/tts/bytes", {"X-API-Key": "wrong"}),
    ("POST", "/v1/speak", {"Authorization": "Token wrong"}),
    ("POST", "/v1/text-to-speech/aria", {"xi-api-key": "wrong"}),
    ("socket", "/ws/speak?token=wrong", {}),
    ("socket", "/ws/speak", WRONG),
    ("socket", "/ws/speak", {}),
    ("socket", "/ws/status", WRONG),
    ("socket", "/tts/websocket?api_key=wrong", {}),
    ("socket", "/v1/speak", {"Authorization": "Token wrong"}),
    ("socket", "/v1/text-to-speech/aria/stream-input", {"xi-api-key": "wrong"}),
    ("socket", "/v1/text-to-speech/aria/multi-stream-input", {}),
    ("socket", "/api/tts_streaming?auth_id=wrong", {}),
]
"""Those without a key in the query or the headers send it in the first message."""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("keys") / "log"
    with running_server(log, "--api-keys=right", "--admin-keys=admin") as server:
        yield server


def test_each_wrong_key_of_an_address_is_answered_later() -> None:
    keys = WrongKeys()
    delays = [keys.record_failure("10.0.0.1") for _ in range(20)]
    assert delays[:FREE_FAILURES] == [0.0] * FREE_FAILURES
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY_S
    assert keys.record_failure("10.0.0.2") == 0.0


def test_every_door_counts_and_delays_wrong_keys(locked: Server) -> None:
    """Each door is tried from an address of its own."""

    def try_keys(number: int) -> float:
        """Send more wrong keys than are answered at once. Return how long the last answer took."""
        for _ in range(FREE_FAILURES + 1):
            began = time.monotonic()
            try_key(locked, f"127.0.1.{number + 1}", *DOORS[number])
        return time.monotonic() - began

    with ThreadPoolExecutor(len(DOORS)) as threads:
        seconds = list(threads.map(try_keys, range(len(DOORS))))
    assert not {DOORS[number][:2]: took for number, took in enumerate(seconds) if took < 0.2}


def try_key(server: Server, address: str, kind: str, path: str, headers: dict[str, str]) -> None:
    """Send a wrong key from an address, and check that it is refused."""
    if kind != "socket":
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=20) as client:
            answer = client.request(kind, server.url + path, headers=headers)
            assert answer.status_code == (200 if "legacy" in path else 401), answer.text
        return
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        with connect(
            server.ws_url + path, additional_headers=headers, proxy=None, source_address=(address, 0)
        ) as socket:
            socket.send(AUTH)
            while True:
                socket.recv(20)


def test_neither_a_valid_key_nor_the_lack_of_one_is_delayed(locked: Server) -> None:
    with httpx.Client(base_url=locked.url, timeout=20) as client:
        for _ in range(FREE_FAILURES + 3):
            assert client.get("/voices", headers=WRONG).status_code == 401
        began = time.monotonic()
        for _ in range(3):
            assert client.get("/voices", headers=KEY).status_code == 200
            assert client.get("/voices").status_code == 401
            assert client.get("/config", headers=KEY).status_code == 403
        assert time.monotonic() - began < 1.6  # The next wrong key would wait for so long.
