"""The hibari engine behind a server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from helpers.servers import Server, running_server
from helpers.talk import talking

CHINESE = "你好，我们走吧！"


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("hibari") / "log"
    with running_server(log, "--engine=hibari", "--max-workers=1") as server:
        yield server


async def test_another_language_is_an_error_of_its_turn_alone(english: Server) -> None:
    async with talking(english.ws_url) as talk:
        end = await talk.speak(CHINESE)
        assert (end["type"], end["code"], end["retryable"]) == ("error", "unsupported_language", False)
        assert "set its language" in end["message"]
        assert (await talk.speak(f"Hello. {CHINESE}", "second"))["type"] == "done"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/generate", {"text": CHINESE, "voice_id": "aria"}, 422),
        ("/v1/audio/speech", {"model": "tts-1", "input": CHINESE, "voice": "aria"}, 400),
    ],
)
async def test_another_language_is_a_bad_request(
    english: Server, path: str, body: dict[str, str], status: int
) -> None:
    async with httpx.AsyncClient(base_url=english.url, timeout=30) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == "unsupported_language"
