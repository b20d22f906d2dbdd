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
