"""Text that Dia reads differently from other engines, through a server."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import httpx
import pytest
from helpers.servers import Server, running_server
from helpers.talk import talking

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"),
]


@pytest.fixture(scope="module")
def dia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with a tiny Dia. PyTorch is imported in its worker alone."""
    log = tmp_path_factory.mktemp("dia") / "log"
    with running_server(log, "--engine=dia", "--model=random:tiny", "--slots=2") as server:
        yield server


async def test_dia_reads_the_tags_of_speakers_itself(dia: Server) -> None:
    async with talking(dia.ws_url) as talk:
        end = await talk.speak("[S1] Hi there. [S2] Hello.", voices={"S2": "atlas"}, max_tokens=100)
        assert end["type"] == "done"
        assert talk.started()["ignored"] == ["voices"]


def test_ipa_is_kept_with_a_warning_that_dia_does_not_read_it(dia: Server) -> None:
    words = [{"word": "tomato", "ipa": "təˈmɑːtoʊ"}]
    answer = httpx.put(f"{dia.url}/pronunciations", json={"pronunciations": words}).json()
    assert answer["pronunciations"][0]["ipa"] == "təˈmɑːtoʊ"
    assert "tomato" in answer["warnings"][0]


async def heard(dia: Server, **options: object) -> bytes:
    """Return the audio of one text with one seed."""
    async with talking(dia.ws_url) as talk:
        await talk.speak("Hello there.", max_tokens=100, seed=5, **options)
        return talk.audio()


@pytest.fixture
def follower(dia: Server) -> str:
    """Create a voice that keeps a preset."""
    voice = {"voice_id": "follower", "style": "plain", "preset": "clone"}
    assert httpx.post(f"{dia.url}/voice_mappings", json=voice).status_code == 200
    return "follower"


async def test_a_preset_is_named_by_a_request_or_by_its_voice(dia: Server, follower: str) -> None:
    clone = await heard(dia, temperature=1.8, top_p=0.90, top_k=50, cfg_scale=4.0)
    assert len(clone) > 0
    assert await heard(dia) != clone
    assert await heard(dia, preset="clone") == clone
    assert await heard(dia, voice=follower) == clone
    assert await heard(dia, voice=follower, preset="default") == await heard(dia)


def test_the_api_says_what_temperatures_below_one_mean(dia: Server) -> None:
    fields = httpx.get(f"{dia.url}/openapi.json").text
    assert "values below 1 are used as they are" in fields
