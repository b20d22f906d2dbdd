"""The pronunciation list over HTTP, and in what is spoken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.foreign import native_audio
from helpers.servers import Server
from helpers.talk import Talk, talking

pytestmark = pytest.mark.anyio

NGINX = {"word": "nginx", "language": "en", "respelling": "engine x"}
SQL = {"word": "SQL", "respelling": "sequel"}
OBRIEN = {"word": "O'Brien", "respelling": "oh bryan"}


def put(server: Server, *words: dict[str, Any]) -> httpx.Response:
    return httpx.put(f"{server.url}/pronunciations", json={"pronunciations": words})


def listed(server: Server) -> Any:
    return httpx.get(f"{server.url}/pronunciations").json()


async def test_words_are_said_as_the_list_says_and_stay_after_a_restart(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server(DIA_DATA_DIR=str(tmp_path / "data"))
    assert listed(server) == {"pronunciations": [], "warnings": []}
    before = await native_audio(server, "Our nginx runs.")
    answer = put(server, NGINX, SQL)
    assert answer.status_code == 200
    full = [{"ipa": None, **NGINX}, {"ipa": None, "language": None, **SQL}]
    assert answer.json() == {"pronunciations": full, "warnings": []}
    said = await native_audio(server, "Our nginx runs.")
    assert said == await native_audio(server, "Our engine x runs.") != before
    german = await native_audio(server, "Das ist SQL und nginx.", language="de")
    assert german == await native_audio(server, "Das ist sequel und nginx.", language="de")
    async with talking(server.ws_url) as talk:
        await talk.speak("Our nginx runs.", words=True)
        words = [word["text"] for message in talk.of("words") for word in message["words"]]
        assert words == ["Our", "nginx", "runs"]
    server.process.terminate()
    server.process.wait(20)
    again = start_server(DIA_DATA_DIR=str(tmp_path / "data"))
    assert listed(again)["pronunciations"] == full
    assert await native_audio(again, "Our nginx runs.") == said
    assert put(again).json()["pronunciations"] == []
    assert await native_audio(again, "Our nginx runs.") == before


async def test_a_change_counts_from_the_next_sentence(start_server: Callable[..., Server]) -> None:
    server = start_server()
    plain, changed = [await native_audio(server, text) for text in ("Our nginx. ", "Our engine x.")]
    async with talking(server.ws_url) as talk:
        await talk.send("text", text="Our nginx. ")
        await talk.send("flush")
        await talk.until("flushed")
        assert put(server, NGINX).status_code == 200
        await talk.send("text", text="Our nginx.")
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"
    assert talk.audio() == plain + changed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([SQL, {"word": "nginx"}], "pronunciations.1.word: 'nginx' needs a respelling or IPA."),
        ([SQL, {"word": "nginx", "respelling": " "}], "pronunciations.1.respelling: 'nginx' needs a"),
        (
            [SQL, {"word": "two, words", "respelling": "x"}],
            "pronunciations.1.word: 'two, words' is not a word",
        ),
        (
            [NGINX, {**NGINX, "word": "NGINX"}],
            "pronunciations.1.word: 'NGINX' is in the list twice",
        ),
        ([OBRIEN, {**OBRIEN, "word": "o\u2019brien"}], "is in the list twice, first as pronunciations.0."),
        ([SQL, {**NGINX, "language": "auto"}], "pronunciations.1.language: must be a language tag, or left"),
        ([SQL, {**NGINX, "language": "E!"}], "pronunciations.1.language: must be a language tag, such as"),
        ([SQL, {**NGINX, "language": "tlh"}], "pronunciations.1.language: the running engine does not speak"),
        (
            [SQL, {**OBRIEN, "lang": "tlh"}],
            "pronunciations.1.language: the running engine does not speak it.",
        ),
        ([SQL, {"word": "GIF", "ipa": "JIF"}], "pronunciations.1.ipa: contains 'J'"),
        ([SQL, {**NGINX, "ipa": "ˈː"}], "pronunciations.1.ipa: must contain an IPA letter."),
        ([SQL, {**NGINX, "speling": "x"}], "pronunciations.1.speling"),
        ([SQL, {"respelling": "x"}], "pronunciations.1.word: is required."),
    ],
)
def test_a_list_that_is_wrong_changes_nothing_and_the_error_tells_where(
    server: Server, words: list[Any], message: str
) -> None:
    answer = put(server, *words)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_value")
    assert message in answer.json()["error"]["message"]
    assert listed(server)["pronunciations"] == []


async def test_entries_may_have_dots_apostrophes_and_spaces(start_server: Callable[..., Server]) -> None:
    server = start_server()
    words = {"Dr.": "doktor", "A.I.": "ay eye", "New York": "nu yawk", "C++": "see plus", "O'Brien": "obrine"}
    entries = [{"word": word, "respelling": said, "language": "en"} for word, said in words.items()]
    assert put(server, *entries).json()["warnings"] == []
    assert [entry["word"] for entry in listed(server)["pronunciations"]] == list(words)
    written = "Dr. O'Brien writes C++ and A.I. in New York."
    said = await native_audio(server, "doktor obrine writes see plus and ay eye in nu yawk.")
    assert await native_audio(server, written) == said
    async with talking(server.ws_url) as talk:
        for delta in written:
            await talk.send("text", text=delta)
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"
        assert talk.audio() == said


async def test_ipa_is_spoken_for_a_word_and_for_an_element(start_server: Callable[..., Server]) -> None:
    server = start_server("--engine=auto", "--max-workers=1")
    element = '<phoneme alphabet="ipa" ph="ˈneɪʃən">XYZ</phoneme>'
    async with talking(server.ws_url) as talk:
        await talk.speak("A plain nation.", "expected")
        await talk.speak(f"A plain {element}.", "element", words=True)
        assert put(server, {"word": "XYZ", "ipa": "ˈneɪʃən", "language": "en"}).json()["warnings"] == []
        await talk.speak("A plain XYZ.", "listed")
    assert frames(talk, "element") == frames(talk, "listed") == frames(talk, "expected") > 0


def frames(talk: Talk, context: str) -> int:
    """Return the length of a context's audio; the noise in it depends on the text."""
    handle = talk.started(context)["handle"]
    return sum(len(frame.data) for frame in talk.frames if frame.handle == handle)
