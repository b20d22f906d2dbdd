"""Whisper understands the audio of the native websocket, in every voice of both engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.judge import TURNS, Judge, rate
from helpers.servers import Server, running_server
from helpers.talk import Talk, talking

from streaming_server.types import BUILTIN_VOICES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

VOICES = [voice.id for voice in BUILTIN_VOICES]
WORST = {"auto": dict.fromkeys(VOICES, 0.05) | {"aria": 0.03}, "espeak": dict.fromkeys(VOICES, 0.2)}
"""Allowed word errors."""

TEXT = TURNS[0]

MARKDOWN = """\
# The new schedule

The **committee** will meet again on *Tuesday* to discuss it. Please remember to bring:

- your own lunch
- a bottle of water

It was raining so hard that we could not see the [other side](https://example.com/street) of the street.

```python
print("nobody reads this aloud")
```

> Can you tell me how to get to the `train station` from here?
"""
READ = (
    "The new schedule. The committee will meet again on Tuesday to discuss it. Please remember to bring your "
    "own lunch, a bottle of water. It was raining so hard that we could not see the other side of the "
    "street. Can you tell me how to get to the train station from here?"
)


@pytest.fixture(scope="module", params=WORST)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp(engine) / "log", f"--engine={engine}") as server:
        yield server


def errors(judge: Judge, text: str, talk: Talk, context: str) -> tuple[int, int]:
    return judge.errors(text, talk.audio(context), talk.started(context)["sample_rate"])


@pytest.mark.parametrize("voice", VOICES)
async def test_every_voice_is_understood(judge: Judge, server: Server, engine: str, voice: str) -> None:
    heard = []
    async with talking(server.ws_url) as talk:
        for number, text in enumerate(TURNS):
            assert (await talk.speak(text, str(number), voice=voice, max_lead_ms=600_000))["type"] == "done"
            heard.append(errors(judge, text, talk, str(number)))
    assert sum(words for _, words in heard) > 350
    assert rate(heard) <= WORST[engine][voice], heard


async def test_text_sent_by_characters_is_understood_as_well(
    judge: Judge, server: Server, engine: str
) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("start", context="typed", max_lead_ms=600_000)
        for character in TEXT:
            await talk.send("text", context="typed", text=character)
        await talk.send("finish", context="typed")
        await talk.end("typed")
        wrong, words = errors(judge, TEXT, talk, "typed")
    assert wrong <= WORST[engine]["aria"] * words


async def test_markdown_is_understood_as_well(judge: Judge, server: Server, engine: str) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak(MARKDOWN, max_lead_ms=600_000)
        wrong, words = errors(judge, READ, talk, "default")
    assert wrong <= WORST[engine]["aria"] * words
