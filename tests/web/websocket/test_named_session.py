"""Failures of turns with names: their rest is ignored, and nothing else.

Contexts fail here as they do when their worker dies after the first audio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from helpers.sessions import Client, client_of, speech_services_in

from streaming_server.audio.encoder import AudioOptions
from streaming_server.errors import WorkerLost
from streaming_server.render import CHARACTERS_AT_ONCE
from streaming_server.speech_options import SpeechOptions
from streaming_server.web.native.session import NativeSession
from streaming_server.web.services import SpeechServices
from streaming_server.web.vendors.cartesia.websocket import CartesiaSession
from streaming_server.web.vendors.elevenlabs.multi_stream import MultiStreamOptions, MultiStreamSession
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.named_session import NamedSession

pytestmark = pytest.mark.anyio

LONG = "This goes on and on, without an end, " * 200
"""Much longer than what is appended at once."""
SHORT = "Hello there."
OUTPUT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
STYLE = MultiStreamOptions(
    SpeechOptions("aria", audio=AudioOptions(24000), door="elevenlabs"), "verbatim", inactivity_s=60
)


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol's messages about the context `one`."""

    make: Callable[[SpeechServices, Connection], NamedSession[Any]]
    more: Callable[[str], dict[str, Any]]
    last: Callable[[str], dict[str, Any]]
    malformed: dict[str, Any]
    is_error: Callable[[dict[str, Any]], bool]
    is_done: Callable[[dict[str, Any]], bool]
    ends: tuple[dict[str, Any], ...]
    """The message that ends a turn after its last text."""

    async def failure_told(self, client: Client) -> None:
        """Wait until all is told of a failure, at ElevenLabs' door the end as well, and forget it."""
        await client.until(self.is_error)
        if self is ELEVENLABS:
            await client.until(self.is_done)
        client.told.clear()


def cartesia(text: Any, more: bool) -> dict[str, Any]:
    about = {"context_id": "one", "voice": "aria", "output_format": OUTPUT}
    return {"transcript": text, "continue": more, **about}


NATIVE = Protocol(
    NativeSession,
    lambda text: {"type": "text", "context": "one", "text": text},
    lambda text: {"type": "speak", "context": "one", "text": text},
    {"type": "text", "context": "one", "text": 5},
    lambda message: message["type"] == "error" and message.get("context") == "one",
    lambda message: message["type"] == "done",
    ({"type": "finish", "context": "one"},),
)
CARTESIA = Protocol(
    CartesiaSession,
    lambda text: cartesia(text, True),
    lambda text: cartesia(text, False),
    cartesia(5, True),
    lambda message: message["type"] == "error",
    lambda message: message["type"] == "done",
    (cartesia("", False),),
)
ELEVENLABS = Protocol(
    lambda services, connection: MultiStreamSession(services, connection, STYLE),
    lambda text: {"text": text, "context_id": "one"},
    lambda text: {"text": text, "context_id": "one", "close_context": True},
    {"text": 5, "context_id": "one"},
    lambda message: "error" in message and message.get("contextId") == "one",
    lambda message: bool(message.get("isFinal")),
    ({"context_id": "one", "flush": True}, {"context_id": "one", "close_context": True}),
)
PROTOCOLS = {"native": NATIVE, "cartesia": CARTESIA, "elevenlabs": ELEVENLABS}
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The async backend that the server uses, for the module, as `services` is."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
async def services(
    anyio_backend: object, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SpeechServices]:
    async with speech_services_in(tmp_path_factory.mktemp("named")) as services:
        yield services


def lost() -> WorkerLost:
    return WorkerLost("The worker was lost.")


async def failed_while_appended(session: NamedSession[Any]) -> None:
    """Fail the context `one` while a text is being appended to it; return once that is concluded.

    An append lets other tasks run after each piece, of which LONG has dozens.
    """
    with anyio.fail_after(20):
        while (
            "one" not in session.open_turns
            or len(session.open_turns["one"].context.text) < CHARACTERS_AT_ONCE
        ):
            await anyio.lowlevel.checkpoint()
        turn = session.open_turns["one"]
        turn.context.fail(lost())
        assert not turn.context.finished
        while "one" in session.open_turns:
            await anyio.lowlevel.checkpoint()
        assert not turn.context.finished, "the text was appended before the failure was told"


@every_protocol
async def test_a_failure_amid_the_last_message_leaves_the_name_free(
    services: SpeechServices, protocol: Protocol
) -> None:
    async with client_of(lambda connection: protocol.make(services, connection)) as (client, session):
        assert isinstance(session, NamedSession)
        await client.say(**protocol.last(LONG))
        await failed_while_appended(session)
        await protocol.failure_told(client)
        await speaks_again(client, protocol)


@every_protocol
async def test_a_failure_amid_any_other_message_has_the_rest_ignored(
    services: SpeechServices, protocol: Protocol
) -> None:
    async with client_of(lambda connection: protocol.make(services, connection)) as (client, session):
        assert isinstance(session, NamedSession)
        await client.say(**protocol.more(LONG))
        await failed_while_appended(session)
        await protocol.failure_told(client)
        await client.say(**protocol.more(SHORT))
        for end in protocol.ends:
            await client.say(**end)
        await speaks_again(client, protocol)


async def speaks_again(client: Client, protocol: Protocol) -> None:
    """Check that the next turn of the name is heard, and that nothing else is told before its end."""
    await client.say(**protocol.last(SHORT))
    await is_heard(client, protocol)


async def is_heard(client: Client, protocol: Protocol) -> None:
    """Wait for the end of a turn, and check that nothing else ended."""
    await client.until(protocol.is_done)
    assert not [message for message in client.told if protocol.is_error(message)]
    assert len([message for message in client.told if protocol.is_done(message)]) == 1
    assert [message for message in client.told if is_audio(message)] or protocol is NATIVE


def is_audio(message: dict[str, Any]) -> bool:
    return message.get("type") == "chunk" or bool(message.get("audio"))


@every_protocol
@pytest.mark.parametrize(
    ("untold", "ended"),
    [(True, True), (True, False), (False, False)],
    ids=["untold after all text", "untold amid the text", "told"],
)
async def test_a_failed_turn_has_one_error_even_if_a_message_is_refused(
    services: SpeechServices, protocol: Protocol, untold: bool, ended: bool
) -> None:
    """The client reads nothing for a while, so that the failure has to wait to be told."""
    if protocol is NATIVE and not untold:
        return  # Its clients are told of every message that cannot be read.
    async with client_of(lambda connection: protocol.make(services, connection)) as (client, session):
        assert isinstance(session, NamedSession)
        await client.say(**protocol.more(SHORT * 200))
        await client.until(lambda message: is_audio(message) or message.get("type") == "sentence")
        if ended:
            for end in protocol.ends:
                await client.say(**end)
        if untold:
            await client.pause()
        await anyio.wait_all_tasks_blocked()
        [turn] = [*session.open_turns.values(), *session.ending_turns.values()]
        turn.context.fail(lost())
        if not untold:
            await client.until(protocol.is_error)
        await client.say(**protocol.malformed)
        await anyio.wait_all_tasks_blocked()
        client.read()
        await client.until(protocol.is_error)
        await anyio.wait_all_tasks_blocked()
        assert len([message for message in client.told if protocol.is_error(message)]) == 1


async def test_cartesia_tells_no_more_of_a_cancelled_context_although_it_failed(
    services: SpeechServices,
) -> None:
    """Its name may be used again at once, and clients take what follows for the next context's."""
    async with client_of(lambda connection: CartesiaSession(services, connection)) as (client, session):
        assert isinstance(session, CartesiaSession)
        await client.say(**CARTESIA.more(SHORT * 200))
        await client.until(is_audio)
        await client.pause()
        await anyio.wait_all_tasks_blocked()
        session.open_turns["one"].context.fail(lost())
        await client.say(context_id="one", cancel=True)
        await client.say(**CARTESIA.last(SHORT))
        await anyio.wait_all_tasks_blocked()
        client.read()
        await is_heard(client, CARTESIA)
