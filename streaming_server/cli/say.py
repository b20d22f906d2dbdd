"""`run.py say`: speak a text into a file, with progress."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field, SecretStr
from pydantic_settings import CliPositionalArg
from rich.console import Console
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI

from streaming_server.backoff import jittered_delays
from streaming_server.cli.audio_file import ENDINGS, SpeechFile, speech_file
from streaming_server.cli.input_text import InputText
from streaming_server.cli.local_server import answers, own_server, wait_until
from streaming_server.cli.signals import calling
from streaming_server.cli.speech_client import ServerRestarts, SpeechClient
from streaming_server.errors import Draining, SpeechError, Unavailable
from streaming_server.hosts import is_loopback
from streaming_server.settings import CommandOptions, Pairs, comma_separated
from streaming_server.speech_options import UNPACED_MS
from streaming_server.types import DEFAULT_VOICE
from streaming_server.web.generation_fields import Pitch, Seed, Speed

READY_TIMEOUT_S = 60.0
"""Seconds to wait for a server that still loads its model."""
STANDARD_INPUT = "-"
BAD_ADDRESS = "--url: the address must begin with http:// or https://."
FAREWELL_S = 0.3
"""Seconds to wait for the closing handshake of a server that is still sending."""


class SayCommand(CommandOptions):
    """Speak a text into a file.

    Uses the server at --url, else one that runs at --host and --port, else one that is started for the
    command and configured by DIA_* variables: DIA_ENGINE=dia speaks with Dia.
    """

    text: CliPositionalArg[str] = Field(description='text to speak; "-" speaks standard input as it arrives')
    voice: str = Field(DEFAULT_VOICE.id, description="voice that speaks")
    language: str | None = Field(None, description="language of the text, such as en-GB")
    speed: Speed | None = Field(None, description="speed, 0.25 to 4; 1 is normal")
    pitch: Pitch | None = Field(None, description="pitch, 0.5 to 2; 1 is normal")
    seed: Seed | None = Field(None, description="seed of what is random in a voice; 0 or more")
    voices: Pairs = Field(
        default_factory=dict, description="voices of a dialogue with [S1] and [S2], as S1=kai,S2=atlas"
    )
    text_processing: bool = Field(
        True, description="turn Markdown, tags, numbers and abbreviations into words"
    )
    out: Path = Field(
        Path("speech.wav"),
        description=f'file to write ({", ".join(ENDINGS)}); "-" writes WAV to standard output',
    )
    url: str | None = Field(None, description="address of the server, as http://host:port")
    host: str = Field("127.0.0.1", description="host of a server that may be running")
    port: int = Field(7860, ge=1, le=65535, description="port of a server that may be running")
    key: SecretStr | None = Field(
        None,
        description="API key; for a server on this machine the first of DIA_API_KEYS by default",
    )


def say(command: SayCommand) -> int:
    """Run the command and return its exit status. Raises SpeechError.

    An existing file stays until the new one is complete.
    """
    if command.url and not command.url.startswith(("http://", "https://")):
        raise SpeechError(BAD_ADDRESS)
    try:
        with speech_file(command.out) as out, _server(command) as url:
            return _run(_speak(command, url, out))
    except OSError as error:
        where = error.filename or command.url or command.out
        raise SpeechError(f"{where}: {error.strerror}") from error


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine; the first Ctrl-C cancels it and later ones do nothing.

    asyncio's own handler would raise the second one in the middle of the cleanup.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)
        with calling(lambda: loop.call_soon_threadsafe(task.cancel), task.cancelled):
            try:
                return loop.run_until_complete(task)
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None


async def _speak(command: SayCommand, url: str, out: SpeechFile) -> int:
    """Speak the text, from its beginning again if the server restarts. Return the exit status."""
    console = Console(stderr=True)
    text = (
        InputText.from_standard_input()
        if command.text == STANDARD_INPUT
        else InputText.of(os.fsencode(command.text))
    )
    delays = jittered_delays(random.Random())
    restarting = False
    reason: Unavailable
    while True:
        try:
            return await _speak_once(command, text, url, out, console)
        except ServerRestarts as error:
            restarting, reason = True, error
        except Unavailable as error:  # While one server restarts and, behind a gateway, no other is ready.
            if not restarting:
                raise
            reason = error
        if (delay_s := next(delays, None)) is None:
            raise reason
        console.print("The server restarts; connecting again.")
        await asyncio.sleep(delay_s)


async def _speak_once(
    command: SayCommand, text: InputText, url: str, out: SpeechFile, console: Console
) -> int:
    async with _connected(command, url) as socket:
        client = SpeechClient(socket, text, out, console)
        await client.speak(_options(command))
    if client.started_at is None or client.first_audio_at is None:
        raise SpeechError("The text has nothing to speak.")
    console.print(
        f"{out.name}: {out.seconds:.2f} s of speech in {time.monotonic() - client.started_at:.2f} s, "
        f"first audio after {1000 * (client.first_audio_at - client.started_at):.0f} ms"
    )
    return 0


def _options(command: SayCommand) -> dict[str, Any]:
    options = {
        "voice": command.voice,
        "max_lead_ms": UNPACED_MS,
        "language": command.language,
        "speed": command.speed,
        "pitch": command.pitch,
        "seed": command.seed,
        "voices": dict(command.voices) or None,
        "text_processing": None if command.text_processing else False,
    }
    return {name: value for name, value in options.items() if value is not None}


@asynccontextmanager
async def _connected(command: SayCommand, url: str) -> AsyncIterator[ClientConnection]:
    """Connect to the native websocket. Raises SpeechError with the server's message."""
    # Without a key the server would wait for one in a message; a wrong one is refused at once.
    headers = {"Authorization": f"Bearer {key_to_send(command) or 'none'}"}
    address = url.replace("http", "ws", 1).rstrip("/") + "/ws/speak"
    try:
        async with connect(
            address, additional_headers=headers, proxy=None, close_timeout=FAREWELL_S
        ) as socket:
            yield socket
    except InvalidURI:
        raise SpeechError(BAD_ADDRESS) from None
    except ssl.SSLError as error:
        advice = "use http:// if the server has no certificate"
        raise SpeechError(f"TLS with {url} failed: {error.reason}; {advice}.") from None
    except TimeoutError:
        raise SpeechError(f"The server at {url} did not answer in time.") from None
    except OSError as error:
        raise Unavailable(f"No server answers at {url}: {error.strerror or error}.") from None
    except InvalidStatus as error:
        status = error.response.status_code
        advice = " Give it with --key." if status == 401 else ""
        kind = Unavailable if status == 503 else SpeechError
        raise kind(_reason(error.response.body) + advice) from None
    except ConnectionClosed as error:
        if error.rcvd is None:
            raise SpeechError("The connection to the server broke.") from None
        kind = ServerRestarts if error.rcvd.code == Draining.close_code else SpeechError
        raise kind(f"The server closed the connection: {error.rcvd.reason or error.rcvd.code}") from None


def _reason(body: bytes | bytearray | None) -> str:
    try:
        return str(orjson.loads(body or b"")["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "The server refused the connection."


def key_to_send(command: SayCommand) -> str | None:
    """Return the key to send. The keys of this machine's servers are not sent to others."""
    if command.key is not None:
        return command.key.get_secret_value()
    here = command.url is None and is_loopback(_reachable(command.host))
    ours = comma_separated(os.environ.get("DIA_API_KEYS", "")) if here else []
    return ours[0] if ours else None


def _reachable(host: str) -> str:
    """Return the address at which a server that listens on `host` is reachable."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))


@contextmanager
def _server(command: SayCommand) -> Iterator[str]:
    """Yield the address of a server, starting one if none runs. Raises Unavailable."""
    host = _reachable(command.host)
    running = command.url or f"http://{f'[{host}]' if ':' in host else host}:{command.port}"
    if command.url:
        yield running
        return
    if answers(f"{running}/livez"):
        if not wait_until(lambda: answers(f"{running}/readyz"), READY_TIMEOUT_S):
            raise Unavailable(f"The server at {running} is not ready.")
        yield running
        return
    with own_server() as server:
        yield server.url
