"""The server's own options, which every door understands under the same names."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.doors import EVERY_DOOR, Door, elevenlabs_contexts, native, same, wyoming
from helpers.events import at_port, wyoming_port
from helpers.foreign import exchanging
from helpers.servers import Server, running_server

pytestmark = pytest.mark.anyio

PLAIN = "*One* and 2*3."
DIALOGUE = "[S1] Yes. [S2] No."
REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Guten Tag.", {"language": "de_DE"}),
    (PLAIN, {"text_processing": False}),
    (DIALOGUE, {"seed": 7, "pitch": 1.25, "speed": 1.5, "voices": {"S2": "atlas"}}),
)
"""Texts, and options of which each changes how the text is spoken."""


@pytest.fixture(scope="module")
def natural(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the engine that uses every one of these options."""
    log = tmp_path_factory.mktemp("options") / "log"
    with running_server(log, "--engine=auto", "--wyoming-port=0") as server:
        yield server


async def test_each_option_changes_what_is_heard(natural: Server) -> None:
    for text, fields in REQUESTS:
        whole = await native(natural, text, fields)
        for name in fields:
            without = {other: value for other, value in fields.items() if other != name}
            assert await native(natural, text, without) != whole, name


@pytest.mark.parametrize("door", EVERY_DOOR, ids=lambda door: door.__name__)
async def test_every_door_understands_every_option(natural: Server, door: Door) -> None:
    for text, fields in REQUESTS:
        assert same(await door(natural, text, fields), await native(natural, text, fields)), fields


async def test_a_message_takes_precedence_over_the_query(natural: Server) -> None:
    url = f"{natural.ws_url}/v1/speak?model=aria&sample_rate=24000&text_processing=false&seed=1"
    async with exchanging(url) as exchange:
        await exchange.send(type="Speak", text=PLAIN, seed=7)
        await exchange.send(type="Flush")
        await exchange.until(lambda m: isinstance(m, dict) and m["type"] == "Flushed")
    heard = b"".join(m for m in exchange.heard if isinstance(m, bytes))
    assert heard == await native(natural, PLAIN, {"text_processing": False, "seed": 7})


@pytest.mark.parametrize("path", ["stream-input", "multi-stream-input"])
async def test_options_beside_a_key_hold_for_the_connection(natural: Server, path: str) -> None:
    """The message with the key may have no text, and so opens no context."""
    url = f"{natural.ws_url}/v1/text-to-speech/aria/{path}?output_format=pcm_24000"
    end = {"text": ""} if path == "stream-input" else {"close_context": True}
    async with exchanging(url) as exchange:
        await exchange.send(xi_api_key="any", text_processing=False)
        await exchange.send(text=f"{PLAIN} ", flush=True)
        await exchange.send(**end)
        await exchange.until(lambda m: m.get("isFinal"))
    plain = await elevenlabs_contexts(natural, PLAIN, {"text_processing": False})
    assert _audio(exchange.told) == plain != await elevenlabs_contexts(natural, PLAIN, {})


def _audio(told: list[dict[str, Any]]) -> bytes:
    return b"".join(b64decode(message["audio"]) for message in told if message.get("audio"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"language": "tlh"}, "language: the running engine does not speak it."),
        ({"language": "E!"}, "language: must be a language tag, such as en-GB, or auto."),
        ({"seed": -1}, "seed: must be a whole number from 0 to"),
        ({"text_processing": "perhaps"}, "text_processing: must be true or false."),
        ({"voices": {"S2": "nobody"}}, "voices.S2: must be the"),
        ({"voices": {"S3": "aria"}}, "voices.S3: is not a known field."),
    ],
    ids=["language", "tag", "seed", "text_processing", "voice", "tag of a speaker"],
)
@pytest.mark.parametrize("path", ["stream-input", "multi-stream-input"])
async def test_elevenlabs_refuses_wrong_options_of_a_message(
    natural: Server, path: str, fields: dict[str, Any], message: str
) -> None:
    url = f"{natural.ws_url}/v1/text-to-speech/aria/{path}?output_format=pcm_24000"
    async with exchanging(url) as exchange:
        await exchange.send(text=" ", **fields)
        error = await exchange.until(lambda m: m.get("error"))
    assert message in error["message"]


@pytest.mark.parametrize("where", ["data", "voice"])
async def test_wyoming_refuses_wrong_options(natural: Server, where: str) -> None:
    data: dict[str, Any] = {"voices": {"S2": "nobody"}}
    async with at_port(wyoming_port(natural)) as events:
        await events.send("synthesize", text="Hi.", **(data if where == "data" else {"voice": data}))
        error = await events.until("error")
    assert error.data["code"] == "unknown_voice"
    assert error.data["text"].startswith("voices.S2: must be the name of a voice")


async def test_a_named_wyoming_voice_ignores_its_language_alone(natural: Server) -> None:
    chosen = {"name": "aria", "language": "de", "seed": 7}
    assert await wyoming(natural, "Yes.", {"voice": chosen}) == await native(natural, "Yes.", {"seed": 7})
