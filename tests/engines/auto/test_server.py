"""The default engine behind a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.doors import EQUAL_IN_ANY_VOICE, VoiceDoor, native
from helpers.judge import Judge
from helpers.servers import Server, running_server
from helpers.silences import silences
from helpers.talk import Talk, talking

from streaming_server.settings import Settings

ENGLISH = "Please remember to bring your own lunch, and a bottle of water. It costs $3.50."
EMPHASIS = "This is <emphasis>very</emphasis> important."
CHINESE = "The word 你好 means hello."
MIXED = f"{EMPHASIS} {CHINESE}"
GERMAN = "Bitte bringen Sie Ihr eigenes Essen mit."


@pytest.fixture(scope="module")
def natural(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("auto") / "log", "--engine=auto") as server:
        yield server


def test_is_the_default_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIA_ENGINE", raising=False)
    assert Settings().engine == "auto"


async def test_word_marks_quote_the_written_text(natural: Server) -> None:
    async with talking(natural.ws_url) as talk:
        assert (talk.ready["engine"], talk.ready["sample_rate"]) == ("auto", 24000)
        await talk.speak(ENGLISH, words=True)
        words = [word["text"] for event in talk.events if event["type"] == "words" for word in event["words"]]
        assert words == ENGLISH.replace(",", "").replace("water.", "water").removesuffix(".").split()
        assert [event["text"] for event in talk.events if event["type"] == "sentence"] == [
            "Please remember to bring your own lunch, and a bottle of water.",
            "It costs $3.50.",
        ]


async def test_audio_does_not_depend_on_how_text_is_split(natural: Server) -> None:
    async with talking(natural.ws_url) as talk:
        await talk.speak(ENGLISH, "whole")
        for letter in ENGLISH:
            await talk.send("text", context="letters", text=letter)
        await talk.send("finish", context="letters")
        await talk.end("letters")
        assert sound(talk, "letters") == sound(talk, "whole")


async def test_emphasis_and_other_scripts_leave_sentences_whole(natural: Server) -> None:
    async with talking(natural.ws_url) as talk:
        assert (await talk.speak(MIXED, words=True))["type"] == "done"
        assert [event["text"] for event in talk.of("sentence")] == [EMPHASIS, CHINESE]
        words = [word for event in talk.of("words") for word in event["words"]]
        expected = ["This", "is", "very", "important", "The", "word", "你好", "means", "hello"]
        assert [word["text"] for word in words] == expected
        starts = [word["start_ms"] for word in words]
        assert starts == sorted(starts)
        audio = sound(talk, "default")
    long = [length for _, length in silences(audio, talk.ready["sample_rate"]) if length > 120]
    assert len(long) == 2, "a pause after each sentence only"


@pytest.mark.parametrize("door", EQUAL_IN_ANY_VOICE, ids=lambda door: door.__name__)
async def test_every_door_says_mixed_text_alike(natural: Server, door: VoiceDoor) -> None:
    assert await door(natural, MIXED, {}, "aria") == await native(natural, MIXED, {}, "aria")


async def test_speaks_another_language_concurrently(natural: Server) -> None:
    async with talking(natural.ws_url) as talk:
        for context, text, language in (("en", ENGLISH, "en"), ("de", GERMAN, "de")):
            await talk.send("speak", context=context, text=text, language=language, words=True)
        for context in ("en", "de"):
            if not any(one["type"] == "done" and one["context"] == context for one in talk.events):
                assert (await talk.end(context))["type"] == "done"
        words = {
            context: [
                word["text"]
                for event in talk.events
                if event["type"] == "words" and event["context"] == context
                for word in event["words"]
            ]
            for context in ("en", "de")
        }
        assert words["de"] == GERMAN.removesuffix(".").split()
        assert words["en"][-1] == "$3.50"


@pytest.mark.slow
async def test_whisper_understands_the_english_voices(natural: Server) -> None:
    pytest.importorskip("faster_whisper")
    async with talking(natural.ws_url) as talk:
        await talk.speak(ENGLISH.partition(" It")[0])
        wrong, words = Judge().errors(ENGLISH.partition(" It")[0], sound(talk, "default"), 24000)
        assert wrong <= 0.1 * words


def sound(talk: Talk, context: str) -> bytes:
    handle = talk.started(context)["handle"]
    return b"".join(frame.data for frame in talk.frames if frame.handle == handle)
